"""Descriptions of JSON: each is a function that returns a value as it may be passed on, or raises `Refused`.

A description is put together of others, so that a format is written down once and read by it; what a description does
not name does not pass.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attribution_bench.models.untrusted.refused import Damaged, Refused, shown

Check = Callable[[Any], Any]
JSON_BYTES: Final = 1 << 26
"""Bytes that a document may take; parsed it takes about thirty times as much."""


def parsed(content: bytes) -> Any:
    """Return a JSON document of bounded size."""
    if len(content) > JSON_BYTES:
        raise Refused(f"it holds a JSON document of {len(content)} bytes; {JSON_BYTES} are the most that are read")
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or nested too deeply
        if not content.strip():
            raise Damaged("nothing stands where JSON should") from error
        where = f"{error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise Damaged(f"no JSON can be read in it ({where})") from error


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Describe an object with these keys and no others."""
    known = {**required, **(optional or {})}

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refused(f"{shown(value)} stands where an object should")
        missing, unknown = required.keys() - value.keys(), value.keys() - known.keys()
        if missing:
            raise Refused(f"an object lacks {shown(min(missing))}")
        if unknown:
            raise Refused(f"it holds the field {shown(min(unknown))}, which this reader does not know")
        return {key: _at(key, known[key], part) for key, part in value.items()}

    return check


def union(kinds: Mapping[str, Check]) -> Check:
    """Describe an object with exactly one key, which says what its value is."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1:
            raise Refused(f"{shown(value)} stands where an object with one key should")
        ((kind, part),) = value.items()
        if kind not in kinds:
            raise Refused(f"it holds {shown(kind)}, which is no plain tensor or number")
        return {kind: kinds[kind](part)}

    return check


def listed(item: Check) -> Check:
    """Describe a list."""

    def check(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Refused(f"{shown(value)} stands where a list should")
        return [item(part) for part in value]

    return check


def mapped(key: Check, item: Check) -> Check:
    """Describe an object whose keys are names of the file's own."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refused(f"{shown(value)} stands where an object should")
        return {key(name): item(part) for name, part in value.items()}

    return check


def matching(pattern: str, what: str) -> Check:
    """Describe a text by a regular expression for the whole of it."""
    compiled = re.compile(pattern)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Refused(f"{shown(value)} is no {what}")
        return value

    return check


def whole(low: int, high: int) -> Check:
    """Describe a whole number from ``low`` to ``high``, ends included."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Refused(f"{shown(value)} is no whole number from {low} to {high}")
        return value

    return check


def either(*checks: Check) -> Check:
    """Describe a value that fits one of several descriptions."""

    def check(value: Any) -> Any:
        reasons = []
        for one in checks:
            try:
                return one(value)
            except Refused as refused:
                reasons.append(str(refused))
        raise Refused(reasons[-1])

    return check


def always(constant: Any) -> Check:
    """Describe anything, and pass on a constant in its place."""
    return lambda value: constant


def nothing(value: Any) -> None:
    """Describe null."""
    if value is not None:
        raise Refused(f"{shown(value)} stands where null should")


def boolean(value: Any) -> bool:
    """Describe true and false."""
    if not isinstance(value, bool):
        raise Refused(f"{shown(value)} is neither true nor false")
    return value


def number(value: Any) -> float | str:
    """Describe a number, or the name of one that JSON does not have."""
    if type(value) in (int, float) or value in ("Infinity", "-Infinity", "NaN"):
        found: float | str = value
        return found
    raise Refused(f"{shown(value)} is no number")


def _at(key: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except RecursionError as error:
        raise Refused("it is nested too deeply") from error
