"""A model captured and planned at one length, and the decision whether the plan runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from attribution_bench.garbage import collection_paused
from attribution_bench.models import OutputSpec
from attribution_bench.timer import CLOCK, Clock
from attribution_bench_plugins.fastism.capture.errors import CaptureError
from attribution_bench_plugins.fastism.capture.source import Fingerprint, Source
from attribution_bench_plugins.fastism.explanation import main_cause
from attribution_bench_plugins.fastism.graph.layout import labelled
from attribution_bench_plugins.fastism.ops.custom_rules import GivenRule, rules_for
from attribution_bench_plugins.fastism.ops.registry import SPECS, OpSpec
from attribution_bench_plugins.fastism.planning.cost import Work
from attribution_bench_plugins.fastism.planning.measured_costs import MeasuredCosts
from attribution_bench_plugins.fastism.planning.plan import Plan, make_plan
from attribution_bench_plugins.fastism.planning.policy import COUNTED_MARGIN, Decision, decide_for_model
from attribution_bench_plugins.fastism.planning.pooling_first import pool_first
from attribution_bench_plugins.fastism.planning.rewriting import split_joint_features
from attribution_bench_plugins.fastism.planning.sizes import SizePolicy, Sizer, free_memory, launch_counts, size_policy
from attribution_bench_plugins.fastism.self_check import DueChecks


@dataclass(frozen=True)
class Options:
    """Options of `FastISM`, under the same names and checked by it, and three further ones."""

    memory_budget: int | None
    self_check: bool
    rules: Mapping[str, GivenRule]
    min_speedup: float
    matmul_precision: str | None = None
    measured_costs: bool = False
    clock: Clock = CLOCK
    """What calls are timed by."""
    sizes: SizePolicy | None = None
    """Constants by which work is divided; None for those of the model's device."""
    specs: Mapping[str, OpSpec[Any]] = field(default_factory=lambda: SPECS)
    """Specs of ops by which models are planned."""

    @property
    def decides_by_seconds(self) -> bool:
        """Whether windows or full passes is decided by what they took."""
        return self.measured_costs and 0 < self.min_speedup < math.inf

    @property
    def counted_speedup(self) -> float:
        """The speed-up that counted work must promise for windows to run where nothing was timed."""
        return self.min_speedup * COUNTED_MARGIN

    def sizer(self, source: Source, plan: Plan) -> Sizer:
        """Return what sizes the work of a model's plan, within the memory that is free now."""
        policy = self.sizes or size_policy(source.kind)
        budget = self.memory_budget or policy.default_budget(free_memory(source.device))
        return Sizer(plan, policy, source.dtype.itemsize, budget)


@dataclass(frozen=True)
class CompiledModel:
    """A model at one length, with the weights that it had when it was captured."""

    plan: Plan | None
    """None where the model could not be captured."""
    work: Work | None
    """None where there is no plan."""
    decision: Decision
    """Windows or full passes, for a saturation that fills the engine's blocks."""
    outputs: tuple[OutputSpec, ...]
    fingerprint: Fingerprint
    """That of the model; see `Source.fingerprint`."""
    costs: MeasuredCosts = field(default_factory=MeasuredCosts)
    """What calls took. Full passes are timed together for all plans of an entry of the plan cache."""
    due_checks: DueChecks = field(default_factory=lambda: DueChecks(0))
    """What of the self-check is still to be passed, for all plans of an entry together."""


@collection_paused()
def compile_model(
    source: Source, length: int, extras: tuple[NDArray[Any], ...], outputs: tuple[OutputSpec, ...], options: Options
) -> CompiledModel:
    """Capture a model in inference mode and plan it; one that cannot be captured has no plan but a reason.

    Parameters
    ----------
    extras
        The model's further inputs, at least one row of each.
    outputs
        The model's outputs at this length.

    Raises
    ------
    InvalidInputError
        A rule is given for an operation that the model does not have.
    """
    before = source.fingerprint
    try:
        graph = pool_first(split_joint_features(source.capture(length, extras, outputs)))
    except CaptureError as error:
        source.run_once(length, extras)
        decision = Decision.full_passes(str(error))
        return CompiledModel(None, None, decision, outputs, _without_own(source, before))
    axes = ("n", "c", "p") if source.model.layout == "NAL" else ("n", "p", "c")
    layout = labelled(axes, len(source.model.alphabet), length)
    plan = make_plan(graph, layout, rules_for(graph, options.rules), options.specs)
    decided, due = _decided(plan, source, options), DueChecks(plan.letters)
    return CompiledModel(plan, *decided, outputs, _without_own(source, before), due_checks=due)


def narrowed(compiled: CompiledModel, wanted: Mapping[str, range], source: Source, options: Options) -> CompiledModel:
    """Return a compiled model whose plan is that for wanted positions of its outputs; see `Plan.wanting`."""
    if compiled.plan is None or wanted == compiled.plan.wanted:
        return compiled
    plan = compiled.plan.wanting(wanted)
    work, decision = _decided(plan, source, options)
    return replace(compiled, plan=plan, work=work, decision=decision, costs=compiled.costs.of_part())


def _without_own(source: Source, before: Fingerprint) -> Fingerprint:
    """Return the fingerprint of a model before it ran, without settings that it has changed itself since."""
    own = before.settings.changed(source.settings_now())
    return before._replace(settings=before.settings.without(own))


def _decided(plan: Plan, source: Source, options: Options) -> tuple[Work, Decision]:
    """Return the work of a plan, and the decision for a saturation that fills the engine's blocks."""
    work, alternatives = Work.of(plan, source.kind), plan.letters - 1
    sizes = options.sizer(source, plan).sizes(alternatives)
    launches = launch_counts(plan, sizes, sizes.sequences, range(plan.length), alternatives)
    decision = decide_for_model(work, launches, options.counted_speedup)
    if not decision.run_windows:
        decision = Decision.full_passes(f"{decision.reason} ({main_cause(plan)})")
    return work, decision
