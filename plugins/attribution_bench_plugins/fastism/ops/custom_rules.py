"""Rules for operations that belong to no family: the caller's own, and those of installed packages."""

from collections.abc import Mapping

from attribution_bench.errors import InvalidInputError
from attribution_bench.registry import list_plugins, load_plugin
from attribution_bench_plugins.fastism.graph.ir import Graph
from attribution_bench_plugins.fastism.ops import Rule

GROUP = "attribution_bench.fastism_rules"
"""Entry points: the operation's kind -> its rule."""


def rules_for(graph: Graph, given: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return by kind the rules of a graph's operations that belong to no family; those given go before installed ones.

    Raises
    ------
    InvalidInputError
        A rule is given for what the graph does not hold.
    PluginError
        An installed rule that the graph needs cannot be loaded.
    """
    kinds = graph.without_family()
    for kind in sorted(given.keys() - kinds):
        known = f"those that it has are {', '.join(sorted(kinds))}" if kinds else "each of its operations has one"
        raise InvalidInputError(f"rules: the model has no operation {kind!r} that lacks a rule; {known}")
    installed = kinds.intersection(list_plugins(GROUP)) - given.keys()
    return {**given, **{kind: load_plugin(GROUP, "fastISM rule", kind) for kind in sorted(installed)}}
