"""One node of a plan: how it runs."""

from dataclasses import dataclass
from typing import Literal

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.base import Form, Operation

Mode = Literal["constant", "windowed", "global", "full"]


@dataclass(frozen=True, eq=False)
class Step:
    """One node of the plan."""

    node: Node
    mode: Mode
    """``constant``: no mutation reaches it. ``windowed``: on the affected range. ``global``: it has no positions.
    ``full``: the model's own operation on every position."""
    reason: str
    """Why it runs in full; empty otherwise."""
    remedy: str
    """What would make that cheaper; empty where it does not run in full."""
    operation: Operation | None
    layout: Layout | None
    alias_of: str
    """The node whose tensors it shares: its own name, but for a relabelling."""
    preferred_form: Form
    """The form that its readers prefer."""
    is_head: bool
    """Whether it belongs to the head: the steps after the position axis is gone, which run once for the mutations of
    every phase together."""
    readers: int
    """Reads of its tensors in all of the plan; an output counts as one."""
