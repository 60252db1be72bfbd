"""Integrated Gradients (Sundararajan, Taly, Yan, ICML 2017)."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags
from attribution_bench.deprecation import renamed_options
from attribution_bench.errors import InvalidInputError
from attribution_bench.models import batches
from attribution_bench.request import host_array
from attribution_bench_plugins.gradients import gradients_of, scalars_of
from attribution_bench_plugins.gradients.base import shaped, zero_at_unknown

DEFAULT_BATCH_SIZE = 64


class IntegratedGradients(Attribution):
    """The gradient averaged on the straight path from a baseline to the sequence, times their difference.

    With m (A, L) the mean gradient and b the baseline, ``scores`` are hypothetical: letter a at position l has

        sum over channels c of m[c, l] (1[c = a] - b[c, l])

    which is m[a, l] for the zero baseline. ``observed`` is then Integrated Gradients' attribution (equation 1 of the
    paper) summed over the column. Scores at unknown letters are 0.

    ``convergence_delta`` (N, *output) is the sum of all attributions (every position, whichever are returned; with a
    baseline that is not zero also unknown letters) minus (f(x) - f(baseline)): the error of the quadrature. It is an
    approximation error that shrinks with more steps, and can be large for deep models; ``metadata["convergence"]``
    sums it up.

    Parameters
    ----------
    model
        Model of either framework: Captum differentiates in PyTorch, tf.GradientTape in TensorFlow.
    n_steps
        Number of points on the path (nodes of a Gauss-Legendre quadrature).
    baselines
        (A, L), or (N, A, L) with one baseline a sequence; zeros by default.

    The options ``steps`` and ``baseline`` are the old names of ``n_steps`` and ``baselines``.

    Raises
    ------
    InvalidInputError
        A number of steps or baselines that cannot be used.
    """

    name: ClassVar[str] = "integrated_gradients"
    label: ClassVar[str] = "Integrated Gradients"
    tags: ClassVar[Tags] = Tags(frozenset({"torch", "keras"}), needs_gradient=True, needs_references=True)

    @renamed_options(steps="n_steps", baseline="baselines")
    def __init__(self, model: Any, *, n_steps: int = 50, baselines: ArrayLike | None = None) -> None:
        if isinstance(n_steps, bool) or not isinstance(n_steps, int | np.integer):
            raise InvalidInputError(f"n_steps must be a whole number, not {n_steps!r}")
        if n_steps < 1:
            raise InvalidInputError(f"n_steps must be at least 1, not {n_steps}")
        self._steps = n_steps
        self._baselines = None if baselines is None else _checked(baselines)
        super().__init__(model, n_steps=n_steps, baselines=self._baselines)
        self._gradients = gradients_of(self.model)

    def _attribute(self, request: Request) -> RawAttribution:
        scalars, gradients = scalars_of(request), self._gradients.for_request(request)
        one_hot, batch_size = request.one_hot, request.batch_size or DEFAULT_BATCH_SIZE
        baselines = self._baselines_of(one_hot)
        count, letters, _ = one_hot.shape
        scores = np.empty((count, letters, len(request.positions), len(scalars)), dtype=one_hot.dtype)
        difference = np.empty((count, len(scalars)))
        attributed = np.empty((count, len(scalars)))
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            request.progress(done, count * len(scalars) * self._steps)

        for rows in batches(count, batch_size):
            x, from_, extras = one_hot[rows], baselines[rows], tuple(extra[rows] for extra in request.extras)
            mean = gradients.path_mean(x, from_, extras, scalars, advance, steps=self._steps, batch_size=batch_size)
            difference[rows] = gradients.values(x, extras, scalars)
            difference[rows] -= gradients.values(from_, extras, scalars)
            attributed[rows] = np.einsum("nalt,nal->nt", mean, x - from_, dtype=np.float64)
            hypothetical = mean - np.einsum("nalt,nal->nlt", mean, from_)[:, None]
            scores[rows] = zero_at_unknown(hypothetical, x)[:, :, request.positions]
        delta = attributed - difference
        return RawAttribution(
            scores=shaped(scores, request),
            convergence_delta=shaped(delta, request),
            metadata={"convergence": _summary(delta, difference)},
        )

    def _baselines_of(self, one_hot: NDArray[np.floating]) -> NDArray[np.floating]:
        if self._baselines is None:
            return np.zeros_like(one_hot)
        if self._baselines.shape not in (one_hot.shape, one_hot.shape[1:]):
            raise InvalidInputError(
                f"baselines must be {one_hot.shape[1:]} or {one_hot.shape} for these inputs, "
                f"not {self._baselines.shape}"
            )
        return np.broadcast_to(self._baselines, one_hot.shape).astype(one_hot.dtype)


def _checked(baselines: Any) -> NDArray[np.floating]:
    """Return baselines, array or tensor, as an array of numbers; their shape is known to fit only with the inputs."""
    array = host_array(baselines, "baselines")
    if array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise InvalidInputError(
            f"baselines must be finite numbers (A, L) or (N, A, L), not shape {array.shape} of {array.dtype}"
        )
    return array.astype(np.float64)


def _summary(delta: NDArray[np.float64], difference: NDArray[np.float64]) -> dict[str, float]:
    """Largest |delta|, and the median of |delta| / |f(x) - f(baseline)| where that is not 0."""
    relative = np.abs(delta[difference != 0]) / np.abs(difference[difference != 0])
    return {
        "largest_absolute": float(np.abs(delta).max()),
        "median_relative": float(np.median(relative)) if relative.size else 0.0,
    }
