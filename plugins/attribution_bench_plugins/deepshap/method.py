"""DeepSHAP: the mean of DeepLIFT's multipliers over references, as hypothetical scores."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags
from attribution_bench.deprecation import renamed_options
from attribution_bench.errors import InvalidInputError
from attribution_bench.models import batches, predict, side_by_side
from attribution_bench_plugins.deepshap.convergence import warn_if_not_converged
from attribution_bench_plugins.deepshap.explainer import Explainer, explainer_key, prepare
from attribution_bench_plugins.deepshap.references import given_references, shuffled_references

DEFAULT_BATCH_SIZE = 64


class DeepSHAP(Attribution):
    """DeepLIFT with the rescale rule, averaged over references (Lundberg and Lee, NeurIPS 2017; Shrikumar et al. 2017).

    The score of letter a at a position is the mean over references of ``sum_c m_c (onehot(a)_c - reference_c)``, where
    m are DeepLIFT's multipliers for x against that reference. The observed scores of a sequence add up to
    f(x) - mean f(reference); the convergence delta (N, references, *output) says how nearly, and a
    `ConvergenceWarning` names the operations at fault where it exceeds 1e-3 of |f(x) - f(reference)|.

    Scores are 0 where the letter is unknown; there the convergence delta still counts a given baseline.

    Parameters
    ----------
    model
        A torch.nn.Module, a keras.Model on TensorFlow, or a SequenceModel of one.
    n_references
        Number of dinucleotide-shuffled references a sequence, at least 1.
    seed
        Seed of the shuffles. Those of a sequence depend on it and on the sequence's letters only.
    baselines
        (R, A, L) for all sequences or (N, R, A, L) for each, instead of shuffles; ``n_references`` and ``seed``
        are ignored then. They need not be one-hot.

    The option ``references`` is the old name of ``n_references``.

    Raises
    ------
    InvalidInputError
        An option that cannot be used; from `attribute` also baselines that do not fit the inputs.
    UnsupportedError
        From `attribute`: the model's graph cannot be captured, or its Keras backend is not TensorFlow.
    """

    name: ClassVar[str] = "deepshap"
    label: ClassVar[str] = "DeepSHAP"
    tags: ClassVar[Tags] = Tags(frozenset({"torch", "keras"}), needs_gradient=True, needs_references=True)

    @renamed_options(references="n_references")
    def __init__(self, model: Any, n_references: int = 10, seed: int = 0, baselines: ArrayLike | None = None) -> None:
        if isinstance(n_references, bool) or not isinstance(n_references, int | np.integer) or n_references < 1:
            raise InvalidInputError(f"n_references must be a whole number of at least 1, not {n_references!r}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InvalidInputError(f"seed must be a whole number of at least 0, not {seed!r}")
        self._baselines = None if baselines is None else _as_baselines(baselines)
        given = None if self._baselines is None else f"array of shape {self._baselines.shape}"
        super().__init__(model, n_references=int(n_references), seed=int(seed), baselines=given)
        self._prepared: tuple[tuple[Any, ...], Explainer] | None = None

    def _attribute(self, request: Request) -> RawAttribution:
        explainer = self._explainer(request)
        references = self._references(request.one_hot)
        count, each = references.shape[:2]
        targets = sum(selection.size for selection in request.selections)
        # A pair takes two rows of the model's batch: the sequence and its reference.
        pairs = max(1, (request.batch_size or DEFAULT_BATCH_SIZE) // 2)
        dtype = self.model.numpy_dtype
        scores = np.zeros((count, len(self.model.alphabet), len(request.positions), targets), dtype)
        explained = np.zeros((count, each, targets), dtype)
        known = (request.letters >= 0)[:, None, request.positions]

        for rows in batches(count * each, pairs):
            sequence, reference = np.divmod(np.arange(rows.start, rows.stop), each)
            x, baseline = request.one_hot[sequence], references[sequence, reference]
            extras = tuple(extra[sequence] for extra in request.extras)
            for target in range(targets):
                multipliers = explainer.multipliers(x, baseline, extras, target)
                explained[sequence, reference, target] = np.einsum("bal,bal->b", multipliers, x - baseline)
                base = np.einsum("bal,bal->bl", multipliers, baseline)
                hypothetical = (multipliers - base[:, None])[:, :, request.positions] * known[sequence] / each
                # One pair after another: the order of summation, and so the result, is the same for any batch size.
                for row, into in enumerate(sequence):
                    scores[into, :, :, target] += hypothetical[row]
                done = rows.start * targets + (target + 1) * len(sequence)
                request.progress(done, count * each * targets)

        outputs = self._predict(request, request.one_hot, np.arange(count))
        flat = references.reshape(count * each, *references.shape[2:])
        reference_outputs = self._predict(request, flat, np.arange(count).repeat(each)).reshape(count, each, targets)
        delta = explained - (outputs[:, None] - reference_outputs)
        warn_if_not_converged(delta, outputs, reference_outputs, explainer.unruled())

        shape = request.selections[0].shape if len(request.selections) == 1 else (targets,)
        return RawAttribution(
            scores=scores.reshape(*scores.shape[:3], *shape),
            convergence_delta=delta.reshape(count, each, *shape),
            metadata={"references": each, "seed": None if self._baselines is not None else self.options["seed"]},
        )

    def _explainer(self, request: Request) -> Explainer:
        key = explainer_key(self.model, request)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = key, prepare(self.model, request)
        return self._prepared[1]

    def _references(self, one_hot: NDArray[Any]) -> NDArray[Any]:
        if self._baselines is not None:
            return given_references(self._baselines, one_hot)
        return shuffled_references(one_hot, self.options["n_references"], self.options["seed"])

    def _predict(self, request: Request, one_hot: NDArray[Any], sequences: NDArray[np.int64]) -> NDArray[Any]:
        """Return the selected outputs (rows, targets) of the model itself, not of the prepared graph."""
        predictions = predict(
            self.model,
            one_hot,
            request.selections,
            extras=request.extras,
            sequences=sequences,
            batch_size=request.batch_size or DEFAULT_BATCH_SIZE,
        )
        return side_by_side(predictions).reshape(len(one_hot), -1)


def _as_baselines(baselines: ArrayLike) -> NDArray[Any]:
    if hasattr(baselines, "detach"):
        baselines = baselines.detach().cpu()
    array = np.asarray(baselines)
    if array.ndim not in (3, 4) or 0 in array.shape or not np.issubdtype(array.dtype, np.number):
        raise InvalidInputError(
            "baselines must be numbers of shape (references, A, L) or (N, references, A, L), "
            f"not {array.dtype} of shape {array.shape}"
        )
    return array
