"""Results of attribution methods: scores, with what is needed to read them, saved to files and loaded again."""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import Convention, check_convention, ism_scores
from attribution_bench.errors import OutputError, UnsupportedError
from attribution_bench.files import write_whole

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class AttributionResult:
    """Scores of a method, with what is needed to read them without guessing.

    Shapes: N sequences, A letters, P positions (all L unless fewer were asked for), `*output` the axes of the target
    (none for a scalar). Positions are 0-based.
    """

    one_hot: NDArray[np.floating]
    """(N, A, P): the letters scored."""
    positions: NDArray[np.int64]
    """(P,) positions in the sequence."""
    metadata: Mapping[str, Any]
    """method, options, convention, target, seed, dtype, TF32 state, versions; JSON-able."""
    predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """ISM methods: output -> (N, A, P, *output), the prediction with letter a at position p. The letter that is there
    holds the reference prediction."""
    reference_predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """ISM methods: output -> (N, *output)."""
    convergence_delta: NDArray[np.floating] | None = None
    """Methods with a baseline: sum of attributions - (f(x) - f(baseline)).
    (N, *output), or (N, references, *output)."""
    stored_scores: NDArray[np.floating] | None = None
    """Scores of methods that compute them; those of ISM methods derive from the predictions."""

    @cached_property
    def scores(self) -> NDArray[np.floating]:
        """(N, A, P, *output): what each letter would contribute at each position (hypothetical scores).

        For ISM methods they follow ``metadata["convention"]``. Several outputs are flattened and concatenated on the
        last axis in the order of ``metadata["outputs"]``.
        """
        if self.stored_scores is not None:
            return self.stored_scores
        predictions, reference = list(self.predictions.values()), list(self.reference_predictions.values())
        if len(predictions) > 1:
            predictions = [np.concatenate([p.reshape(*p.shape[:3], -1) for p in predictions], axis=-1)]
            reference = [np.concatenate([r.reshape(len(r), -1) for r in reference], axis=-1)]
        return ism_scores(predictions[0], reference[0], self.one_hot, check_convention(self.metadata["convention"]))

    @cached_property
    def observed(self) -> NDArray[np.floating]:
        """(N, P, *output): the score of the letter that is there; 0 where it is unknown."""
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
        return replace(self, metadata={**self.metadata, "convention": convention})

    def to_xarray(self) -> "xarray.Dataset":
        """Return scores, observed scores and predictions as a labelled dataset; the metadata become attributes."""
        import xarray

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
        coordinates = {"letter": letters, "position": self.positions}
        return xarray.Dataset(data, coordinates, {"metadata": json.dumps(dict(self.metadata), sort_keys=True)})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.npz`` file, whole or not at all; returns its path (the suffix is added when missing).

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        path = _with_suffix(path)
        arrays: dict[str, Any] = {"one_hot": self.one_hot, "positions": self.positions}
        if self.stored_scores is not None:
            arrays["scores"] = self.stored_scores
        if self.convergence_delta is not None:
            arrays["convergence_delta"] = self.convergence_delta
        arrays |= {f"predictions/{name}": values for name, values in self.predictions.items()}
        arrays |= {f"reference_predictions/{name}": values for name, values in self.reference_predictions.items()}
        arrays["metadata"] = np.array(json.dumps(dict(self.metadata), sort_keys=True))
        archive = io.BytesIO()
        np.savez_compressed(archive, **arrays)
        return write_whole(path, archive.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AttributionResult":
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        OutputError
            There is no such file, it is damaged, or it is something else.
        """
        path = _with_suffix(path)
        try:
            # zipfile takes nothing but an archive, where np.load would also read a bare array.
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            metadata = json.loads(str(arrays["metadata"]))
            one_hot, positions = arrays["one_hot"], arrays["positions"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise OutputError(f"{path} is no attribution result that can be read: {error}") from error
        return cls(
            one_hot,
            positions,
            metadata,
            _under("predictions/", arrays),
            _under("reference_predictions/", arrays),
            arrays.get("convergence_delta"),
            arrays.get("scores"),
        )


def _variable(axes: tuple[str, ...], values: NDArray[Any], rest: str) -> tuple[tuple[str, ...], NDArray[Any]]:
    return (*axes, *(f"{rest}_{i}" for i in range(values.ndim - len(axes)))), values


def _with_suffix(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
