"""Bars that requests are held to, with what was measured of each, as plain data and as JSON.

Each script of ``tests/speed`` that judges bars writes one file; the engine's page shows them all.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from attribution_bench.environment import Commit, Machine
from attribution_bench.files import reading, write_whole
from attribution_bench.json_files import json_text, read_json
from attribution_bench.typed_json import Label, MismatchError, Name, Positive, PositiveNumber, read_as

SCHEMA = 1
"""Version of the JSON written here; it rises when a reader of the old one would misread the new one."""
EDGES = "edges"
"""Folder of the records of bars inside a results folder."""
LARGEST_RECORD = 2**24
"""Bytes of a record's file; a line takes some 800."""
Kind = Literal[
    "Few positions and lists of mutations",
    "Spread positions",
    "A part of the outputs",
    "One variant",
    "The first call",
    "Full passes of Keras models",
    "Beside DeepSHAP",
]
"""What the bars of a record are about, as a heading."""
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Every kind, in the order of the page."""


@dataclass(frozen=True)
class Bar:
    """One bar, and the figure that is held to it: what a request costs, by itself or beside another one."""

    model: Name
    """The model as people know it, or a shell command."""
    length: Positive | None
    """Letters of a sequence; None for a command."""
    framework: Literal["torch", "keras"] | None
    """None for a command."""
    request: Name
    """What was asked for: ``200 spread positions, 8 sequences``."""
    beside: Label
    """What it is compared with: ``all positions``; empty where the figure stands by itself."""
    unit: Literal["ratio", "seconds"]
    figure: float
    lowest: float
    """The round with the lowest figure; `highest` alike."""
    highest: float
    rounds: Positive
    sense: Literal["at most", "at least"]
    """On which side of the limit the figure is to lie."""
    limit: PositiveNumber

    @property
    def met(self) -> bool:
        """Whether the figure is at most, or at least, the limit."""
        return self.figure <= self.limit if self.sense == "at most" else self.figure >= self.limit

    @property
    def place(self) -> tuple[object, ...]:
        """What tells the bar from the others of its record."""
        return self.model, self.length, self.framework, self.request, self.beside


@dataclass(frozen=True)
class Conditions:
    """Where, when and of which source a bar was measured."""

    machine: Machine
    threads: Positive
    versions: Mapping[str, str]
    commit: Commit | None
    """None when the package does not run from a git checkout."""
    date: str
    """When the figure was known, ISO 8601 in UTC."""


@dataclass(frozen=True)
class Line:
    """One bar with the conditions under which it was measured."""

    bar: Bar
    conditions: Conditions


@dataclass(frozen=True)
class BarRecord:
    """All bars of one script, in the order in which they were first measured."""

    kind: Kind
    procedure: str
    """How the figures were measured, in sentences."""
    lines: tuple[Line, ...] = ()

    def with_lines(self, lines: Iterable[Line]) -> "BarRecord":
        """Return the record with further lines; one of the same place is replaced where it stands."""
        found = {line.bar.place: line for line in (*self.lines, *lines)}
        return replace(self, lines=tuple(found.values()))

    def to_json(self) -> str:
        """Return the record as JSON, one line of text a bar."""
        facts = {"schema": SCHEMA, "kind": self.kind, "procedure": self.procedure}
        head = "".join(f' "{name}": {json_text("a record of bars", value)},\n' for name, value in facts.items())
        lines = ",\n  ".join(json_text("a bar", asdict(line)) for line in self.lines)
        return f'{{\n{head} "lines": [\n  {lines}\n ]\n}}\n'

    @classmethod
    def load(cls, path: Path) -> "BarRecord":
        """Read what `save` wrote; raises ResultError, which is an InvalidInputError too, naming a file that is none."""
        with reading(path, "is no record of bars that can be read"):
            data = read_json(path, LARGEST_RECORD)
            if not isinstance(data, dict):
                raise MismatchError("a record is an object")
            return cls._from_data(data)

    @classmethod
    def _from_data(cls, data: Mapping[str, Any]) -> "BarRecord":
        """Read a record from plain data; raises ValueError."""
        if "schema" not in data:
            raise MismatchError("is missing", "schema")
        if type(data["schema"]) is not int or data["schema"] != SCHEMA:
            raise ValueError(f"schema {ascii(data['schema'])[:60]} is not {SCHEMA}, which this version reads")
        record = read_as(cls, {name: value for name, value in data.items() if name != "schema"})
        for number, line in enumerate(record.lines):
            if not line.bar.lowest <= line.bar.figure <= line.bar.highest:
                raise MismatchError("expected a figure between the lowest and the highest round", "lines", number)
        return record

    def save(self, path: Path) -> Path:
        """Write the record, whole or not at all; returns the path.

        Raises
        ------
        OutputError
            The folder cannot be written, or a figure is not finite.
        """
        return write_whole(path, self.to_json())


def keep_bars(path: Path, kind: Kind, procedure: str, lines: Iterable[Line]) -> Path:
    """Write lines into a script's record, over those of the same places; what else it holds stays.

    Raises
    ------
    ResultError
        The file holds something else, or a record of another schema; it is left as it was.
    OutputError
        The folder cannot be written, or a figure is not finite.
    """
    earlier = BarRecord.load(path).lines if path.exists() else ()
    return BarRecord(kind, procedure, earlier).with_lines(lines).save(path)


def load_bars(folder: str | os.PathLike[str]) -> tuple[BarRecord, ...]:
    """Read every record of bars of a results folder, by kind and file name; raises as `BarRecord.load` does."""
    records = [BarRecord.load(path) for path in sorted((Path(folder) / EDGES).glob("*.json"))]
    return tuple(sorted(records, key=lambda record: KINDS.index(record.kind)))
