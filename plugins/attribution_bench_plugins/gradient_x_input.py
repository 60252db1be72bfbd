"""Gradient x Input (Shrikumar et al. 2016; Simonyan et al. 2013 for the gradient alone)."""

from typing import Any, ClassVar

import numpy as np

from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags
from attribution_bench.models import batches
from attribution_bench_plugins.gradients import gradients_of, scalars_of
from attribution_bench_plugins.gradients.base import shaped, zero_at_unknown

DEFAULT_BATCH_SIZE = 64


class GradientXInput(Attribution):
    """The gradient of the target at the sequence, times the input.

    ``scores`` (N, A, P, *output) hold the gradient at every letter of a column: what the letter would contribute if it
    stood there and the gradient stayed what it is. ``observed`` is then gradient x input. Unknown letters score 0.

    PyTorch models are differentiated by Captum, Keras models by tf.GradientTape (TensorFlow backend) or Captum
    (PyTorch backend). A target of several values takes one backward pass for each.
    """

    name: ClassVar[str] = "gradient_x_input"
    label: ClassVar[str] = "Gradient × Input"
    tags: ClassVar[Tags] = Tags(frozenset({"torch", "keras"}), needs_gradient=True)

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._gradients = gradients_of(self.model)

    def _attribute(self, request: Request) -> RawAttribution:
        scalars, gradients = scalars_of(request), self._gradients.for_request(request)
        one_hot, batch_size = request.one_hot, request.batch_size or DEFAULT_BATCH_SIZE
        count, letters, _ = one_hot.shape
        scores = np.empty((count, letters, len(request.positions), len(scalars)), dtype=one_hot.dtype)
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            request.progress(done, count * len(scalars))

        for rows in batches(count, batch_size):
            extras = tuple(extra[rows] for extra in request.extras)
            at_letters = gradients.at(one_hot[rows], extras, scalars, advance)
            scores[rows] = zero_at_unknown(at_letters, one_hot[rows])[:, :, request.positions]
        return RawAttribution(scores=shaped(scores, request))
