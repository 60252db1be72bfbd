"""The original fastISM package (Nair et al., Bioinformatics 2022), on Keras 2 and in a process of its own."""

import os
import pickle
import subprocess
import sys
import weakref
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import RawAttribution, Request, Tags
from attribution_bench.errors import MissingDependencyError, UnsupportedError
from attribution_bench.models import batches, predict
from attribution_bench.models.targets import Selection
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, InSilicoMutagenesis
from attribution_bench_plugins.fastism.capture.keras_model import Keras2, library_of
from attribution_bench_plugins.peers.keras_2_copy import keras_2_copy

for _package in ("tf_keras", "fastism"):
    if find_spec(_package) is None:
        raise MissingDependencyError.of(_package, "original", "the peer method 'original_fastism'")

PROCESS = "attribution_bench_plugins.peers.original_process"


class OriginalFastISM(InSilicoMutagenesis):
    """fastISM as its authors published it: Keras 2 models of the layers that the package knows.

    A Keras 3 model is built again in Keras 2. The package's check of itself is left out, since it takes as long as many
    sequences; every other setting is its own.

    Parameters
    ----------
    model
        A keras.Model or tf_keras.Model with a graph and one input (N, L, A).

    Raises
    ------
    UnsupportedError
        From `attribute`: the model has other inputs, no graph, or a layer that Keras 2 or the package does not take.
    """

    name: ClassVar[str] = "original_fastism"
    tags: ClassVar[Tags] = Tags(frozenset({"keras"}), gives_predictions=True, exact=True, partial_passes=True)

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._process: _Process | None = None
        self._length = 0

    def _attribute(self, request: Request) -> RawAttribution:
        if request.extras or self.model.layout != "NLA":
            raise UnsupportedError("the original fastISM is run here on models of one input, (N, L, A)")
        process = self._process_for(request)
        positions = tuple(int(position) for position in request.positions)
        batch_size = request.batch_size or DEFAULT_BATCH_SIZE
        parts: list[dict[str, NDArray[np.floating]]] = []
        for rows in batches(len(request.one_hot), batch_size):
            outputs = process.ask(np.ascontiguousarray(request.one_hot[rows].transpose(0, 2, 1)), positions)
            parts.append(self._selected(dict(zip((o.name for o in request.outputs), outputs, strict=True)), request))
            request.progress(rows.stop, len(request.one_hot))
        predictions = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        references = predict(self.model, request.one_hot, request.selections, batch_size=len(request.one_hot))
        # A letter put where it is already is no mutation: it keeps the reference prediction.
        there = np.nonzero(request.one_hot[:, :, request.positions])
        for name, values in predictions.items():
            values[there] = references[name][there[0]]
        return RawAttribution(predictions=predictions, reference_predictions=references)

    def _process_for(self, request: Request) -> "_Process":
        """Return the process that holds the model at this length, with the weights that it has now."""
        length = request.one_hot.shape[2]
        weights = [np.asarray(weight) for weight in self.model.model.get_weights()]
        if self._process is None or length != self._length or not self._process.holds(weights):
            if self._process is not None:
                self._process.end()
            model, library = self.model.model, library_of(self.model.model)
            if not isinstance(library, Keras2):
                model = keras_2_copy(model, library, length, len(self.model.alphabet))
            try:
                architecture = model.to_json()
            except NotImplementedError as error:
                raise UnsupportedError(f"{type(model).__name__} is a subclassed model, without a graph") from error
            self._process = _Process(architecture, model.get_weights(), weights, self.model.device)
            self._length = length
        return self._process

    def _selected(self, outputs: dict[str, NDArray[np.floating]], request: Request) -> dict[str, NDArray[np.floating]]:
        """Return what was asked for of whole outputs (N, A, P, *output)."""
        leading = next(iter(outputs.values())).shape[:3]

        def select(selection: Selection) -> NDArray[np.floating]:
            values = outputs[selection.name].reshape(-1, *outputs[selection.name].shape[3:])
            chosen = self.model.select({selection.name: self.model.to_tensor(values)}, selection)
            return np.array(self.model.to_numpy(chosen)).reshape(*leading, *selection.shape)

        return {selection.name: select(selection) for selection in request.selections}


class _Process:
    """The package in its process, until this object goes."""

    def __init__(self, architecture: str, weights: list[NDArray[Any]], source: list[NDArray[Any]], device: str) -> None:
        settings = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if device.startswith("cpu"):
            settings["CUDA_VISIBLE_DEVICES"] = "-1"
        self._source = source
        self._process = subprocess.Popen(
            [sys.executable, "-m", PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **settings},
        )
        self.end = weakref.finalize(self, _end, self._process)
        self.ask(architecture, weights)

    def holds(self, weights: list[NDArray[Any]]) -> bool:
        """Whether the model that was sent has these weights."""
        return all(np.array_equal(mine, theirs) for mine, theirs in zip(self._source, weights, strict=True))

    def ask(self, *request: Any) -> Any:
        """Send a request and return its answer; raises UnsupportedError with what the package says."""
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        try:
            pickle.dump(request, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            done, answer = pickle.load(self._process.stdout)
        except (OSError, EOFError) as error:
            raise UnsupportedError(
                f"the process of the original fastISM ended with exit status {self._process.wait()}; "
                "out of memory is the likeliest reason, and a smaller batch_size may do"
            ) from error
        if not done:
            raise UnsupportedError(f"the original fastISM does not take this: {answer}")
        return answer


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


__all__ = ["OriginalFastISM"]
