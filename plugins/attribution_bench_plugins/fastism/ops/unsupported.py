"""Why an operation without a rule runs whole, in plain words."""

from collections.abc import Mapping
from types import MappingProxyType

from attribution_bench_plugins.fastism.graph.ir import Node

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "lstm": "a recurrent layer carries each change along the whole sequence",
        "gru": "a recurrent layer carries each change along the whole sequence",
        "bidirectional": "a recurrent layer carries each change along the whole sequence",
        "rnn": "a recurrent layer carries each change along the whole sequence",
        "attention": "attention lets every position read every other",
        "fft": "a Fourier transform mixes all positions",
        "group_norm": "its statistics are taken over all positions",
        "groupnorm": "its statistics are taken over all positions",
        "instance_norm": "its statistics are taken over all positions",
        "cumsum": "a running sum carries each change along the whole sequence",
        "matmul": "it multiplies two tensors that both depend on the sequence",
        "bmm": "it multiplies two tensors that both depend on the sequence",
        "einsum": "it multiplies tensors in a way that is not followed",
        "lambda": "a Lambda layer is code that cannot be looked into",
        "adaptive": "its bins are of different sizes",
        "sort": "it orders positions by their values",
        "topk": "it orders positions by their values",
    }
)
"""Part of an operation's name in its framework -> why it needs every position."""


def why_whole(node: Node) -> str:
    """Return why an operation that has no rule runs whole."""
    library, _, name = node.kind.rpartition("::")
    if library in ("", "aten"):
        kind = (name or node.layer).lower()
        known = next((reason for part, reason in REASONS.items() if part in kind), None)
        if known is not None:
            return known
    return f"there is no rule for {node.kind or node.layer!r}"
