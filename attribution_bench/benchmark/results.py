"""Records: what was measured of one cell of the benchmark, as plain data and as JSON. The rest derives from it."""

import json
import math
import os
import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from attribution_bench.attribution import Tags
from attribution_bench.description import Description, describe_installed, plain_label, tags_from_json, tags_to_json
from attribution_bench.environment import Commit, Machine
from attribution_bench.errors import InvalidInputError
from attribution_bench.files import write_whole

SCHEMA = 1
"""Version of the JSON written here; it rises when a reader of the old one would misread the new one."""
RECORDS = "records"
"""Folder of the records inside a results folder."""
Status = Literal["ok", "failed", "unsupported"]
STATUSES: tuple[Status, ...] = ("ok", "failed", "unsupported")


@dataclass(frozen=True)
class Workload:
    """One cell: what is measured."""

    architecture: str
    """Registered name of an architecture, or the name by which a user's model was given."""
    length: int
    """Letters in a sequence."""
    framework: str
    """``torch`` or ``keras``."""
    method: str
    """Registered name of the method."""
    sequences: int | None = None
    """How many sequences are scored, where that tells cells apart, as in the engine suite; None elsewhere."""

    @property
    def file_name(self) -> str:
        """Name of the record's file: readable, and safe on every file system."""
        count = () if self.sequences is None else (f"{self.sequences}_sequences",)
        parts = (self.architecture, str(self.length), *count, self.framework, self.method)
        return "-".join(re.sub(r"[^A-Za-z0-9_.=]+", "_", part) for part in parts) + ".json"

    def __str__(self) -> str:
        count = "" if self.sequences is None else f" {self.sequences} sequences"
        return f"{self.architecture} {self.length}{count} {self.framework} {self.method}"


@dataclass(frozen=True)
class Units:
    """An amount of work: numbers of sequences, of positions of each, and of scalar outputs."""

    sequences: int
    positions: int
    outputs: int

    @property
    def total(self) -> int:
        """Sequences x positions x outputs."""
        return self.sequences * self.positions * self.outputs


@dataclass(frozen=True)
class BatchTiming:
    """One batch size of the sweep."""

    batch_size: int | None
    """Rows in one call of the model; None is the method's own default."""
    seconds: float | None
    """Time for `done`; None when this batch size failed."""
    done: Units
    error: str | None = None


@dataclass(frozen=True)
class OutputCheck:
    """What was checked of the scores or predictions that the measured calls gave."""

    compared: str
    """What was compared with what, in words."""
    passed: bool
    largest_difference: float | None = None
    """Largest absolute difference from plain forward passes over the outputs' largest absolute value."""
    convergence_delta: float | None = None
    """Largest |sum of attributions - (f(x) - f(baseline))| where the method computes it, in units of the output."""


@dataclass(frozen=True)
class SequenceSource:
    """The sequences that were scored."""

    description: str
    sha256: str
    count: int
    length: int


