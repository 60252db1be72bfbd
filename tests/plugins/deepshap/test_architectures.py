"""Completeness on the three architectures, in both frameworks and every writing style; tangermeme as an oracle."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tangermeme.deep_lift_shap import deep_lift_shap

from attribution_bench.models import as_sequence_model
from attribution_bench_plugins.deepshap import DeepSHAP
from attribution_bench_plugins.deepshap.references import shuffled_references

REFERENCES = 2
TARGETS = {
    "basset": (None, lambda outputs: outputs["output"][:, 0]),
    "factorized_basset": (None, lambda outputs: outputs["output"][:, 0]),
    "bpnet": (("count", 0), lambda outputs: outputs["count"][:, 0]),
}
PROFILE = (("profile", 17), lambda outputs: outputs["profile"][:, 17])
CASES = [*TARGETS.items(), ("bpnet", PROFILE)]


@pytest.mark.parametrize("style", ["modules", "functional", "reused"])
@pytest.mark.parametrize(("architecture", "case"), CASES)
def test_float64_scores_add_up_however_the_pytorch_model_is_written(
    architecture: str, case: Any, style: str, build: Any, lengths: Any, sequences: Any, completeness_error: Any
) -> None:
    target, read = case
    model = as_sequence_model(build(architecture, style=style).double())
    x = sequences(2, lengths[architecture])
    result = DeepSHAP(model, n_references=REFERENCES).attribute(x, target=target)
    assert completeness_error(result, model, x, REFERENCES, read) <= 1e-9


@pytest.mark.parametrize(("architecture", "case"), CASES)
def test_both_frameworks_add_up_in_float32_and_agree(
    architecture: str, case: Any, build: Any, lengths: Any, sequences: Any, completeness_error: Any
) -> None:
    target, read = case
    x = sequences(2, lengths[architecture])
    scores = {}
    for framework in ("torch", "keras"):
        model = as_sequence_model(build(architecture, framework), output_names=_names(architecture))
        result = DeepSHAP(model, n_references=REFERENCES).attribute(x, target=target)
        assert completeness_error(result, model, x, REFERENCES, read) <= 1e-3
        scores[framework] = result.scores
    np.testing.assert_allclose(scores["keras"], scores["torch"], rtol=0, atol=1e-4 * np.abs(scores["torch"]).max())


@pytest.mark.parametrize("architecture", TARGETS)
def test_agrees_with_tangermeme_where_it_is_right(architecture: str, build: Any, lengths: Any, sequences: Any) -> None:
    target, _ = TARGETS[architecture]
    model = build(architecture).double()
    x = sequences(2, lengths[architecture])
    references = shuffled_references(x, REFERENCES, 0)
    ours = DeepSHAP(model, n_references=REFERENCES).attribute(x, target=target)
    head = torch.nn.Sequential(model, _Count()) if architecture == "bpnet" else model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = deep_lift_shap(
            head,
            torch.tensor(x).double(),
            references=torch.tensor(references).double(),
            hypothetical=True,
            device="cpu",
        )
    expected = theirs.numpy()
    np.testing.assert_allclose(ours.scores, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


class _Count(torch.nn.Module):
    def forward(self, outputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return outputs["count"]


def _names(architecture: str) -> tuple[str, ...]:
    return ("profile", "count") if architecture == "bpnet" else ("output",)
