"""A clock that only fake methods move, and the fakes themselves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from attribution_bench import Attribution, RawAttribution, Request, SequenceModel, Tags, as_sequence_model
from attribution_bench.sequences import Sequences

LENGTH = 40
COUNT = 20


@dataclass
class FakeClock:
    now: float = 0.0
    calls: list[tuple[str, tuple[int, int, int], int | None]] = field(default_factory=list)
    """(method, (sequences, positions, scalars), batch size) of every call."""

    def __call__(self) -> float:
        return self.now


Cost = Callable[[int, int, int, int | None], float]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def model() -> SequenceModel:
    import torch

    class TwoHeads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 4 * LENGTH).reshape(4, LENGTH))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            weighted = (x * self.weight).sum(1)
            return {"profile": weighted[:, :3].tanh(), "count": weighted.sum(1, keepdim=True)}

    return as_sequence_model(TwoHeads(), device="cpu")


@pytest.fixture
def sequences() -> Sequences:
    letters = np.random.default_rng(0).choice(list("ACGT"), (COUNT, LENGTH))
    strings = tuple("".join(row) for row in letters)
    return Sequences(tuple(f"s{i}" for i in range(COUNT)), strings, "random letters")


@pytest.fixture
def make_method(clock: FakeClock) -> Callable[..., type[Attribution]]:
    """Make a method class whose calls cost what a function of (sequences, positions, scalars, batch size) says."""

    def make(name: str, cost: Cost, predicts: bool, wrong: float = 0.0, delta: bool = False) -> type[Attribution]:
        class Fake(Attribution):
            tags: ClassVar[Tags] = Tags(
                frozenset({"torch"}), gives_predictions=predicts, exact=predicts, needs_gradient=not predicts
            )

            def _attribute(self, request: Request) -> RawAttribution:
                count, places = len(request.one_hot), len(request.positions)
                scalars = sum(selection.size for selection in request.selections)
                clock.calls.append((name, (count, places, scalars), request.batch_size))
                seconds, parts = cost(count, places, scalars, request.batch_size), count * places
                for part in range(1, parts + 1):
                    clock.now += seconds / parts
                    request.progress(part, parts)
                if not predicts:
                    scores = np.ones((count, 4, places), np.float32)
                    return RawAttribution(scores, convergence_delta=np.full(count, -0.25) if delta else None)
                return RawAttribution(predictions=self._mutate(request), reference_predictions=self._plain(request))

            def _plain(self, request: Request) -> dict[str, Any]:
                outputs = self.model.forward(self.model.to_tensor(request.one_hot))
                return {s.name: self.model.to_numpy(self.model.select(outputs, s)) for s in request.selections}

            def _mutate(self, request: Request) -> dict[str, Any]:
                found: dict[str, Any] = {}
                for a in range(4):
                    for p, position in enumerate(request.positions):
                        x = request.one_hot.copy()
                        x[:, :, position] = np.eye(4)[a]
                        outputs = self.model.forward(self.model.to_tensor(x))
                        for s in request.selections:
                            value = self.model.to_numpy(self.model.select(outputs, s)) + wrong
                            shape = (len(x), 4, len(request.positions), *value.shape[1:])
                            found.setdefault(s.name, np.zeros(shape, np.float32))[:, a, p] = value
                return found

        Fake.name = name
        return Fake

    return make
