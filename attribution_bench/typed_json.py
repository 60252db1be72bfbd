"""Plain data read as dataclasses: the types that the fields declare are the format, and every value is held to them."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from attribution_bench.files import file_name_fault

Value = TypeVar("Value")
Reader = Callable[[Any], Any]
LARGEST_INTEGER = 2**53
"""Counts beyond it are no longer exact in other readers of JSON."""
LARGEST_NUMBER = 1e150
"""Numbers beyond it overflow as soon as they are squared."""
LONGEST_LABEL = 300
DEEPEST = 20
"""Lists and objects inside each other in a field of any plain data."""
SHOWN = 60
"""Characters of a wrong value that a message shows."""


@dataclasses.dataclass(frozen=True)
class Check:
    """What a value has to fulfil beyond its type, as metadata of ``Annotated``."""

    holds: Callable[[Any], bool]
    expected: str
    """``at least 1``."""


Positive = Annotated[int, Check(lambda value: value >= 1, "at least 1")]
PositiveNumber = Annotated[float, Check(lambda value: value > 0, "a number above 0")]
Seconds = Annotated[float, Check(lambda value: value == 0 or 1e-12 <= value <= 1e12, "0 or seconds up to 1e12")]
"""A time that a clock can measure."""
FileName = Annotated[str, Check(lambda value: file_name_fault(value) is None, "a name that files can have")]
Label = Annotated[str, Check(lambda value: len(value) <= LONGEST_LABEL, f"at most {LONGEST_LABEL} characters")]
"""Text that is drawn or printed on one line."""
Name = Annotated[Label, Check(lambda value: bool(value.strip()) and value.isprintable(), "a printable name")]


class MismatchError(ValueError):
    """A value that is not what its place in the data declares."""

    def __init__(self, problem: str, *place: str | int) -> None:
        super().__init__(problem)
        self.problem, self.place = problem, place

    def inside(self, key: str | int) -> "MismatchError":
        """Return the same mismatch, seen from the list or object that holds the value."""
        return MismatchError(self.problem, key, *self.place)

    def __str__(self) -> str:
        place = "".join(f"[{key}]" if isinstance(key, int) else f".{_name(key)}" for key in self.place)
        return f"{place.lstrip('.')}: {self.problem}" if place else self.problem


def read_as(kind: type[Value], data: Any) -> Value:
    """Return plain data, as JSON gives it, as a dataclass.

    A field's type may be bool, int (a count, at least 0), float, str, None, ``Literal``, ``tuple[X, ...]``,
    ``frozenset[X]``, ``Mapping[str, X]``, another dataclass, ``X | None``, ``Annotated[X, Check(...)]``, or ``Any`` for
    any plain data. A field with a default may be missing; no other key may be there.

    Raises
    ------
    MismatchError
        A value is of another type, missing, unknown, out of bounds, not finite, or text that UTF-8 does not have; the
        message begins with its place: ``machine.cores: expected an integer, not 'many'``.
    """
    hint: Any = kind
    value: Value = _reader(hint)(data)
    return value


def read_known(kind: type[Value], data: Mapping[str, Any]) -> Value:
    """Return those entries of plain data that a dataclass knows; further ones may be there. Raises as `read_as`."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return read_as(kind, {name: value for name, value in data.items() if name in known})


def read_plain(data: Any) -> Any:
    """Return plain data of any form, once its depth, its numbers and its text are bounded. Raises as `read_as`."""
    return _plain(data)


@cache
def _reader(hint: Any) -> Reader:
    """Return the function that reads values of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(hint)
    if origin is Annotated:
        return _checked(_reader(arguments[0]), arguments[1:])
    if origin is Literal:
        return _literal(arguments)
    if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        inner = _reader(next(argument for argument in arguments if argument is not NoneType))
        return lambda value: None if value is None else inner(value)
    if origin in (tuple, frozenset):
        return _list_reader(origin, _reader(arguments[0]))
    if origin is Mapping and arguments[0] is str:
        return _mapping_reader(_reader(arguments[1]))
    raise TypeError(f"values of type {hint} cannot be read from JSON")


def _dataclass_reader(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}
    needed = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]

    def read(value: Any) -> Any:
        _expect(isinstance(value, dict), "an object", value)
        for name in value:
            if name not in fields:
                raise MismatchError("is not known here", name)
        for name in needed:
            if name not in value:
                raise MismatchError("is missing", name)
        return kind(**{name: _inside(name, fields[name], entry) for name, entry in value.items()})

    return read


def _list_reader(kind: Callable[[list[Any]], Any], item: Reader) -> Reader:
    def read(value: Any) -> Any:
        _expect(isinstance(value, list), "a list", value)
        return kind([_inside(index, item, entry) for index, entry in enumerate(value)])

    return read


def _mapping_reader(item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        _expect(isinstance(value, dict), "an object", value)
        return {_inside(key, _text, key): _inside(key, item, entry) for key, entry in value.items()}

    return read


def _checked(inner: Reader, checks: tuple[Check, ...]) -> Reader:
    def read(value: Any) -> Any:
        found = inner(value)
        for check in checks:
            _expect(check.holds(found), check.expected, value)
        return found

    return read


def _literal(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        # True equals 1, and 1.0 does, but neither is what was declared.
        found = [choice for choice in choices if choice == value and type(choice) is type(value)]
        _expect(bool(found), f"one of {', '.join(map(repr, choices))}", value)
        return found[0]

    return read


def _inside(key: str | int, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except MismatchError as error:
        raise error.inside(key) from None


def _bool(value: Any) -> bool:
    _expect(isinstance(value, bool), "true or false", value)
    return bool(value)


def _count(value: Any) -> int:
    _expect(isinstance(value, int) and not isinstance(value, bool), "an integer", value)
    _expect(0 <= value <= LARGEST_INTEGER, f"an integer from 0 to {LARGEST_INTEGER}", value)
    return int(value)


def _number(value: Any) -> int | float:
    _expect(isinstance(value, int | float) and not isinstance(value, bool), "a number", value)
    _expect(abs(value) <= LARGEST_NUMBER and math.isfinite(value), "a finite number of any sensible size", value)
    number: int | float = value
    return number


def _text(value: Any) -> str:
    _expect(isinstance(value, str), "text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        _expect(False, "text that UTF-8 has", value)
    return str(value)


def _none(value: Any) -> None:
    _expect(value is None, "null", value)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return any plain data, once all in it is bounded."""
    _expect(depth <= DEEPEST, f"no more than {DEEPEST} lists and objects in each other", "deeper ones")
    if isinstance(value, dict):
        for key, entry in value.items():
            _inside(key, _text, key)
            _inside(key, lambda inner: _plain(inner, depth + 1), entry)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            _inside(index, lambda inner: _plain(inner, depth + 1), entry)
    elif isinstance(value, str):
        _text(value)
    elif value is not None and not isinstance(value, bool):
        _number(value)
    return value


def _expect(holds: bool, expected: str, value: Any) -> None:
    if not holds:
        raise MismatchError(f"expected {expected}, not {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a wrong value as a message shows it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return "a larger one"
    text = "null" if value is None else ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _name(key: str) -> str:
    return key if key.isidentifier() and len(key) <= SHOWN else ascii(key[:SHOWN])


SCALARS: Mapping[Any, Reader] = {
    bool: _bool,
    int: _count,
    float: _number,
    str: _text,
    NoneType: _none,
    Any: _plain,
}
