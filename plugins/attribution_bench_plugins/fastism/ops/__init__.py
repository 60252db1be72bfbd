"""Rules: how the operations of each family run on windows."""

from typing import Any

from attribution_bench.deprecation import warn_renamed
from attribution_bench_plugins.fastism.ops.base import NoRuleError, Operand, Operation, Rule
from attribution_bench_plugins.fastism.ops.elementwise import Elementwise
from attribution_bench_plugins.fastism.ops.local import CallableLocal

elementwise: Rule = Elementwise
"""Rule for any function of single elements."""


def __getattr__(name: str) -> Any:
    if name != "Local":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(f"{__name__}.Local", "attribution_bench.fastism.Local, which rules return", stacklevel=2)
    return CallableLocal


__all__ = ["NoRuleError", "Operand", "Operation", "Rule", "elementwise"]