@dataclass(frozen=True)
class Record:
    """All that was measured of one cell. Times are seconds of a monotonic clock."""

    workload: Workload
    status: Status
    error: str | None
    """Type and message of the error; None when status is ``ok``."""
    durations: tuple[float, ...]
    """Seconds of each round over `done` at the chosen batch size; empty unless ok."""
    done: Units | None
    """Work in one round; None unless ok."""
    asked: Units | None
    """Work of the whole workload; None when the cell failed before it was known."""
    batch_sizes: tuple[BatchTiming, ...]
    """The sweep, in the order measured."""
    batch_size: int | None
    """The batch size chosen; None is the method's own default."""
    device: str
    threads: int
    peak_memory_bytes: int | None
    """Highest memory of the process (CPU) or of the framework's allocator (GPU) while the cell ran."""
    memory_kind: str | None
    """``resident set`` or ``GPU allocator``."""
    check: OutputCheck | None
    machine: Machine
    versions: Mapping[str, str]
    commit: Commit | None
    """Commit of the source that ran; None when the package does not run from a git checkout."""
    sequences: SequenceSource
    settings: Mapping[str, Any]
    """Budget, rounds, whether everything was measured, options of the method, targets."""
    date: str
    """When the cell ended, ISO 8601 in UTC."""
    warnings: tuple[str, ...] = ()
    """What the method warned of, each message once."""
    label: str = ""
    """Name of the method that people read."""
    tags: Tags | None = None
    """The method's tags; None where the cell failed before they were known."""
    schema: int = field(default=SCHEMA)

    @property
    def seconds(self) -> float | None:
        """Median over the rounds, for `done`; None unless ok."""
        return statistics.median(self.durations) if self.status == "ok" else None

    @property
    def seconds_per_100_sequences(self) -> float | None:
        """The figure of the table: the median scaled to every position and output of 100 sequences; None unless ok."""
        if self.seconds is None or self.done is None or self.asked is None:
            return None
        return self.seconds / self.done.total * (self.asked.total / self.asked.sequences) * 100

    @property
    def measured_fraction(self) -> float | None:
        """Part of the work asked for that a round did: 1 when nothing was scaled; None unless ok."""
        return self.done.total / self.asked.total if self.done and self.asked else None

    @property
    def scaled(self) -> bool:
        """Whether the figure was scaled up from a part of the work."""
        return self.done != self.asked if self.status == "ok" else False

    def to_json(self) -> str:
        """Return the record as indented JSON."""
        data = {**asdict(self), "tags": self.tags and tags_to_json(self.tags)}
        return json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @property
    def method_label(self) -> str:
        """Name of the method that people read, made from the registered one where none is stored."""
        return self.label or plain_label(self.workload.method)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Read what `to_json` wrote.

        Raises
        ------
        InvalidInputError
            The text is no record, or one of another schema.
        """
        try:
            data = json.loads(text)
            if data["schema"] != SCHEMA:
                raise InvalidInputError(f"schema {data['schema']!r} is not {SCHEMA}, which this version reads")
            record = cls(
                **{
                    **data,
                    "workload": Workload(**data["workload"]),
                    "durations": tuple(data["durations"]),
                    "warnings": tuple(data["warnings"]),
                    "done": data["done"] and Units(**data["done"]),
                    "asked": data["asked"] and Units(**data["asked"]),
                    "batch_sizes": tuple(
                        BatchTiming(**{**timing, "done": Units(**timing["done"])}) for timing in data["batch_sizes"]
                    ),
                    "check": data["check"] and OutputCheck(**data["check"]),
                    "machine": Machine(**data["machine"]),
                    "commit": data["commit"] and Commit(**data["commit"]),
                    "sequences": SequenceSource(**data["sequences"]),
                    "tags": tags_from_json(data["tags"]) if data.get("tags") else None,
                }
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InvalidInputError(f"{type(error).__name__}: {error}") from error
        record._validate()
        return record

    def _validate(self) -> None:
        if self.status not in STATUSES:
            raise InvalidInputError(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        if self.status != "ok":
            return
        if not self.durations or self.done is None or self.asked is None:
            raise InvalidInputError("status is ok, but durations or amounts of work are missing")
        if not all(isinstance(d, float | int) and math.isfinite(d) and d >= 0 for d in self.durations):
            raise InvalidInputError(f"durations {self.durations} are not all finite seconds")
        if self.done.total < 1 or self.asked.total < 1:
            raise InvalidInputError(f"no work was done ({self.done}) or asked for ({self.asked})")


def save_record(record: Record, folder: str | os.PathLike[str]) -> Path:
    """Write a record to ``folder/records/``, whole or not at all, over one of the same workload; returns its path.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    return write_whole(Path(folder) / RECORDS / record.workload.file_name, record.to_json())


def load_records(folder: str | os.PathLike[str]) -> list[Record]:
    """Read every record of a results folder (``folder/records/*.json``), sorted by file name.

    Raises
    ------
    InvalidInputError
        There is no record, or a file is none or has another schema; the message names it.
    """
    paths = sorted((Path(folder) / RECORDS).glob("*.json"))
    if not paths:
        raise InvalidInputError(
            f"{os.fspath(folder)} holds no benchmark records ({RECORDS}/*.json); "
            "give a folder that `attribution-bench reproduce-paper` or `benchmark` wrote"
        )
    describe = cache(describe_installed)
    return [read_record(path, describe) for path in paths]


def read_record(path: Path, describe: Callable[[str], Description] = describe_installed) -> Record:
    """Read one record; raises InvalidInputError naming the file.

    `describe` completes a record without tags, as all were before tags were stored, from the name of its method.
    """
    try:
        record = Record.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InvalidInputError) as error:
        raise InvalidInputError(f"{path} is no benchmark record that can be read: {error}") from error
    if record.tags is not None:
        return record
    described = describe(record.workload.method)
    return replace(record, label=record.label or described.label, tags=described.tags)
