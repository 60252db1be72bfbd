"""Plain data read as dataclasses: what is taken, and what is said of the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from attribution_bench.errors import ResultError
from attribution_bench.json_files import json_text, parse_json, read_json
from attribution_bench.typed_json import Check, MismatchError, Positive, Seconds, read_as, read_known, read_plain


@dataclass(frozen=True)
class Inner:
    cores: int
    speed: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    kind: Literal["a", 1] = "a"
    switches: frozenset[str] = frozenset()
    rows: tuple[tuple[float, ...], ...] = ()
    by_name: Mapping[str, Inner | None] = field(default_factory=dict)
    count: Positive | None = None
    seconds: Seconds | None = None
    even: Annotated[int, Check(lambda value: value % 2 == 0, "an even number")] = 0
    flag: bool = False
    rest: Any = None


def test_data_become_what_the_fields_declare():
    data = {
        "name": "é", "inner": {"cores": 2}, "kind": 1, "switches": ["x", "y"], "rows": [[1, 2.5], []],
        "by_name": {"a": {"cores": 0, "speed": -1}, "b": None}, "count": 3, "seconds": 0, "even": 4, "flag": True,
        "rest": {"deep": [1, {"er": None}]},
    }  # fmt: skip
    assert read_as(Outer, data) == Outer(
        "é", Inner(2), 1, frozenset("xy"), ((1, 2.5), ()), {"a": Inner(0, -1), "b": None}, 3, 0, 4, True, data["rest"]
    )
    assert read_as(Outer, {"name": "", "inner": {"cores": 0}}) == Outer("", Inner(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": {"cores": "many"}}, "inner.cores: expected an integer, not 'many'"),
        ({"inner": {"cores": True}}, "inner.cores: expected an integer, not True"),
        ({"inner": {"cores": 2.0}}, "inner.cores: expected an integer, not 2.0"),
        ({"inner": {"cores": -1}}, "inner.cores: expected an integer from 0 to"),
        ({"inner": {"cores": 10**5000}}, "inner.cores: expected an integer from 0 to .*, not a larger one"),
        ({"inner": {}}, "inner.cores: is missing"),
        ({"inner": {"cores": 1, "memory": 2}}, "inner.memory: is not known here"),
        ({"inner": {"cores": 1, "speed": float("inf")}}, "inner.speed: expected a finite number"),
        ({"inner": {"cores": 1, "speed": 10**400}}, "inner.speed: expected a finite number"),
        ({"inner": [1]}, "inner: expected an object, not a list"),
        ({"name": None}, "name: expected text, not null"),
        ({"name": "\ud800"}, "name: expected text that UTF-8 has"),
        ({"kind": True}, "kind: expected one of 'a', 1, not True"),
        ({"kind": 1.0}, "kind: expected one of 'a', 1, not 1.0"),
        ({"rows": [[1], [None]]}, r"rows\[1\]\[0\]: expected a number, not null"),
        ({"rows": "12"}, "rows: expected a list, not '12'"),
        ({"by_name": {"a b": 3}}, r"by_name\.'a b': expected an object, not 3"),
        ({"count": 0}, "count: expected at least 1, not 0"),
        ({"seconds": -1.5}, "seconds: expected 0 or seconds up to 1e12, not -1.5"),
        ({"even": 3}, "even: expected an even number, not 3"),
        ({"flag": 1}, "flag: expected true or false, not 1"),
        ({"rest": [{"x": float("nan")}]}, r"rest\[0\]\.x: expected a finite number"),
        ({"name": "x" * 10**6, "flag": "y" * 10**6}, r"flag: expected true or false, not 'y{59}…$"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MismatchError, match=f"^{message}"):
        read_as(Outer, {"name": "n", "inner": {"cores": 1}, **change})


def test_deep_plain_data_are_refused():
    data: Any = 1
    for _ in range(25):
        data = [data]
    with pytest.raises(MismatchError, match="no more than 20 lists"):
        read_plain(data)


def test_further_entries_may_stand_beside_known_ones():
    assert read_known(Inner, {"cores": 1, "other": [2]}) == Inner(1)
    with pytest.raises(MismatchError, match="cores: is missing"):
        read_known(Inner, {"other": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "utf-8"),
        ("\ufeff{}", "BOM"),
        ("{", "Expecting"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' twice"),
        ("[NaN]", "NaN, but its numbers must be finite"),
        ("[-Infinity]", "-Infinity"),
        ("[" * 10**5, "nests too many"),
        ('{"a":' * 10**5, "nests too many"),
        ("9" * 10**4, "an integer of 10,000 digits"),
        ("[" + "0," * 20_000_000 + "0]", "more than 20,000,000 values"),
    ],
)
def test_text_that_is_no_strict_json(content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(content)


def test_files_are_bounded_and_regular(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    assert read_json(path, 6) == [1, 2]
    with pytest.raises(ValueError, match="larger than 5 bytes"):
        read_json(path, 5)
    with pytest.raises(ValueError, match="a folder or a device"):
        read_json(tmp_path, 5)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "y.json", 5)


@pytest.mark.parametrize("data", [[float("nan")], {"x": object()}, ["\ud800"], {1: 2, "a": 3}, [[[1j]]]])
def test_what_could_not_be_read_again_is_not_written(data: Any) -> None:
    with pytest.raises(ResultError, match="the thing cannot be stored"):
        json_text("the thing", data, sort_keys=True)
