"""A method whose scores are known beforehand, and a model of any length for it."""

from typing import ClassVar

import numpy as np
import torch

from attribution_bench import Attribution, RawAttribution, Request, Tags


class Position(Attribution):
    """Score every letter by its position times its index in the alphabet; remembers the request."""

    name: ClassVar[str] = "position"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}))

    def __init__(self, model, *, factor=1.0):
        super().__init__(model, factor=factor)
        self.factor = factor

    def _attribute(self, request: Request) -> RawAttribution:
        self.request = request
        one = self.factor * np.arange(4)[:, None] * request.positions
        return RawAttribution(scores=np.broadcast_to(one, (len(request.one_hot), *one.shape)), metadata={"seed": 3})


class Ends(torch.nn.Module):
    """One output: the first and the last column of the sequence."""

    def forward(self, x, extra=None):
        return x[:, :, [0, -1]].flatten(1)
