"""A genome of random letters, and small smooth models in double precision."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from attribution_bench.sequences.genome import Genome

CONTIG = "".join(np.random.default_rng(5).choice(list("ACGT"), 400))
CONTIG = CONTIG[:200] + "CACACACACACACACA" + CONTIG[216:]
CONTIGS = {"chr1": CONTIG, "short": CONTIG[:25], "gap": CONTIG[:50] + "N" * 60 + CONTIG[110:200]}


class Profiles(torch.nn.Module):
    """(N, 4, L) to profile (N, L - 10), count (N, 1), classes (N, 3, L - 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv1d(4, 6, 5)
        self.dilated = torch.nn.Conv1d(6, 6, 3, dilation=3)
        self.profile = torch.nn.Conv1d(6, 1, 1)
        self.classes = torch.nn.Conv1d(6, 3, 1)
        self.count = torch.nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = torch.tanh(self.dilated(torch.tanh(self.stem(x))))
        return {
            "profile": 3 * self.profile(x).flatten(1),
            "count": self.count(x.mean(-1)) + 2,
            "classes": torch.softmax(3 * self.classes(x), 1),
        }


def torch_profiles() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return Profiles().double().eval()


@pytest.fixture(scope="session")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in CONTIGS.items()))
    return Genome(path)


@pytest.fixture(scope="session")
def profiles() -> torch.nn.Module:
    return torch_profiles()


@pytest.fixture(scope="session")
def in_full(profiles: torch.nn.Module) -> Callable[[list[str]], dict[str, np.ndarray]]:
    """Sequences to the model's outputs, by PyTorch alone."""

    def predict(sequences: list[str]) -> dict[str, Any]:
        letters = np.array([["ACGT".find(letter) for letter in sequence] for sequence in sequences])
        one_hot = (letters[:, None] == np.arange(4)[:, None]).astype(np.float64)
        with torch.no_grad():
            return {name: value.numpy() for name, value in profiles(torch.from_numpy(one_hot)).items()}

    return predict
