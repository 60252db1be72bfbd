"""Digests of weights."""

import pytest

import attribution_bench as ab
from attribution_bench.models.digest import weights_digest


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_the_same_weights_have_the_same_digest_and_others_another(framework):
    build = ab.get_model("bpnet")
    first, again = (ab.as_sequence_model(build(length=100, framework=framework)) for _ in range(2))
    assert weights_digest(first) == weights_digest(again)
    if framework == "torch":
        next(iter(again.model.parameters())).data.reshape(-1)[0] += 1e-6
    else:
        weight = again.model.weights[0]
        changed = weight.numpy().copy()
        changed.reshape(-1)[0] += 1e-6
        weight.assign(changed)
    assert weights_digest(first) != weights_digest(again)
