"""DeepSHAP: the mean of DeepLIFT's multipliers over references, as hypothetical scores."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags
from attribution_bench.deprecation import renamed_options
from attribution_bench.described import described
from attribution_bench.errors import InvalidInputError
from attribution_bench.models import SequenceModel
from attribution_bench.models.settings import Settings
from attribution_bench.models.targets import Target
from attribution_bench.request import Inputs, Progress
from attribution_bench_plugins.deepshap.explainer import Explainer, explainer_key, prepare, settings_of
from attribution_bench_plugins.deepshap.multipliers import Multipliers
from attribution_bench_plugins.deepshap.paired_run import PairedRun
from attribution_bench_plugins.deepshap.precision import in_single
from attribution_bench_plugins.deepshap.references import given_references, shuffled_references
from attribution_bench_plugins.deepshap.rules import Rule


class DeepSHAP(Attribution):
    """DeepLIFT with the rescale rule, averaged over references (Lundberg and Lee, NeurIPS 2017; Shrikumar et al. 2017).

    The score of letter a at a position is the mean over references of ``sum_c m_c (onehot(a)_c - reference_c)``, where
    m are DeepLIFT's multipliers for x against that reference. The observed scores of a sequence add up to
    f(x) - mean f(reference); the convergence delta (N, references, *output) says how nearly, and a
    `ConvergenceWarning` names the operations at fault where it exceeds 1e-3 of |f(x) - f(reference)|. Another one is
    given where scores are much larger than the difference that they explain, and a `ReferenceWarning` where references
    equal their sequence.

    Scores are 0 where the letter is unknown; there the convergence delta still counts a given baseline.

    Parameters
    ----------
    model
        A torch.nn.Module, a keras.Model on TensorFlow, a tf_keras.Model, or a SequenceModel of one.
    n_references
        Number of dinucleotide-shuffled references a sequence, at least 1.
    seed
        Seed of the shuffles. Those of a sequence depend on it and on the sequence's letters only.
    baselines
        (R, A, L) for all sequences or (N, R, A, L) for each, instead of shuffles; ``n_references`` and ``seed``
        are ignored then. They need not be one-hot.
    rules
        Rules for operations by their names, in the place of those that are known: one of this package (`rescale`,
        `integrate` for Gauss-Legendre quadrature between the two inputs, `gradient`, `bilinear`, `largest`), or a
        function of a `Call` and the multipliers of its outputs. Names are those of ATen and TensorFlow (``"softmax"``,
        ``"Softmax"``, ``"mylib::attention_pool"``), as `ConvergenceWarning` prints them.

    Models of half precision are computed in single.

    The option ``references`` is the old name of ``n_references``.

    Raises
    ------
    InvalidInputError
        An option that cannot be used; from `attribute` also baselines that do not fit the inputs.
    UnsupportedError
        From `attribute`: the model's graph cannot be captured, its Keras backend is not TensorFlow, or its
        configuration does not tell what a Keras model of half precision computes.
    """

    name: ClassVar[str] = "deepshap"
    label: ClassVar[str] = "DeepSHAP"
    tags: ClassVar[Tags] = Tags(frozenset({"torch", "keras"}), needs_gradient=True, needs_references=True)

    @renamed_options(references="n_references")
    def __init__(
        self,
        model: Any,
        n_references: int = 10,
        seed: int = 0,
        baselines: ArrayLike | None = None,
        rules: Mapping[str, Rule] | None = None,
    ) -> None:
        if isinstance(n_references, bool) or not isinstance(n_references, int | np.integer) or n_references < 1:
            raise InvalidInputError(f"n_references must be a whole number of at least 1, not {n_references!r}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InvalidInputError(f"seed must be a whole number of at least 0, not {seed!r}")
        self._baselines = None if baselines is None else _as_baselines(baselines)
        given = None if self._baselines is None else described(self._baselines)
        self._rules = _checked_rules(rules)
        super().__init__(model, n_references=int(n_references), seed=int(seed), baselines=given, rules=self._rules)
        self._prepared: tuple[tuple[Any, ...], Settings, Explainer] | None = None

    def multipliers(
        self,
        inputs: Inputs,
        *,
        target: Target = None,
        additional_forward_args: Any = None,
        batch_size: int | None = None,
        progress: bool | Progress = False,
    ) -> Multipliers:
        """Return the multipliers of every pair of a sequence and a reference, from which scores are made.

        Takes what `attribute` takes, and holds N * R * A * L * outputs numbers in memory.
        """
        one_hot = self._sequences(inputs)
        with self._requested(one_hot, target, additional_forward_args, None, batch_size, progress) as request:
            run = self._run(request)
            found = np.zeros((*run.references.shape, run.targets), self.model.numpy_dtype)
            for pairs in run.pairs():
                found[pairs.sequence, pairs.reference, :, :, pairs.target] = pairs.multipliers
            delta, _ = run.checked()
            shape = _shape(request)
            each = run.references.shape[:2]
            return Multipliers(
                found.reshape(*run.references.shape, *shape),
                request.one_hot,
                run.references,
                delta.reshape(*each, *shape),
            )

    def _attribute(self, request: Request) -> RawAttribution:
        run = self._run(request)
        count, each = run.references.shape[:2]
        shape = (count, len(self.model.alphabet), len(request.positions), run.targets)
        scores = np.zeros(shape, self.model.numpy_dtype)
        known = (request.letters >= 0)[:, None, request.positions]
        for pairs in run.pairs():
            baseline = run.references[pairs.sequence, pairs.reference]
            base = np.einsum("bal,bal->bl", pairs.multipliers, baseline)
            hypothetical = (pairs.multipliers - base[:, None])[:, :, request.positions] * known[pairs.sequence] / each
            # One pair after another: the order of summation, and so the result, is the same for any batch size.
            for row, into in enumerate(pairs.sequence):
                scores[into, :, :, pairs.target] += hypothetical[row]
        delta, metadata = run.checked()
        return RawAttribution(
            scores=scores.reshape(*scores.shape[:3], *_shape(request)),
            convergence_delta=delta.reshape(count, each, *_shape(request)),
            metadata={
                "references": each,
                "seed": None if self._baselines is not None else self.options["seed"],
                **metadata,
            },
        )

    def _run(self, request: Request) -> PairedRun:
        return PairedRun(in_single(self.model, request), request, self._references(request.one_hot), self._explainer)

    def _explainer(self, model: SequenceModel, request: Request) -> Explainer:
        settings = settings_of(model)
        if settings is None or any(callable(selection.reducer) for selection in request.selections):
            # What the code of others reads may have changed since.
            return prepare(model, request, self._rules)
        key = explainer_key(model, request)
        if self._prepared is None or self._prepared[:2] != (key, settings):
            explainer = prepare(model, request, self._rules)
            # What its own calls change in the model, such as a count of them, is no change.
            model.predict(request.one_hot[:1], tuple(extra[:1] for extra in request.extras))
            self._prepared = key, settings.without(settings.changed(settings_of(model) or settings)), explainer
        return self._prepared[2]

    def _references(self, one_hot: NDArray[Any]) -> NDArray[Any]:
        if self._baselines is not None:
            return given_references(self._baselines, one_hot)
        return shuffled_references(one_hot, self.options["n_references"], self.options["seed"])


def _shape(request: Request) -> tuple[int, ...]:
    """Return the axes of what is asked for: those of one selection, all scalars of several."""
    selections = request.selections
    return selections[0].shape if len(selections) == 1 else (sum(selection.size for selection in selections),)


def _checked_rules(rules: Mapping[str, Rule] | None) -> dict[str, Rule]:
    chosen = dict(rules or {})
    for name, rule in chosen.items():
        if not isinstance(name, str) or not callable(rule):
            raise InvalidInputError(f"rules must map names of operations to functions, not {name!r} to {rule!r}")
    return chosen


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
