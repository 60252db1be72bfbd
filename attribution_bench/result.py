"""Results of attribution methods: scores, with what is needed to read them, saved to files and loaded again."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.archives import opened_archive, under, write_archive
from attribution_bench.array_layout import check_finite
from attribution_bench.conventions import Convention, check_convention, ism_scores
from attribution_bench.conversions.logomaker import to_logomaker
from attribution_bench.conversions.shap import to_shap
from attribution_bench.conversions.tangermeme import to_tangermeme
from attribution_bench.errors import InvalidInputError, ResultError, UnsupportedError
from attribution_bench.json_files import json_text, parse_json
from attribution_bench.models.targets import Target
from attribution_bench.result_checks import ATTRIBUTIONS, check_attributions, checked_text
from attribution_bench.sequences.interval import Interval, Strand

if TYPE_CHECKING:
    import pandas
    import shap
    import torch
    import xarray

Index = int | slice | Sequence[int] | Sequence[bool] | NDArray[np.integer] | NDArray[np.bool_]
"""Sequences of a result: one, a slice, indices, or a mask (N,)."""
AGREEING = ("method", "options", "convention", "alphabet", "target", "outputs", "length", "dtype")
"""Entries of the metadata that results must have in common to be concatenated."""


@dataclass(frozen=True, eq=False)
class AttributionResult:
    """Scores of a method, with what is needed to read them without guessing.

    Shapes: N sequences, A letters, P positions (all L unless others were asked for), `*output` the axes of the target
    (none for a scalar). Positions are 0-based.

    ``len(result)`` is N. ``result[3]``, ``result[2:5]``, ``result[[0, 4]]`` and ``result[mask]`` are results of some of
    the sequences, whose arrays keep their first axis; the metadata stay those of the whole call.

    Raises
    ------
    InvalidInputError
        There is not one name or not one interval a sequence.
    """

    one_hot: NDArray[np.floating]
    """(N, A, P): the letters scored."""
    positions: NDArray[np.int64]
    """(P,) positions in the sequence, in the order in which they were asked for; they may repeat."""
    metadata: Mapping[str, Any]
    """method, options, convention, target, seed, dtype, TF32 state, versions; JSON-able."""
    predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """ISM methods: output -> (N, A, P, *output), the prediction with letter a at position p. The reference letter
    holds the reference prediction."""
    reference_predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """ISM methods: output -> (N, *output)."""
    convergence_delta: NDArray[np.floating] | None = None
    """Methods with a baseline: sum of attributions - (f(x) - f(baseline)).
    (N, *output), or (N, references, *output)."""
    stored_scores: NDArray[np.floating] | None = None
    """Scores as a method computed them or a store holds them; without them, scores derive from the predictions."""
    names: tuple[str, ...] | None = None
    """(N,) names of the sequences where they are known; they may repeat."""
    intervals: tuple[Interval, ...] | None = None
    """(N,) genomic coordinates of the whole sequences, whatever the positions, where they are known."""

    def __post_init__(self) -> None:
        for what, values in (("names", self.names), ("intervals", self.intervals)):
            if values is not None and len(values) != len(self):
                raise InvalidInputError(f"{what} must be one a sequence ({len(self)}), but there are {len(values)}")

    def __len__(self) -> int:
        return len(self.one_hot)

    def __repr__(self) -> str:
        facts = {"sequences": len(self), "positions": len(self.positions)}
        return one_line(self, facts, self.metadata)

    def __getitem__(self, key: Index) -> "AttributionResult":
        rows = _rows(key, len(self))
        arrays = {name: values[rows] for name, values in self._arrays().items()}
        numbers = np.arange(len(self))[rows]
        return self._rebuilt(arrays, _taken(self.names, numbers), _taken(self.intervals, numbers))

    @classmethod
    def concatenate(cls, results: Sequence["AttributionResult"]) -> "AttributionResult":
        """Return the sequences of several results one after another, as one result.

        Of the metadata those entries are kept that all results have in common.

        Parameters
        ----------
        results
            Results of one method with the same options, convention, alphabet, target, outputs, positions, length and
            type of numbers. Names and intervals are known of all sequences or of none.

        Raises
        ------
        InvalidInputError
            There is no result, or two of them differ in one of these; the message names the first difference.
        """
        results = list(results)
        if not results:
            raise InvalidInputError("there are no results to concatenate; give at least one")
        first = results[0]
        for index, other in enumerate(results):
            if not isinstance(other, AttributionResult):
                raise InvalidInputError(f"results[{index}] must be an AttributionResult, not {other!r}")
        for index, other in enumerate(results[1:], 1):
            difference = first._difference(other)
            if difference is not None:
                what, here, there = difference
                raise InvalidInputError(
                    f"results cannot be concatenated: {what} differ between result 0 ({here}) and result {index} "
                    f"({there}); give results of one method that was called alike"
                )
        parts = [result._arrays() for result in results]
        common = {
            key: value
            for key, value in first.metadata.items()
            if all(key in result.metadata and result.metadata[key] == value for result in results)
        }
        return replace(first, metadata=common)._rebuilt(
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
            None if first.names is None else tuple(name for r in results for name in r.names or ()),
            None if first.intervals is None else tuple(interval for r in results for interval in r.intervals or ()),
        )

    @cached_property
    def scores(self) -> NDArray[np.floating]:
        """(N, A, P, *output): what each letter would contribute at each position (hypothetical scores).

        For ISM methods they follow ``metadata["convention"]``. Several outputs are flattened and concatenated on the
        last axis in the order of ``metadata["outputs"]``.
        """
        if self.stored_scores is not None:
            return self.stored_scores
        predictions = list(self.predictions.values())
        reference = [self.reference_predictions[name] for name in self.predictions]
        if len(predictions) > 1:
            predictions = [np.concatenate([p.reshape(*p.shape[:3], -1) for p in predictions], axis=-1)]
            reference = [np.concatenate([r.reshape(len(r), -1) for r in reference], axis=-1)]
        return ism_scores(predictions[0], reference[0], self.one_hot, check_convention(self.metadata["convention"]))

    @cached_property
    def observed(self) -> NDArray[np.floating]:
        """(N, P, *output): the score of the reference letter; 0 where it is unknown."""
        observed: NDArray[np.floating] = np.einsum("nap...,nap->np...", self.scores, self.one_hot)
        return observed

    def with_convention(self, convention: Convention) -> "AttributionResult":
        """Return the same predictions read under another ISM score convention; nothing is lost in between.

        Raises
        ------
        UnsupportedError
            The method gives no predictions, so there is nothing to convert from.
        """
        check_convention(convention)
        if not self.predictions:
            raise UnsupportedError(
                f"score conventions apply to predictions of mutations, which {self.metadata['method']!r} does not give"
            )
        return replace(self, stored_scores=None, metadata={**self.metadata, "convention": convention})

    def to_xarray(self) -> "xarray.Dataset":
        """Return scores, observed scores and predictions as a labelled dataset; the metadata become attributes.

        Names and intervals, where they are known, are coordinates of the sequences: ``sequence_name``, ``chromosome``,
        ``start``, ``end`` and ``strand``.

        Raises
        ------
        OutputError
            Scores or predictions are not finite real numbers, or the parts do not fit together.
        """
        import xarray

        self.check("given to xarray")
        letters = list(self.metadata["alphabet"])
        data: dict[str, Any] = {"one_hot": (("sequence", "letter", "position"), self.one_hot)}
        # The axes of several outputs are one in the scores, so that it needs a name that none of them has.
        selected = "+".join(output["name"] for output in self.metadata["outputs"])
        data["scores"] = _variable(("sequence", "letter", "position"), self.scores, selected)
        data["observed"] = _variable(("sequence", "position"), self.observed, selected)
        for name, values in self.predictions.items():
            data[f"predictions_{name}"] = _variable(("sequence", "letter", "position"), values, name)
        for name, values in self.reference_predictions.items():
            data[f"reference_predictions_{name}"] = _variable(("sequence",), values, name)
        if self.convergence_delta is not None:
            data["convergence_delta"] = _variable(("sequence",), self.convergence_delta, "convergence")
        coordinates: dict[str, Any] = {"letter": letters, "position": self.positions}
        if self.names is not None:
            coordinates["sequence_name"] = ("sequence", np.array(self.names, dtype=str))
        if self.intervals is not None:
            columns = _interval_columns(self.intervals)
            coordinates |= {name: ("sequence", column) for name, column in columns.items()}
        return xarray.Dataset(data, coordinates, {"metadata": json.dumps(dict(self.metadata), sort_keys=True)})

    def to_shap(self, target: Target = None, *, base_values: ArrayLike | None = None) -> "shap.Explanation":
        """Return the scores of the reference letters as a ``shap.Explanation``, which shap's own plots take.

        Its features are the P positions: ``values`` (N, P) are the scores, ``data`` (N, P) the letters.

        Parameters
        ----------
        target
            Which value, where the scores are of several: an index, an output's name, or (name, index).
        base_values
            What the scores of a sequence add up from, one number or (N,). By default the prediction of the sequence
            less the sum of its scores where the result holds predictions, so that plots which add scores up end at the
            prediction; else None, which those plots do not take.

        Raises
        ------
        TargetError
            There is no such value, or it is open which is meant.
        InvalidInputError
            Reference letters score zero by the convention (``delta`` and the norms), or base values do not fit.
        MissingDependencyError
            shap is not installed.
        """
        return to_shap(self, target, base_values)

    def to_logomaker(
        self, sequence: int = 0, target: Target = None, *, hypothetical: bool = False
    ) -> "pandas.DataFrame":
        """Return the scores of one sequence as the table (P, A) that ``logomaker.Logo`` draws, indexed by position.

        Parameters
        ----------
        sequence
            Its index.
        target
            Which value, where the scores are of several: an index, an output's name, or (name, index).
        hypothetical
            Give what each letter would contribute, not only the scores of the reference letters.

        Raises
        ------
        TargetError
            There is no such value, or it is open which is meant.
        InvalidInputError
            There is no such sequence, a position occurs twice, reference letters score zero by the convention, or
            hypothetical scores are not known.
        MissingDependencyError
            pandas is not installed.
        """
        return to_logomaker(self, sequence, target, hypothetical)

    def to_tangermeme(
        self, target: Target = None, *, hypothetical: bool = False
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return one-hot letters and attributions, two tensors (N, A, P), as tangermeme's functions take them.

        Parameters
        ----------
        target
            Which value, where the scores are of several: an index, an output's name, or (name, index).
        hypothetical
            Give what each letter would contribute, not only the scores of the reference letters.

        Raises
        ------
        TargetError
            There is no such value, or it is open which is meant.
        InvalidInputError
            Positions with gaps, reference letters that score zero by the convention, or hypothetical scores that are
            not known.
        MissingDependencyError
            PyTorch is not installed.
        """
        return to_tangermeme(self, target, hypothetical)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.npz`` file, whole or not at all; returns its path (the suffix is added when missing).

        Raises
        ------
        OutputError
            The file cannot be written, or could not be loaded again: numbers are not real and finite, or the parts do
            not fit together.
        """
        return write_archive(path, self._checked_columns("saved"), self.metadata)

    def check(self, purpose: str) -> None:
        """Check that everything fits together and is finite, the scores included, before it is handed on.

        Parameters
        ----------
        purpose
            What is about to be done, for the message: ``written for TF-MoDISco``.

        Raises
        ------
        OutputError
            Something does not fit, or is not finite.
        """
        self._checked_columns(purpose)
        try:
            # Differences of finite predictions may overflow.
            check_finite({"scores": self.scores, "observed": self.observed})
        except ValueError as error:
            raise ResultError(f"the result cannot be {purpose}: {error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AttributionResult":
        """Read what `save` of this release or an earlier one wrote; nothing in the file is executed.

        Raises
        ------
        OutputError
            There is no such file, it is damaged, it is something else, a newer release wrote it, its parts do not fit
            together, or its numbers are not finite.
        """
        with opened_archive(path, "attribution result", ATTRIBUTIONS) as (arrays, metadata):
            # Files of format version 1 hold names, if any, in the metadata.
            older = metadata.pop("sequence_names", None)
            if not isinstance(older, list | None):
                raise ValueError("its sequence names are no list")
            facts = check_attributions(arrays, metadata)
            names = arrays["names"].tolist() if "names" in arrays else older
            blank = cls(arrays["one_hot"], arrays["positions"].astype(np.int64), metadata)
            ordered = dict.fromkeys(f"predictions/{output.name}" for output in facts.outputs)
            return blank._rebuilt(
                {name: arrays[name] for name in {**ordered, **arrays} if name in arrays},
                None if names is None else checked_text(names),
                _intervals(under("intervals/", arrays)),
            )

    def _checked_columns(self, purpose: str) -> dict[str, NDArray[Any]]:
        """Return every array by its name in files, once they are what a file may hold; raises OutputError."""
        arrays: dict[str, NDArray[Any]] = {**self._arrays(), "positions": self.positions}
        if self.names is not None:
            arrays["names"] = np.array(self.names, dtype=str)
        if self.intervals is not None:
            arrays |= {f"intervals/{name}": column for name, column in _interval_columns(self.intervals).items()}
        arrays = {name: np.asarray(values) for name, values in arrays.items()}
        try:
            check_attributions(arrays, parse_json(json_text("its metadata", dict(self.metadata))))
            checked_text(self.names or ())
        except ValueError as error:
            raise ResultError(f"the result cannot be {purpose}: {error}") from error
        return arrays

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array whose first axis is that of the sequences, by its name in files."""
        arrays: dict[str, NDArray[Any]] = {"one_hot": self.one_hot}
        if self.stored_scores is not None:
            arrays["scores"] = self.stored_scores
        if self.convergence_delta is not None:
            arrays["convergence_delta"] = self.convergence_delta
        arrays |= {f"predictions/{name}": values for name, values in self.predictions.items()}
        arrays |= {f"reference_predictions/{name}": values for name, values in self.reference_predictions.items()}
        return arrays

    def _rebuilt(
        self,
        arrays: Mapping[str, NDArray[Any]],
        names: tuple[str, ...] | None,
        intervals: tuple[Interval, ...] | None,
    ) -> "AttributionResult":
        """Return a result of these positions and metadata whose arrays are given as `_arrays` names them."""
        return replace(
            self,
            one_hot=arrays["one_hot"],
            predictions=under("predictions/", arrays),
            reference_predictions=under("reference_predictions/", arrays),
            convergence_delta=arrays.get("convergence_delta"),
            stored_scores=arrays.get("scores"),
            names=names,
            intervals=intervals,
        )

    def _difference(self, other: "AttributionResult") -> tuple[str, Any, Any] | None:
        """Return the first thing in which two results differ that keeps them apart: its name, and both values."""
        for key in AGREEING:
            here, there = self.metadata.get(key), other.metadata.get(key)
            if here != there:
                return f"the entries {key!r} of the metadata", here, there
        if not np.array_equal(self.positions, other.positions):
            return "the positions", _described(self.positions), _described(other.positions)
        mine, others = self._arrays(), other._arrays()
        if mine.keys() != others.keys():
            return "the arrays", ", ".join(mine), ", ".join(others)
        for name, values in mine.items():
            if values.shape[1:] != others[name].shape[1:]:
                return f"the shapes of {name!r} after the first axis", values.shape[1:], others[name].shape[1:]
            if values.dtype != others[name].dtype:
                return f"the types of {name!r}", values.dtype, others[name].dtype
        for what in ("names", "intervals"):
            here, there = ("unknown" if getattr(r, what) is None else "known" for r in (self, other))
            if here != there:
                return f"the {what} of the sequences", here, there
        return None


