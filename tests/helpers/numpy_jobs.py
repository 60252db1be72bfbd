"""Jobs that need no framework: a model and methods in NumPy, and a job over them that a process of its own runs."""

import contextlib
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from attribution_bench import DNA, Attribution, RawAttribution, Request, SequenceModel, Tags
from attribution_bench.jobs.job import Job, NamedModel
from attribution_bench.jobs.run import run
from attribution_bench.jobs.scoring import Asked, Choice
from attribution_bench.models.disturbance import Disturbance
from attribution_bench.sequences.fasta_source import FastaSource


class NumpyModel(SequenceModel):
    """One output, the sum over positions and letters of fixed weights; a seed tells models apart."""

    framework: ClassVar[str] = "numpy"
    default_layout: ClassVar[str] = "NAL"

    def __init__(self, seed=0, alphabet=DNA):
        super().__init__(self, alphabet=alphabet)
        self.seed = seed

    numpy_dtype = np.dtype(np.float32)

    def weights(self):
        yield "seed", np.array(self.seed)

    def coefficients(self, length):
        generator = np.random.default_rng(self.seed)
        return generator.standard_normal((len(self.alphabet), length)).astype(np.float32)

    def inference(self):
        return contextlib.nullcontext()

    no_gradient = inference

    def to_tensor(self, array):
        return np.asarray(array)

    to_numpy = to_tensor

    def forward(self, x, extras=()):
        return {"output": np.einsum("nal,al->n", x, self.coefficients(x.shape[2]))[:, None] + sum(extras)}

    def select(self, outputs, selection):
        if callable(selection.reducer):
            return selection.reducer(outputs[selection.name])
        return outputs[selection.name][(slice(None), *selection.index)]

    def versions(self):
        return {}

    def precision_state(self):
        return {}

    precision = "full"
    weight_count = 1

    def state(self):
        return self.seed

    def undisturbed(self):
        return contextlib.nullcontext(Disturbance((), ()))

    def traced(self, x, extras):
        return []

    def suspects(self):
        return ()

    def _place_of_input(self, sequence_input):
        return 0

    def _resolve_device(self, device):
        return "cpu"


class Weights(Attribution):
    """Score each letter by the model's weight of it, times the number of the same letter in the sequence.

    `pause` is how many seconds a sequence takes; `fits` how many sequences a call may have before memory runs out,
    and `roomy` how many before the method itself has to halve its blocks;
    a sequence that starts with `poison` has scores that are no numbers.
    """

    name: ClassVar[str] = "weights"
    tags: ClassVar[Tags] = Tags(frozenset({"numpy"}), needs_references=True)

    def __init__(self, model, *, pause=0.0, fits=10**6, roomy=10**6, poison=None):
        super().__init__(model, pause=pause, fits=fits, roomy=roomy, poison=poison)

    def _attribute(self, request: Request) -> RawAttribution:
        count = len(request.one_hot)
        if count > self.options["fits"]:
            raise MemoryError(f"{count} sequences do not fit")
        time.sleep(self.options["pause"] * count)
        scores = self.model.coefficients(request.one_hot.shape[2]) * request.one_hot.sum(axis=2, keepdims=True)
        if self.options["poison"]:
            bad = [text.startswith(self.options["poison"]) for text in DNA.decode(request.one_hot)]
            scores[bad, 0, 0] = np.nan
        for extra in request.extras:
            scores = scores * extra[:, None]
        request.progress(count, count)
        said = {"memory_halvings": 1} if count > self.options["roomy"] else {}
        delta = scores.sum(axis=(1, 2))
        return RawAttribution(scores=scores.astype(np.float32), convergence_delta=delta, metadata=said)


class Reversed(Weights):
    """Scores in reverse, to tell two methods apart."""

    name: ClassVar[str] = "reversed"

    def _attribute(self, request: Request) -> RawAttribution:
        raw = super()._attribute(request)
        return RawAttribution(scores=raw.scores[:, :, ::-1].copy())


METHODS = {"weights": Weights, "reversed": Reversed}


def numpy_job(fasta, *, methods=("weights",), options=None, contents=("scores",), models=1, shard_size=4, **further):
    """Return a job over a FASTA file."""
    asked = {key: further.pop(key) for key in ("both_strands", "members") if key in further}
    return Job(
        [NamedModel(NumpyModel(seed), f"numpy {seed}") for seed in range(models)],
        FastaSource(fasta),
        {name: Choice(METHODS[name], options or {}) for name in methods},
        Asked(None, tuple(contents), further.pop("dtype", "float32"), **asked),
        further.pop("extras", {}),
        shard_size=shard_size,
        **further,
    )


def write_random_fasta(path: Path, count: int, length: int, seed: int = 0) -> Path:
    """Write random sequences, of which one in ten holds a stretch of N."""
    generator = np.random.default_rng(seed)
    with path.open("w") as file:
        for index in range(count):
            letters = generator.choice(list("ACGT"), length)
            if index % 10 == 3:
                letters[: length // 3] = "N"
            file.write(f">sequence_{index}\n{''.join(letters)}\n")
    return path


def main(fasta: str, store: str, pause: str) -> None:
    """Run a job of two methods in this process, which may be killed."""
    contents = ("scores", "observed", "convergence_delta")
    job = numpy_job(
        fasta, methods=("weights", "reversed"), options={"pause": float(pause)}, contents=contents, shard_size=3
    )
    run(job, Path(store))


if __name__ == "__main__":
    main(*sys.argv[1:])
