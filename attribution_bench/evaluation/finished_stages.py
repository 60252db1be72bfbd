"""Stages of a comparison that are finished, kept in files, so that one that was interrupted goes on where it was."""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.described import described, digest_of_described
from attribution_bench.errors import OutputError
from attribution_bench.evaluation.scoring import ScoredMethod
from attribution_bench.files import write_whole

FOLDER = "unfinished"
"""Folder of the stages, among the results; it goes once there are results."""
OWN_NAME = re.compile(r"[0-9a-f]{64}\.(json|npz)|.*\.partial|job-[0-9a-f]{32}|evaluation\.json")
"""Names in it: of stages, of files that a process was writing as it was killed, and of what a cluster hands over."""
PREDICTIONS_AGREE = 1e-5
"""Largest difference, relative to the largest prediction, between what one model predicts in two runs."""

Values = dict[str, dict[str, NDArray[np.float64]]]
"""Kind of values -> name -> array."""


class FinishedStages:
    """The stages of one comparison; each is computed, or read where an earlier run finished it.

    A stage is known by a digest of all that it depends on: the model's identity, device, precision, weights and
    structure, and what it predicts, the sequences, the target, the method with its options, the settings, the machine
    and the versions. What differs in any of them is not used.
    """

    def __init__(self, results: Path | None = None, model: str = "") -> None:
        """Keep stages in a results folder, or nowhere.

        Parameters
        ----------
        results
            Folder of the results; stages lie in its folder `FOLDER`.
        model
            Identity of the model, such as a digest of its file.
        """
        self.folder = None if results is None else results / FOLDER
        self.reused: list[str] = []
        """Stages of an earlier run that were used, in words."""
        self.kept = 0
        """Stages that are in the folder now."""
        self.model = model
        self._is_held = False
        self._facts: Mapping[str, Any] = {}
        self._methods: dict[str, Any] = {}
        self._predictions = np.zeros(0)

    def begin(self, facts: Mapping[str, Any], predictions: NDArray[np.float64]) -> None:
        """State what every stage depends on: JSON-able facts, and what the model predicts of the sequences (N,).

        Raises
        ------
        OutputError
            The folder of the results cannot be written, which is better known before hours of work.
        """
        self._facts, self._predictions = {**facts, "identity": self.model}, predictions
        self._methods = {}
        self.check_writable()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, which one run at a time uses; where nothing of it is left there, it goes.

        Raises
        ------
        OutputError
            Another run holds it, or it cannot be written.
        """
        if self.folder is None or self._is_held:
            yield
            return
        from attribution_bench.jobs.lock import LOCK, locked

        self.check_writable()
        made = [path for path in self.folder.absolute().parents if not path.exists()]
        with locked(self.folder):
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False
                # Windows removes no file that is in use; the lock stays there and means nothing.
                with contextlib.suppress(OSError):
                    if not self._own_paths():
                        (self.folder / LOCK).unlink()
                        for path in (self.folder, *made):
                            path.rmdir()

    def check_writable(self) -> None:
        """Raise OutputError where the folder of the results cannot be written."""
        if self.folder is not None:
            there = next(path for path in self.folder.absolute().parents if path.exists())
            if not (there.is_dir() and os.access(there, os.W_OK)):
                raise OutputError(f"cannot write into {there}; choose a folder you can write")

    def scores(self, name: str, method: Attribution, compute: Callable[[], ScoredMethod]) -> ScoredMethod:
        """Return the scores of a method that is bound to the model, known by a name in the comparison."""
        digest, file = self._digest("scores", name, method), self.scores_file(name, method)
        stored = self._read(digest)
        if stored is not None and file is not None:
            try:
                result = AttributionResult.load(file)
                noise = np.array(stored["noise"], dtype=np.float64).reshape(self._predictions.shape)
                cautions = tuple(map(str, stored["cautions"]))
                found = ScoredMethod(method, result, float(stored["seconds"]), cautions, noise)
            except (OutputError, LookupError, TypeError, ValueError):  # damaged: computed again, and written again
                found = None
            if found is not None:
                self._reuse(f"{name}: scores")
                return found
        computed = compute()
        if file is not None:
            computed.result.save(file)
            facts = {"seconds": computed.seconds, "cautions": computed.cautions, "noise": computed.noise.tolist()}
            self._write(digest, facts)
        return computed

    def scores_file(self, name: str, method: Attribution) -> Path | None:
        """Return the file of the scores of a method that is bound to the model; None where stages are not kept."""
        return None if self.folder is None else self.folder / f"{self._digest('scores', name, method)}.npz"

    def values(
        self,
        stage: str,
        name: str,
        method: Attribution,
        compute: Callable[[], Values],
        depends: Sequence[Any] = (),
    ) -> Values:
        """Return the values of another stage of a method.

        Parameters
        ----------
        stage
            What the stage is, in words.
        name
            Of the method in the comparison.
        method
            The method, bound to the model.
        compute
            Called where the stage is not kept.
        depends
            What it depends on beyond the comparison and the method: JSON-able facts.
        """
        digest = self._digest(stage, name, method, depends)
        stored = self._read(digest)
        if stored is not None:
            try:
                found = {
                    kind: {name: np.array(values, dtype=np.float64) for name, values in group.items()}
                    for kind, group in stored["values"].items()
                }
            except (LookupError, TypeError, ValueError, AttributeError):  # damaged: computed and written again
                found = None
            if found is not None:
                self._reuse(f"{name}: {stage}")
                return found
        computed = compute()
        lists = {kind: {name: values.tolist() for name, values in group.items()} for kind, group in computed.items()}
        self._write(digest, {"values": lists})
        return computed

    def clear(self) -> None:
        """Remove the files of stages, those of other comparisons too, and the folder where it is empty then.

        Raises
        ------
        OutputError
            Another run holds the folder.
        """
        if self.folder is None or not self.folder.is_dir():
            return
        with self.held():
            for path in self._own_paths():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _own_paths(self) -> list[Path]:
        assert self.folder is not None
        return [path for path in self.folder.iterdir() if OWN_NAME.fullmatch(path.name)]

    def _digest(self, stage: str, name: str, method: Attribution, depends: Sequence[Any] = ()) -> str:
        if name not in self._methods:  # as it is before it runs: what its options keep of calls is no part of it
            kind = type(method)
            self._methods[name] = described([kind.__module__, kind.__qualname__, kind, method.options])
        return digest_of_described([self._facts, [stage, depends, name, self._methods[name]]])

    def _reuse(self, stage: str) -> None:
        self.reused.append(stage)
        self.kept += 1

    def _read(self, digest: str) -> dict[str, Any] | None:
        """Return what is stored of a stage; None where nothing is, or the model predicted something else then."""
        if self.folder is None:
            return None
        try:
            stored = json.loads((self.folder / f"{digest}.json").read_text(encoding="utf-8"))
            predictions = np.array(stored["predictions"], dtype=np.float64)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):  # absent or damaged: computed again
            return None
        if not isinstance(stored, dict) or predictions.shape != self._predictions.shape:
            return None
        tolerance = PREDICTIONS_AGREE * np.abs(self._predictions).max(initial=0.0)
        return stored if np.allclose(predictions, self._predictions, rtol=0, atol=tolerance) else None

    def _write(self, digest: str, content: Mapping[str, Any]) -> None:
        if self.folder is not None:
            text = json.dumps({**content, "predictions": self._predictions.tolist()})
            write_whole(self.folder / f"{digest}.json", text + "\n")
            self.kept += 1
