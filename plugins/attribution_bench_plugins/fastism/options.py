"""Options of the engine, as the caller of fastISM chose them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from attribution_bench_plugins.fastism.ops.custom_rules import GivenRule
from attribution_bench_plugins.fastism.ops.registry import SPECS, OpSpec
from attribution_bench_plugins.fastism.planning.sizes import SizePolicy, free_memory


@dataclass(frozen=True)
class Options:
    """Options of `FastISM`, under their own names and checked there."""

    memory_budget: int | None
    self_check: bool
    rules: Mapping[str, GivenRule]
    min_speedup: float
    matmul_precision: str | None = None
    specs: Mapping[str, OpSpec[Any]] = field(default_factory=lambda: SPECS)
    """Specs of ops by which models are planned."""

    def budget(self, device: torch.device, policy: SizePolicy) -> int:
        """Return how many bytes the engine may use on a device."""
        return self.memory_budget or policy.default_budget(free_memory(device))