def one_line(result: Any, sizes: Mapping[str, int], metadata: Mapping[str, Any]) -> str:
    """Return a result's class, method, sizes, outputs and convention, those that are known, on one line."""
    facts: dict[str, Any] = {"method": metadata.get("method"), **sizes}
    facts["outputs"] = ", ".join(f"{o['name']} {tuple(o['shape'])}" for o in metadata.get("outputs", ())) or None
    facts["convention"] = metadata.get("convention")
    known = ", ".join(f"{name}={value!r}" for name, value in facts.items() if value is not None)
    return f"{type(result).__name__}({known})"


def _rows(key: Index, count: int) -> slice | NDArray[np.int64]:
    """Return an index of sequences as one that keeps their axis: a slice, or an array of indices (N,)."""
    try:
        if isinstance(key, slice):
            return key
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            index = range(count)[key]
            return slice(index, index + 1)
        if isinstance(key, tuple):
            raise IndexError("only the sequences are indexed, not further axes")
        chosen = np.asarray(key)
        # An empty list has no type of its own; NumPy reads it as floating point.
        rows: NDArray[np.int64] = np.arange(count)[chosen if chosen.size else chosen.astype(np.int64)]
        if rows.ndim != 1 or chosen.ndim != 1:
            raise IndexError(f"it has {chosen.ndim} axes")
    except IndexError as error:
        raise IndexError(
            f"{key!r} does not index {count} sequences ({error}); give an index in [{-count}, {count}), a slice, a "
            f"list of indices, or a boolean mask of {count}"
        ) from error
    return rows


