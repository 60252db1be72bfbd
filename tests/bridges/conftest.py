"""Two small PyTorch models: one that curves, and one that is linear in its input, whose scores are known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

LENGTH = 24


@pytest.fixture(scope="session")
def one_hot() -> NDArray[np.float32]:
    """(5, 4, L), with an unknown letter in the first sequence."""
    letters = np.random.default_rng(3).integers(4, size=(5, LENGTH))
    encoded = np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1).copy()
    encoded[0, :, 7] = 0
    return encoded


@pytest.fixture
def curved() -> nn.Module:
    """(N, 4, L) -> (N, 3)."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6 * LENGTH // 2, 3)
    )


@pytest.fixture
def linear() -> nn.Module:
    """(N, 4, L) -> (N, 2), each a weighted sum of the letters."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 2))
