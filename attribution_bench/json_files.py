"""JSON of stored results, read strictly: bounded, of one meaning, and of nothing that JSON itself does not have."""

import json
import os
from collections.abc import Mapping
from typing import Any

from attribution_bench.errors import ResultError
from attribution_bench.files import read_bounded
from attribution_bench.typed_json import read_plain

MOST_VALUES = 20_000_000
"""Values in one text, some 2 GB of Python objects at worst."""
LONGEST_INTEGER = 400
"""Digits; there are no longer numbers in double precision."""
SHOWN = 60


def read_json(path: str | os.PathLike[str], most: int) -> Any:
    """Return what a JSON file of at most that many bytes holds; raises OSError or ValueError as `parse_json` does."""
    return parse_json(read_bounded(path, most))


def parse_json(content: str | bytes) -> Any:
    """Return what a JSON text holds.

    Raises
    ------
    ValueError
        It is no UTF-8, no JSON, holds NaN or infinity, a key twice in one object, a number of thousands of digits, more
        values or deeper nesting than any stored result.
    """
    text = content.decode() if isinstance(content, bytes) else content
    if sum(map(text.count, "[{,")) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        return json.loads(text, parse_constant=_constant, parse_int=_integer, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it nests too many lists and objects") from None


def json_text(what: str, data: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return data as JSON that `parse_json` and `read_plain` take, laid out as ``json.dumps`` does.

    Raises
    ------
    ResultError
        It holds NaN or infinity, or something that is no plain data; the message begins with ``what``.
    """
    try:
        text = json.dumps(data, indent=indent, sort_keys=sort_keys, allow_nan=False)
        read_plain(json.loads(text))
        return text
    except (ValueError, TypeError, RecursionError) as error:
        raise ResultError(f"{what} cannot be stored: {error}; give finite numbers and plain data") from error


def _constant(token: str) -> Any:
    raise ValueError(f"it holds {token}, but its numbers must be finite")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER:
        raise ValueError(f"it holds an integer of {len(digits):,} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it holds the key {twice[:SHOWN]!r} twice in one object")
    return found
