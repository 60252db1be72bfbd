"""Products of lower precision: asked for by name, near enough, and nothing of PyTorch's settings left changed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.errors import DeviceError, InvalidInputError
from attribution_bench_plugins.fastism import FastISM, precision
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedPass
from attribution_bench_plugins.fastism.planning import segments
from attribution_bench_plugins.fastism.planning.sizes import CPU
from fastism_models import build, chain
from parity import assert_parity, brute_force, one_hot, sized

SETTINGS = (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv)  # type: ignore[attr-defined]


def model() -> nn.Module:
    torch.manual_seed(0)
    return chain(nn.Conv1d(4, 64, 7, padding=3), nn.ReLU(), nn.Conv1d(64, 64, 5, padding=2), nn.ReLU(), nn.Flatten())


def state() -> list[str]:
    return [setting.fp32_precision for setting in SETTINGS]


@pytest.mark.parametrize("matmul_precision", ["tf32", "bfloat16"])
def test_predictions_are_near_and_the_settings_are_put_back(matmul_precision: str) -> None:
    module, x, before = model().eval(), one_hot(2, 4, 40).astype(np.float32), state()
    result = ab.get_method("fastism")(module, matmul_precision=matmul_precision).attribute(x, target="all")
    assert state() == before
    assert_parity(dict(result.predictions), brute_force(module, x), precision.LOW_TOLERANCE)
    exact = ab.get_method("standard_ism")(module).attribute(x, target="all", positions=[0])
    for name, values in exact.reference_predictions.items():
        np.testing.assert_allclose(result.reference_predictions[name], values, rtol=0, atol=1e-6)
    assert result.metadata["options"]["matmul_precision"] == matmul_precision


def test_lists_of_mutations_take_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    module = model().eval()
    method = ab.get_method("fastism")(module, matmul_precision="bfloat16", self_check=False)
    from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution

    run = LinearConvolution.run
    monkeypatch.setattr(LinearConvolution, "run", lambda *arguments: (seen.append(state()), run(*arguments))[1])
    mutations = [ab.Mutation(0, position, "A") for position in range(0, 40, 2)]
    method.predict_mutations(one_hot(1, 4, 40), mutations, target="all")
    assert seen
    assert all(values == ["bf16", "bf16"] for values in seen)
    assert state() != ["bf16", "bf16"]


def test_what_is_unmutated_stays_as_it_is_in_later_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those take place while blocks run, here since a sequence is divided and nothing is kept that is not foreseen."""
    monkeypatch.setattr(segments, "SLACK", -3)
    seen, before, run = list[list[str]](), state(), UnmutatedPass._run
    monkeypatch.setattr(UnmutatedPass, "_run", lambda *arguments: (seen.append(state()), run(*arguments))[1])
    method = FastISM(model().eval(), matmul_precision="bfloat16", min_speedup=0, self_check=False)
    sized(method, replace(CPU, group_budget_share=2**60, most_segments=2))
    method.attribute(one_hot(1, 4, 40).astype(np.float32), target="all")
    assert len(seen) > 2
    assert all(values == before for values in seen)


def test_the_settings_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    before = state()
    monkeypatch.setattr(LinearConvolution, "run", broken)
    with pytest.raises(ZeroDivisionError):
        ab.get_method("fastism")(model(), matmul_precision="bfloat16").attribute(one_hot(1, 4, 40), target="all")
    assert state() == before


def test_what_there_is_not_is_refused() -> None:
    message = "matmul_precision must be None, or one of tf32, bfloat16, not 'float8'"
    with pytest.raises(InvalidInputError, match=message):
        ab.get_method("fastism")(build("dense only"), matmul_precision="float8")
    with (
        pytest.raises(DeviceError, match=r"'bfloat16' is not available on cuda.*CUDA takes 'tf32'"),
        precision.products_in("bfloat16", torch.device("cuda")),
    ):
        pass


def test_an_older_pytorch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends, "mkldnn", object())
    with (
        pytest.raises(DeviceError, match=r"from PyTorch 2.9 on; leave it out"),
        precision.products_in("tf32", torch.device("cpu")),
    ):
        pass
