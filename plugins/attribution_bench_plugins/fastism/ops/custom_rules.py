"""Rules for opaque operations: the caller's own, and those of installed packages."""

from collections.abc import Callable, Mapping, Sequence

from attribution_bench.errors import InvalidInputError
from attribution_bench.fastism import Local
from attribution_bench.registry import list_plugins, load_plugin
from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.ops.base import Operand, Operation, Rule
from attribution_bench_plugins.fastism.ops.local import LocalFunction

GROUP = "attribution_bench.fastism_rules"
"""Entry points: the operation's kind -> its rule."""
GivenRule = Local | Callable[[Node, Sequence[Operand]], Operation | Local]
"""Rule of a user or package: a declaration, or a function that returns an operation or a declaration."""


def rules_for(graph: Graph, given: Mapping[str, GivenRule]) -> dict[str, Rule]:
    """Return the rules of a graph's opaque operations by kind; those given take precedence over installed ones.

    A rule for an operation of the user that was followed into operations with rules of their own is not needed.

    Raises
    ------
    InvalidInputError
        A rule is given for an operation that the graph does not hold.
    PluginError
        An installed rule that the graph needs cannot be loaded.
    """
    kinds = graph.opaque_kinds()
    for kind in sorted(given.keys() - kinds - graph.followed):
        known = f"those that it has are {', '.join(sorted(kinds))}" if kinds else "there is none"
        raise InvalidInputError(
            f"rules: the model has no operation {kind!r} that lacks a rule and returns one tensor; {known}"
        )
    installed = kinds.intersection(list_plugins(GROUP)) - given.keys()
    loaded = {kind: load_plugin(GROUP, "fastISM rule", kind) for kind in sorted(installed)}
    return {kind: _as_rule(rule) for kind, rule in {**given, **loaded}.items() if kind in kinds}


def _as_rule(given: GivenRule) -> Rule:
    """Return a user's rule as a rule of the engine, which returns an operation."""

    def rule(node: Node, operands: Sequence[Operand]) -> Operation:
        found = given if isinstance(given, Local) else given(node, operands)
        return LocalFunction(node, operands, found) if isinstance(found, Local) else found

    return rule
