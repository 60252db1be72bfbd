"""Why an operation without a rule runs in full."""

from collections.abc import Mapping
from types import MappingProxyType

from attribution_bench_plugins.fastism.graph.ir import Node

REASONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "a recurrent layer carries each change along the whole sequence": ("lstm", "gru", "bidirectional", "rnn"),
        "attention lets every position read every other": ("attention",),
        "a Fourier transform mixes all positions": ("fft",),
        "its statistics are taken over all positions": ("group_norm", "groupnorm", "instance_norm"),
        "a running sum carries each change along the whole sequence": ("cumsum",),
        "it multiplies two tensors that both depend on the sequence": ("matmul", "bmm"),
        "it multiplies tensors in a way that is not followed": ("einsum",),
        "a Lambda layer is code that cannot be looked into": ("lambda",),
        "its bins are of different sizes": ("adaptive",),
        "it orders positions by their values": ("sort", "topk"),
    }
)
"""Why an operation needs every position -> parts of the names of such operations in their frameworks."""


def why_full(node: Node) -> str:
    """Return why an operation that has no rule runs in full."""
    library, _, name = node.kind.rpartition("::")
    if library in ("", "aten"):
        kind = (name or node.layer).lower()
        for reason, parts in REASONS.items():
            if any(part in kind for part in parts):
                return reason
    return f"there is no rule for {node.kind or node.layer!r}"
