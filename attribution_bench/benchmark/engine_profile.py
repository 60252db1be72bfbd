"""What one run of a method is made of, measured apart from the figures, which timing its steps would disturb.

The method measures itself (its tags say ``profiles``); what it found is stored here with the conditions.
"""

import contextlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from attribution_bench.benchmark.results import file_name
from attribution_bench.benchmark.workloads import Row
from attribution_bench.description import describe, describe_installed
from attribution_bench.environment import (
    Commit,
    Machine,
    describe_machine,
    library_versions,
    source_commit,
    thread_count,
)
from attribution_bench.errors import InvalidInputError, PluginError
from attribution_bench.files import reading, write_whole
from attribution_bench.json_files import json_text, read_json
from attribution_bench.registry import get_method
from attribution_bench.timer import CLOCK, Clock
from attribution_bench.typed_json import Label, MismatchError, Positive, PositiveNumber, Seconds, read_as

PROFILES = "profiles"
"""Folder of the profiles inside a results folder."""
LARGEST_PROFILE = 2**24
"""Bytes of a profile's file."""
UNNAMED = "fastism"
"""The method of stored profiles that name none: no other could be profiled when they were written."""


@dataclass(frozen=True)
class NodeTime:
    """Seconds that one node of the plan took."""

    layer: Label
    """The model's own name for it."""
    operation: Label
    mode: Label
    seconds: Seconds


@dataclass(frozen=True)
class PrecisionTime:
    """A run with the method's products computed in one precision."""

    products: str
    """``float32``, or the lower precision."""
    seconds: Seconds
    """Seconds of a warm run of the profile's positions."""
    error: float
    """Largest difference from full passes in double precision at a few positions, over the largest prediction."""
    delta_error: float
    """Largest difference in predictions less the unmutated one, over the largest such change."""


@dataclass(frozen=True)
class MeasuredProfile:
    """What a method measured of itself: counted work, cold and warm seconds, and the time of its steps.

    The runs are of one sequence; times are seconds of a monotonic clock.
    """

    letters: Positive
    """Letters of the alphabet; each position has one alternative less."""
    products_standard: int
    """Multiply-accumulates of a full pass; 0 where the model could not be captured."""
    products_fast: int
    """Multiply-accumulates of one mutation in the middle of the sequence, as planned."""
    predicted_ratio: PositiveNumber
    fallback: str
    """Why every mutation takes a full pass; empty where the engine runs."""
    matrix_products_per_second: PositiveNumber
    """Multiply-accumulates a second of a large matrix product, on the same device, threads and precision."""
    capture_seconds: Seconds
    """Capture and plan."""
    positions: int
    """Mutated positions of each run, in the middle of the sequence."""
    first_seconds: Seconds
    """Seconds of the first run after capture and plan, with the self-check."""
    warm_seconds: Seconds
    single_thread_seconds: Seconds
    """The run in which the nodes were timed: on one thread, so that their times add up."""
    nodes: tuple[NodeTime, ...]
    """The most expensive first; empty where no plan ran. What is missing to the run's time was spent between them."""
    precisions: tuple[PrecisionTime, ...] = ()
    """Full precision first; empty where no plan ran, or the model has no copy in double precision."""


@runtime_checkable
class Profiles(Protocol):
    """A method whose tags say ``profiles``."""

    def profile(self, one_hot: NDArray[np.floating], *, budget: float, clock: Clock) -> MeasuredProfile:
        """Return what runs on one sequence (1, A, L) are made of; the method is new, and has not been called before.

        Parameters
        ----------
        budget
            Seconds for the runs; they take as many positions as should fit, and no fewer than tell something.
        clock
            Tells seconds.
        """
        ...


@dataclass(frozen=True)
class EngineProfile:
    """One method on one model and length: what it measured of itself, and the conditions."""

    method: Label
    """Registered name of the method."""
    label: Label
    """Name of the method that people read."""
    architecture: Label
    length: Positive
    framework: str
    device: str
    threads: Positive
    budget: float
    """Seconds that the runs were to take together."""
    machine: Machine
    versions: Mapping[str, str]
    commit: Commit | None
    date: str
    """ISO 8601 in UTC."""
    measured: MeasuredProfile

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``profiles/<model>-<length>-<framework>.json`` into a results folder, whole or not at all.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        data = asdict(self)
        data |= data.pop("measured")
        text = json_text("a profile", data, indent=1, sort_keys=True) + "\n"
        return write_whole(_path(folder, self.architecture, self.length, self.framework), text)

    @classmethod
    def load(cls, path: Path) -> "EngineProfile":
        """Read what `save` wrote; raises ResultError, which is an InvalidInputError too, naming a file that is none."""
        with reading(path, "is no profile of a method that can be read"):
            data = read_json(path, LARGEST_PROFILE)
            if not isinstance(data, dict):
                raise MismatchError("a profile is an object")
            known = {field.name for field in fields(MeasuredProfile)}
            measured = {name: value for name, value in data.items() if name in known}
            others = {name: value for name, value in data.items() if name not in known}
            others.setdefault("method", UNNAMED)
            others.setdefault("label", "")
            profile = read_as(cls, {**others, "measured": measured})
            return replace(profile, label=profile.label or describe_installed(profile.method).label)


def load_profiles(folder: str | os.PathLike[str]) -> tuple[EngineProfile, ...]:
    """Read every profile of a results folder, sorted by file name; raises as `EngineProfile.load` does."""
    return tuple(EngineProfile.load(path) for path in sorted((Path(folder) / PROFILES).glob("*.json")))


def measure_profile(
    row: Row,
    folder: str | os.PathLike[str],
    method: str,
    *,
    budget: float,
    device: str,
    threads: int,
    fresh: bool = False,
    clock: Clock = CLOCK,
) -> EngineProfile:
    """Profile a method on a row's model and store it; one stored under the same conditions is returned as it is.

    Parameters
    ----------
    method
        Registered name of a method whose tags say ``profiles``.
    budget
        Seconds for the runs; they take as many positions as should fit, and no fewer than tell something.
    device
        As the row's framework names it.

    Raises
    ------
    OutputError
        The folder cannot be written.
    PluginError
        The method's tags say that it profiles, but it has no ``profile``; or they do not say so.
    """
    conditions: dict[str, Any] = {
        "method": method,
        "architecture": row.architecture,
        "length": row.length,
        "framework": row.framework,
        "device": device,
        "threads": threads,
        "budget": budget,
        "machine": describe_machine(device),
        "versions": library_versions(),
        "commit": source_commit(),
    }
    if not fresh:
        with contextlib.suppress(InvalidInputError):  # missing, or of another version: it is measured again
            earlier = EngineProfile.load(_path(folder, row.architecture, row.length, row.framework))
            if all(getattr(earlier, name) == value for name, value in conditions.items()):
                return earlier
    with thread_count(row.framework, threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the figures' records keep what the method warns of
        bound = get_method(method)(row.build())
        if not (bound.tags.profiles and isinstance(bound, Profiles)):
            raise PluginError(f"the method {method!r} does not profile itself, or lacks the method `profile` for it")
        one_hot = bound.model.alphabet.one_hot(row.sequences.strings[:1])
        measured = bound.profile(one_hot, budget=budget, clock=clock)
    date, label = datetime.now(UTC).isoformat(timespec="seconds"), describe(method, bound).label
    profile = EngineProfile(**conditions, label=label, date=date, measured=measured)
    profile.save(folder)
    return profile


def _path(folder: str | os.PathLike[str], architecture: str, length: int, framework: str) -> Path:
    return Path(folder) / PROFILES / file_name(architecture, str(length), framework)
