"""Why an operation without a rule runs in full, and what would make it cheaper."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import OpaqueParameters
from attribution_bench_plugins.fastism.ops.base import OTHER_SPELLING, POOL_BEFORE, NoRuleError, Operand

Reasons = Mapping[str, tuple[str, ...]]
"""Reason -> parts of the names, in lower case, that frameworks give to their operations that it holds for."""
EVERY_POSITION: Reasons = MappingProxyType(
    {
        "a recurrent layer carries each change along the whole sequence": ("lstm", "gru", "bidirectional", "rnn"),
        "attention lets every position read every other": ("attention",),
        "a Fourier transform mixes all positions": ("fft",),
        "its statistics are taken over all positions": ("group_norm", "groupnorm", "instance_norm"),
    }
)
"""Those of operations that read every position, whatever their axes."""
OVER_POSITIONS: Reasons = MappingProxyType(
    {
        "a running sum carries each change along the whole sequence": ("cumsum", "cumprod"),
        "a running extreme carries each change along the whole sequence": ("cummax", "cummin"),
        "it orders positions by their values": ("sort", "topk", "top_k", "kthvalue", "median", "mode", "quantile"),
        "its sum is taken over all positions": ("softmax", "logsumexp"),
        "its statistics are taken over all positions": ("norm", "std", "var"),
    }
)
"""Those of functions of one axis, where that axis is the positions."""
PRODUCTS = ("matmul", "bmm", "einsum", "dot", "inner")
OTHERS: Reasons = MappingProxyType(
    {
        "its bins are of different sizes": ("adaptive",),
        "its places lie at uneven distances": ("upsample", "interpolate", "resize"),
    }
)
"""Those of operations that are written in a way that no rule covers."""

WHOLE_MODELS = ("tfsmlayer", "jaxlayer", "torchmodulewrapper")
"""Parts of the names of Keras layers that hold a model of another framework or format."""


def needs_every_position(kind: str, changing: int) -> bool:
    """Whether an operator of PyTorch needs every position, by its name and how many operands a mutation changes.

    An Einstein sum may be a product of elements.
    """
    library, _, name = kind.rpartition("::")
    products = changing > 1 and _is_product(name) and "einsum" not in name
    return library == "aten" and (_reason(EVERY_POSITION, name) is not None or products)


def why_full(node: Node, operands: Sequence[Operand]) -> NoRuleError:
    """Return why an operation that has no rule runs in full."""
    opaque = node.parameters if isinstance(node.parameters, OpaqueParameters) else OpaqueParameters()
    kind = _own_kind(node, opaque)
    always, other = _reason(EVERY_POSITION, kind), _reason(OTHERS, kind)
    if always is not None:
        return NoRuleError(always, POOL_BEFORE)
    reached = [operand.reached for operand in operands]
    if _is_product(kind) and (sum(reached) > 1 or all(reached)):  # one alone is multiplied by itself
        return NoRuleError("it multiplies two tensors that both depend on the sequence", POOL_BEFORE)
    if _is_product(kind) and not opaque.stopped_by:
        return _unfollowed_product(operands)
    if any(part in kind.lower() for part in WHOLE_MODELS):
        return NoRuleError(
            "it holds a whole model, whose own layers are not seen",
            "the model in its own framework, from its code and weights, would show its layers",
        )
    if other is not None and not opaque.stopped_by:
        return NoRuleError(other)
    reason = f"there is no rule for {node.kind or node.layer!r}"
    reason += f", and {opaque.stopped_by}" if opaque.stopped_by else ""
    if not node.kind or node.shape is None:
        return NoRuleError(reason, OTHER_SPELLING)
    return NoRuleError(
        reason,
        "if it reads a few neighbouring positions, a rule of yours would keep windows: in Python "
        f"rules={{{node.kind!r}: ...}}, on the command line one that a package brings, see docs/rules.md",
    )


def _own_kind(node: Node, opaque: OpaqueParameters) -> str:
    """Return what a framework itself calls an operation; empty for one of the user's, whose name means nothing."""
    library, _, name = node.kind.rpartition("::")
    if library == "aten":
        return name
    # PyTorch's own loops and branches have no kind; their places in the model end in their names.
    return opaque.own_kind if node.kind else node.layer.rpartition(": ")[2]


def _unfollowed_product(operands: Sequence[Operand]) -> NoRuleError:
    """Return why a product of one tensor that depends on the sequence with others that do not has no rule."""
    fixed = [str(operand.node.shape) for operand in operands if not operand.reached]
    layouts = [operand.layout for operand in operands if operand.reached]
    axes = [layout.axes for layout in layouts if layout is not None]
    source = f"a tensor with the axes {axes[0]}" if axes else "a tensor whose axes are mixed with the batch"
    return NoRuleError(
        f"it multiplies {source} by {' and '.join(fixed)}, which is no dense layer of one axis of channels",
        "as `torch.nn.functional.linear` of the channels, one product after the other, it would keep windows",
    )


def over_positions(node: Node, found: str) -> NoRuleError:
    """Return why a function of one axis runs in full where that axis, which is described, is not channels."""
    reason = _reason(OVER_POSITIONS, node.kind)
    return NoRuleError(reason or f"it runs over {found}, not over channels", POOL_BEFORE)


def _reason(reasons: Reasons, kind: str) -> str | None:
    return next((reason for reason, parts in reasons.items() if any(part in kind.lower() for part in parts)), None)


def _is_product(kind: str) -> bool:
    return any(part in kind.lower() for part in PRODUCTS)
