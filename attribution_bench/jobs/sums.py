"""Sums over the models of an ensemble: mean and standard deviation, added up model after model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.jobs.contents import Values

HEADER, DIGEST = "header", "sha256"


@dataclass
class Sum:
    """One array's numbers over the models so far."""

    content: str
    """One of `attribution_bench.jobs.contents.CONTENTS`."""
    axes: tuple[str, ...]
    """Names of the axes after the first."""
    total: NDArray[Any]
    """(n, *axes): their sum; of one model its own array."""
    squares: NDArray[np.float64] | None = None
    """The sum of their squared deviations from their mean; None of one model."""

    def add(self, array: NDArray[Any], count: int) -> None:
        """Add the numbers of a model, the `count`th."""
        if self.squares is None:
            self.total = self.total.astype(np.float64)
            self.squares = np.zeros_like(self.total)
        # A number that is not finite stays so in both; its record is set aside.
        with np.errstate(invalid="ignore", over="ignore"):
            deviation = array - self.total / (count - 1)
            # Welford's update; written as a square it never falls below 0.
            deviation *= deviation
            deviation *= (count - 1) / count
            self.squares += deviation
            self.total += array


@dataclass
class Sums:
    """What some models, always the first ones, make of the scorable records of a shard.

    Models are added in their order, in double precision, so that the same models give the same bits wherever and in
    however many steps they are added.
    """

    count: int = 0
    """Models so far."""
    sums: dict[str, Sum] = field(default_factory=dict)
    """Name of the array -> its sum."""
    bad: dict[int, str] = field(default_factory=dict)
    """Row of a record whose numbers are not finite -> where they are so."""
    halvings: int = 0
    """How often blocks were halved because memory ran out, at most, for one of the models."""

    def add(self, values: Mapping[str, Values]) -> None:
        """Add a model's arrays.

        Raises
        ------
        InvalidInputError
            They are not those of the models before, by name and shape.
        """
        here = {name: one.array.shape for name, one in values.items()}
        there = {name: one.total.shape for name, one in self.sums.items()}
        if self.count and here != there:
            other = "; ".join(
                f"{name} {here.get(name, 'missing')} instead of {there.get(name, 'nothing')}"
                for name in {**there, **here}
                if here.get(name) != there.get(name)
            )
            raise InvalidInputError(
                f"models whose scores are averaged must give the same arrays, but one gives {other}; choose a target "
                "that is the same of each"
            )
        self.count += 1
        for name, one in values.items():
            if self.count == 1:
                self.sums[name] = Sum(one.content, one.axes, one.array)
            else:
                self.sums[name].add(one.array, self.count)

    def results(self) -> dict[str, Values]:
        """Return the means, and of several models the standard deviations (NumPy's) as ``<name>_sd``."""
        means = {
            name: Values(one.content, one.total if one.squares is None else one.total / self.count, one.axes)
            for name, one in self.sums.items()
        }
        spreads = {
            f"{name}_sd": Values(one.content, np.sqrt(one.squares / self.count), one.axes)
            for name, one in self.sums.items()
            if one.squares is not None
        }
        return means | spreads

    def packed(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays, to be kept in a file; one of them is the digest of the others."""
        header = {
            "models": self.count,
            "arrays": [[name, one.content, list(one.axes)] for name, one in self.sums.items()],
            "bad": {str(row): text for row, text in self.bad.items()},
            "halvings": self.halvings,
        }
        arrays: dict[str, NDArray[Any]] = {HEADER: np.array(json.dumps(header))}
        for number, one in enumerate(self.sums.values()):
            arrays[f"total_{number}"] = one.total
            if one.squares is not None:
                arrays[f"squares_{number}"] = one.squares
        return {**arrays, DIGEST: np.array(_digest(arrays))}

    @classmethod
    def unpacked(cls, arrays: Mapping[str, NDArray[Any]]) -> "Sums":
        """Return what was packed; raises OutputError where anything of it is missing or another."""
        given = {name: array for name, array in arrays.items() if name != DIGEST}
        if DIGEST not in arrays or str(arrays[DIGEST]) != _digest(given):
            raise OutputError("sums over models are not what was written")
        try:
            header = json.loads(str(arrays[HEADER]))
            sums = {
                name: Sum(content, tuple(axes), arrays[f"total_{number}"], arrays.get(f"squares_{number}"))
                for number, (name, content, axes) in enumerate(header["arrays"])
            }
            bad = {int(row): text for row, text in header["bad"].items()}
            return cls(header["models"], sums, bad, header["halvings"])
        except (LookupError, ValueError, TypeError, AttributeError) as error:  # of another release
            raise OutputError(f"sums over models cannot be read: {error}") from error


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of arrays with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
