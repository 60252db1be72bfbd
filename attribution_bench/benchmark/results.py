"""Records: what was measured of one cell of the benchmark, as plain data and as JSON. The rest derives from it."""

import hashlib
import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from attribution_bench.attribution import Tags
from attribution_bench.benchmark.rounds import agree, spread
from attribution_bench.description import Description, describe_installed, plain_label, tags_to_json
from attribution_bench.environment import Commit, Machine
from attribution_bench.errors import InvalidInputError, ResultError
from attribution_bench.files import reading, write_whole
from attribution_bench.json_files import json_text, parse_json, read_json
from attribution_bench.typed_json import Label, MismatchError, Positive, Seconds, read_as

SCHEMA = 1
"""Version of the JSON written here; it rises when a reader of the old one would misread the new one."""
RECORDS = "records"
"""Folder of the records inside a results folder."""
DERIVED = "spread"
"""Written for readers of the JSON; when read it is worked out again, from the durations."""
Status = Literal["ok", "failed", "unsupported"]
LONGEST_NAME = 200
"""Characters of a file's name before its suffix; file systems take 255 with it."""
LARGEST_RECORD = 2**22
"""Bytes of a record's file; those of this release have some 2000."""


def file_name(*parts: str) -> str:
    """Return the name of the JSON file of what the parts name together: readable, and safe on every file system."""
    name = "-".join(re.sub(r"[^A-Za-z0-9_.=]+", "_", part) for part in parts)
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:12]
        name = f"{name[: LONGEST_NAME - len(digest) - 1]}-{digest}"
    return name + ".json"


@dataclass(frozen=True)
class Workload:
    """One cell: what is measured."""

    architecture: Label
    """Registered name of an architecture, or the name by which a user's model was given."""
    length: Positive
    """Letters in a sequence."""
    framework: Label
    """``torch`` or ``keras``."""
    method: Label
    """Registered name of the method."""
    sequences: Positive | None = None
    """How many sequences are scored, where that tells cells apart, as in the engine suite; None elsewhere."""

    @property
    def file_name(self) -> str:
        """Name of the record's file: readable, and safe on every file system."""
        count = () if self.sequences is None else (f"{self.sequences}_sequences",)
        return file_name(self.architecture, str(self.length), *count, self.framework, self.method)

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

    batch_size: Positive | None
    """Rows in one call of the model; None is the method's own default."""
    seconds: Seconds | None
    """Time for `done`; None when this batch size failed."""
    done: Units
    error: str | None = None


def foretold(sweep: Sequence[BatchTiming], batch_size: int | None, part: Units) -> float | None:
    """Return the seconds that a part would take at a batch size at the rate of the sweep; None where it has none."""
    timed = [t for t in sweep if t.batch_size == batch_size and t.done.total]
    rates = [timing.seconds / timing.done.total for timing in timed if timing.seconds is not None]
    return rates[0] * part.total if rates else None


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
    durations: tuple[Seconds, ...]
    """Seconds of each round over `done` at the chosen batch size; empty unless ok."""
    done: Units | None
    """Work in one round; None unless ok."""
    asked: Units | None
    """Work of the whole workload; None when the cell failed before it was known."""
    batch_sizes: tuple[BatchTiming, ...]
    """The sweep, in the order measured."""
    batch_size: Positive | None
    """The batch size chosen; None is the method's own default."""
    device: str
    threads: Positive
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
    label: Label = ""
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
    def spread(self) -> float | None:
        """The slowest round minus the fastest, as a share of the median; None with fewer than two rounds."""
        return spread(self.durations)

    @property
    def foretold_seconds(self) -> float | None:
        """What the sweep over batch sizes let expect of one round; None where it did not time the one chosen."""
        return foretold(self.batch_sizes, self.batch_size, self.done) if self.done else None

    @property
    def rounds_agree(self) -> bool | None:
        """Whether the rounds agree with each other and with the sweep, as `attribution_bench.benchmark.rounds` says."""
        return agree(self.durations, self.foretold_seconds) if self.durations else None

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
        data = {**asdict(self), "tags": self.tags and tags_to_json(self.tags), DERIVED: self.spread}
        return json_text("a record", data, indent=1, sort_keys=True) + "\n"

    @property
    def method_label(self) -> str:
        """Name of the method that people read, made from the registered one where none is stored."""
        return self.label or plain_label(self.workload.method)

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Read what `to_json` wrote.

        Raises
        ------
        ResultError
            The text is no record, or one of another schema; it is an InvalidInputError too.
        """
        try:
            return cls._from_data(parse_json(text))
        except ValueError as error:
            raise ResultError(str(error)) from error

    @classmethod
    def _from_data(cls, data: Any) -> "Record":
        """Read a record from plain data; raises ValueError."""
        if not isinstance(data, dict):
            raise MismatchError("a record is an object")
        if "schema" not in data:
            raise MismatchError("is missing", "schema")
        if type(data["schema"]) is not int or data["schema"] != SCHEMA:
            raise ValueError(f"schema {ascii(data['schema'])[:60]} is not {SCHEMA}, which this version reads")
        record = read_as(cls, {name: value for name, value in data.items() if name != DERIVED})
        record._validate()
        return record

    def _validate(self) -> None:
        if self.workload.length != self.sequences.length:
            raise MismatchError(f"expected {self.workload.length} as in the workload", "sequences", "length")
        budget = self.settings.get("budget")
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int | float)):
            raise MismatchError(f"expected seconds or null, not {ascii(budget)[:60]}", "settings", "budget")
        if self.status != "ok":
            return
        if not self.durations or self.done is None or self.asked is None:
            raise ValueError("status is ok, but durations or amounts of work are missing")
        if self.done.total < 1 or self.asked.total < 1:
            raise ValueError(f"no work was done ({self.done}) or asked for ({self.asked})")
        if any(getattr(self.done, unit) > getattr(self.asked, unit) for unit in ("sequences", "positions", "outputs")):
            raise ValueError(f"more work was done ({self.done}) than asked for ({self.asked})")


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
    """Read one record; raises ResultError, which is an InvalidInputError too, naming the file.

    `describe` completes a record without tags, as all were before tags were stored, from the name of its method.
    """
    with reading(path, "is no benchmark record that can be read"):
        record = Record._from_data(read_json(path, LARGEST_RECORD))
    if record.tags is not None:
        return record
    described = describe(record.workload.method)
    return replace(record, label=record.label or described.label, tags=described.tags)
