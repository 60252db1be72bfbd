"""Rules: how the operations of each family run on windows."""

from importlib import import_module
from typing import Any

from attribution_bench.deprecation import warn_renamed
from attribution_bench_plugins.fastism.ops.base import NoRuleError, Operand, Operation, Rule
from attribution_bench_plugins.fastism.ops.elementwise import Elementwise
from attribution_bench_plugins.fastism.ops.local import CallableLocal

elementwise: Rule = Elementwise
"""Rule for any function of single elements."""


def __getattr__(name: str) -> Any:
    if name == "Local":
        warn_renamed(f"{__name__}.Local", "attribution_bench.fastism.Local, which rules return", stacklevel=2)
        return CallableLocal
    if name == "RULES":
        specs = import_module(f"{__name__}.registry").SPECS
        warn_renamed(f"{__name__}.RULES", f"{__name__}.registry.SPECS", stacklevel=2)
        return {op: spec.rule for op, spec in specs.items() if spec.rule is not None}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["NoRuleError", "Operand", "Operation", "Rule", "elementwise"]
