"""Methods that are broken on purpose."""

import zlib
from typing import Any, ClassVar

import numpy as np

from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags
from attribution_bench.registry import get_method


class RandomScores(Attribution):
    """Says nothing of the model: noise, the same for the same sequence and seed."""

    name: ClassVar[str] = "random_scores"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}))

    def __init__(self, model: Any, *, seed: int = 0) -> None:
        super().__init__(model, seed=seed)

    def _attribute(self, request: Request) -> RawAttribution:
        rows = [
            np.random.default_rng([self.options["seed"], zlib.crc32(row.tobytes())]).normal(size=row.shape)
            for row in request.one_hot
        ]
        return RawAttribution(scores=np.stack(rows)[:, :, request.positions])


class SignLost(Attribution):
    """Gradient x Input without its sign."""

    name: ClassVar[str] = "sign_lost"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}), needs_gradient=True)

    def _attribute(self, request: Request) -> RawAttribution:
        raw = get_method("gradient_x_input")(self.model)._attribute(request)
        assert raw.scores is not None
        return RawAttribution(scores=np.abs(raw.scores))
