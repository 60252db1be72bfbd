"""tangermeme behind the interface gives what standard ISM gives."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.sequences import lambda_windows

SEQUENCES = lambda_windows(40, 2)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.count = nn.Conv1d(4, 6, 5, padding="same"), nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.body(x).relu()
        return {"profile": hidden[:, 0], "count": self.count(hidden.mean(dim=-1))}


@pytest.mark.parametrize("target", ["all", ("profile", 3), "count", ("profile", "logsumexp")])
@pytest.mark.parametrize("positions", [None, [3, 4, 20]])
def test_equals_standard_ism(target: Any, positions: Any) -> None:
    module, x = TwoHeads(), SEQUENCES.one_hot()
    x[0, :, 4] = 0
    found, expected = (
        ab.get_method(name)(module).attribute(x, target=target, positions=positions)
        for name in ("tangermeme", "standard_ism")
    )
    assert found.predictions.keys() == expected.predictions.keys()
    for name, values in expected.predictions.items():
        np.testing.assert_allclose(found.predictions[name], values, atol=1e-6)
        np.testing.assert_allclose(found.reference_predictions[name], expected.reference_predictions[name], atol=1e-6)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_is_a_peer_and_not_one_of_the_suites_methods() -> None:
    assert "tangermeme" in ab.list_peers()
    assert "tangermeme" not in ab.list_methods()