def _taken(values: tuple[Any, ...] | None, rows: NDArray[np.integer]) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values[row] for row in rows)


def _described(positions: NDArray[np.int64]) -> str:
    return f"{len(positions)} from {positions[0]} to {positions[-1]}" if len(positions) else "none"


def _interval_columns(intervals: Sequence[Interval]) -> dict[str, NDArray[Any]]:
    """Return intervals as one column a field, each (N,)."""
    return {
        "chromosome": np.array([interval.chromosome for interval in intervals], dtype=str),
        "start": np.array([interval.start for interval in intervals], dtype=np.int64),
        "end": np.array([interval.end for interval in intervals], dtype=np.int64),
        "strand": np.array([interval.strand for interval in intervals], dtype=str),
    }


def _intervals(columns: Mapping[str, NDArray[Any]]) -> tuple[Interval, ...] | None:
    """Return the intervals that `_interval_columns` took apart; None where there are no columns."""
    if not columns:
        return None
    rows = zip(*(columns[name].tolist() for name in ("chromosome", "start", "end", "strand")), strict=True)
    return tuple(Interval(chromosome, start, end, cast(Strand, strand)) for chromosome, start, end, strand in rows)


def _variable(axes: tuple[str, ...], values: NDArray[Any], rest: str) -> tuple[tuple[str, ...], NDArray[Any]]:
    return (*axes, *(f"{rest}_{i}" for i in range(values.ndim - len(axes)))), values
