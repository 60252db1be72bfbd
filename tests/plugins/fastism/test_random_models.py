"""fastISM on random models: every prediction against full passes, and every rule at work."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings

import attribution_bench as ab
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.convolution.algorithm import ConvolutionAlgorithm
from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution
from attribution_bench_plugins.fastism.ops.registry import SPECS
from attribution_bench_plugins.fastism.planning.sizes import CPU
from parity import assert_parity, brute_force, one_hot, sized
from random_models import (
    Channels,
    Convolution,
    Description,
    Embed,
    Head,
    Join,
    Pool,
    PositionWise,
    Upsample,
    descriptions,
)
from random_targets import applied, random_function, random_index

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

RARE = Description(
    layers=(
        Convolution(3, 3),
        Channels("index"),
        Channels("unbind"),
        PositionWise(3, by="Einstein sum"),
        Pool("max"),
        Upsample(2),
        Join("divide", ((), (Pool("average", 3, 1),))),
        Join("stack, interleaved", ((), (Convolution(2, 3, stride=2),))),
    ),
    heads=(Head("global", "max"), Head("joint", before="both", hidden=3)),
    length=20,
    extras=("vector",),
)
"""Rules that few random models run."""


POSITIONS_AGAIN = Description(layers=(Embed(), Convolution(2, 4, padding=4)), heads=(Head("dense"),), length=1)
"""A single letter, out of which padding makes several positions."""

BETWEEN_KERNELS = Description(
    layers=(Embed(3), Pool("average", 1, 2, ceil=True), Pool("average", 1, 3, ceil=True)),
    heads=(Head("position"),),
    length=4,
)
"""A pool that leaves one position, and reads none of what some mutations change."""

EMPTY = Description(layers=(Embed(1), Channels("split")), heads=(Head("profile"),), length=1)
"""A part of the channels that holds none."""


NEAR = replace(CPU, enough_rows=2**30, blocks_per_worker=0)
"""Blocks begin with neighbours and divide on the way, which sequences as short as these would not need."""


@pytest.fixture(autouse=True)
def convolutions_use_every_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose each algorithm in turn, by the sizes of a convolution: some are never the cheapest for so small models."""

    def choose(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
        by_name = sorted(available, key=lambda algorithm: algorithm.name)
        filter_ = by_name[0].filter
        return by_name[(source + filter_.kernel + filter_.c_out) % len(by_name)]

    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(choose))


def compare(description: Description) -> Counter[str]:
    """Check one model's predictions, and return the families of which a node ran on windows."""
    module = description.build()
    x = one_hot(description.sequences, description.letters, description.length, description.seed)
    if description.unknown:
        x[0, :, 0] = 0
    extras = description.extra_inputs()
    alphabet = "DNA" if description.letters == 4 else "protein"
    method = sized(FastISM(ab.as_sequence_model(module, alphabet=alphabet), self_check=False), NEAR)
    result = method.attribute(x, target="all", additional_forward_args=extras)
    truth = brute_force(module, x, extras)
    assert_parity(dict(result.predictions), truth, 1e-10)
    # Any part of an output, at any positions: what it does not read is not computed.
    random = np.random.default_rng(description.seed)
    for name, predictions in truth.items():
        shape = predictions.shape[3:]
        wanted = random_index(random, shape) if random.integers(2) else random_function(random, shape)
        positions = random.choice(description.length, random.integers(1, description.length + 1), replace=False)
        part = method.attribute(x, target=(name, wanted), positions=positions, additional_forward_args=extras)
        expected = applied(wanted, predictions[:, :, positions])
        assert_parity(dict(part.predictions), {name: expected}, 1e-10)
    (captured,) = method.engine.cache.models
    return Counter(step.node.op for step in captured.plan.steps.values() if step.mode in ("windowed", "global"))


def compare_random_models(examples: int, *, derandomize: bool) -> Counter[str]:
    """Compare this number of models; returns how many nodes of each family ran on windows."""
    executed: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @example(RARE)
    @example(POSITIONS_AGAIN)
    @example(BETWEEN_KERNELS)
    @example(EMPTY)
    @given(descriptions())
    def check(description: Description) -> None:
        executed.update(compare(description))

    check()
    return executed


def test_random_models_agree_with_full_passes_and_exercise_every_rule() -> None:
    executed = compare_random_models(200, derandomize=True)
    missing = sorted(op for op, spec in SPECS.items() if spec.rule is not None and op not in executed)
    assert not missing, f"no random model ran these rules on windows: {', '.join(missing)}"


@pytest.mark.long
def test_two_thousand_random_models() -> None:
    compare_random_models(2000, derandomize=False)
