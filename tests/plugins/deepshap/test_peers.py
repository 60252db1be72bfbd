"""Captum as an oracle, on the set-ups where it is right: modules of their own, none of which touch."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import DeepLiftShap
from torch import nn

from attribution_bench_plugins.deepshap import DeepSHAP

LENGTH = 12
ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}
HEADS = {
    "dense": lambda: (nn.Flatten(), nn.Linear(6 * LENGTH, 1)),
    "batch norm and average pool": lambda: (
        nn.BatchNorm1d(6),
        nn.AvgPool1d(3),
        nn.Conv1d(6, 5, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(15, 1),
    ),
    "maximum pool": lambda: (
        nn.Conv1d(6, 6, 1),
        nn.MaxPool1d(2),
        nn.Conv1d(6, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 1),
    ),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_agrees_with_captum(activation: str, head: str, sequences: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        first = nn.Conv1d(4, 6, 3, padding=1)
        model = nn.Sequential(first, ACTIVATIONS[activation](), *HEADS[head]()).double().eval()
    x, references = sequences(2, LENGTH), sequences(3, LENGTH, seed=1)
    ours = DeepSHAP(model, baselines=references).multipliers(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = DeepLiftShap(model).attribute(torch.tensor(x).double(), torch.tensor(references).double())
    expected = theirs.detach().numpy()
    found = ours.contributions.reshape(2, 3, 4, LENGTH).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
