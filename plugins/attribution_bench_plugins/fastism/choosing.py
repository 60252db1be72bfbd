"""Windows or full passes for one request: what is counted of either, what either takes, and trials of the other one."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from attribution_bench.attribution import RawAttribution, Request
from attribution_bench.errors import TrialWarning, text_with_notes
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, RawMutagenesis
from attribution_bench.mutations import Edit
from attribution_bench.timer import timed
from attribution_bench_plugins.fastism.call import Call
from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.compiled_model import CompiledModel, Options
from attribution_bench_plugins.fastism.execution.interpreter import Observer
from attribution_bench_plugins.fastism.execution.shared_blocks import Sharing, Sites, sharing, worthwhile
from attribution_bench_plugins.fastism.planning.cost import LaunchCounts, Work
from attribution_bench_plugins.fastism.planning.measured_costs import Kind, MeasuredCosts, Run, other_than
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.policy import (
    Decision,
    Savings,
    decide_by_seconds,
    decide_for_call,
    full_run,
    savings_of,
    timed_work,
    windows_run,
)
from attribution_bench_plugins.fastism.planning.sizes import Sizer, fewest_launches
from attribution_bench_plugins.fastism.saturation import Saturation, alternatives_of
from attribution_bench_plugins.fastism.self_check import SelfCheck, rows_to_check
from attribution_bench_plugins.fastism.substitutions import Substitutions
from attribution_bench_plugins.fastism.trials import part_of_list, part_of_saturation
from attribution_bench_plugins.standard_ism import StandardISM

PARTS = 4
"""Where a trial would take too long, a quarter of its mutations is tried, or a quarter of those, and so on."""
LARGEST_RATIO = 64
"""Where the trial of a whole request would take more than this many times what is allowed, it is put off: the part
that may be tried would tell little of the whole."""

LARGEST_SHARE = 0.5
"""Part of the seconds of a request that the trial of a part of it may take."""


@dataclass(frozen=True, eq=False)
class Captured:
    """A captured model as one call finds it, with the caller's options."""

    compiled: CompiledModel
    plan: Plan
    work: Work
    source: Source
    options: Options
    observer: Observer | None
    standard: StandardISM
    """Takes full passes."""

    @property
    def costs(self) -> MeasuredCosts:
        """What earlier calls took."""
        return self.compiled.costs

    @cached_property
    def sizer(self) -> Sizer:
        """What sizes the work of windows."""
        return self.options.sizer(self.source, self.plan)

    def call(self, request: Request) -> Call:
        """Return a request as it would be answered on windows."""
        return Call(self.source, request, self.sizer, self.observer, self.options.clock)

    def self_check(self, call: Call, asked: int, speedup: float) -> SelfCheck | None:
        """Return the check that is due in a call on windows, unless the caller has turned it off.

        `asked` mutations are asked for, and windows are expected to be `speedup` times as fast as full passes.
        """
        due = self.compiled.due_checks
        return SelfCheck(call, due, rows_to_check(asked, speedup)) if due and self.options.self_check else None

    def launches(self, request: Request) -> LaunchCounts:
        """Return the launches of a saturation, in groups and blocks of any size."""
        alternatives = alternatives_of(request, self.plan.letters)
        batch_size = request.batch_size or DEFAULT_BATCH_SIZE
        return fewest_launches(self.plan, len(request.one_hot), request.positions, alternatives, batch_size)

    def launches_of_list(self, request: Request, mutations: int, shared: Sequence[Sharing]) -> LaunchCounts:
        """Return the launches of a list of mutations, the same way: what several sequences share runs together."""
        batch_size = request.batch_size or DEFAULT_BATCH_SIZE
        return LaunchCounts(
            asked=mutations,
            mutations=sum(each.mutations for each in shared),
            blocks=sum(each.blocks for each in shared),
            groups=len(shared),
            batches=-(-len(request.one_hot) // batch_size) - (-mutations // batch_size),
        )

    def decide(self, launches: LaunchCounts) -> Decision:
        """Decide for a saturation: by seconds if windows and full passes were timed, else by counted work."""
        runs = windows_run(self.work, launches), full_run(self.work, launches)
        if self.options.decides_by_seconds and self.costs.are_known(*runs):
            return decide_by_seconds(self.compiled.decision, self.costs, *runs, self.options.min_speedup)
        return decide_for_call(self.compiled.decision, self.work, launches, self.options.counted_speedup)

    def add_check(self, call: Call) -> None:
        """Keep what the full passes of a call's self-check took."""
        if call.tally.checked:
            launches = LaunchCounts(call.tally.checked, 0, 0, 0, batches=1)
            self.costs.full.add(full_run(self.work, launches), call.tally.check_seconds)


class SaturationChoice:
    """A saturation, to be run on windows or by full passes."""

    def __init__(self, model: Captured, request: Request) -> None:
        self.model, self.request, self.launches = model, request, model.launches(request)
        self.mutations = len(request.one_hot) * len(request.positions)
        self.runs: dict[Kind, Run] = {
            "windows": windows_run(model.work, self.launches),
            "full passes": full_run(model.work, self.launches),
        }

    def part(self, mutations: int) -> "SaturationChoice":
        """Return the choice for a part of the mutated positions of all sequences."""
        return SaturationChoice(self.model, part_of_saturation(self.request, mutations, self.model.plan.reaching))

    def decide(self) -> Decision:
        """Decide, after a trial if one is due."""
        decision = self.model.decide(self.launches)
        if self.model.options.decides_by_seconds:
            if try_other(self, "windows" if decision.run_windows else "full passes"):
                decision = self.model.decide(self.launches)
            self.model.costs.chosen[self.runs["windows"].size] = decision.run_windows
        return decision

    def attempt(self, kind: Kind) -> None:
        """Run the saturation for its seconds alone."""
        if kind == "windows":
            self.on_windows(None)
        else:
            self.by_full_passes()

    def on_windows(self, speedup: float | None) -> RawAttribution:
        """Return the predictions by windows; raises as `SelfCheck.compare` does.

        They are expected to be `speedup` times as fast as full passes, by which a part is checked; None for no check.
        """
        model, call = self.model, self.model.call(self.request)
        check = None if speedup is None else model.self_check(call, self.launches.asked, speedup)
        sizes = call.sizer.sizes(alternatives_of(self.request, model.plan.letters), self.request.batch_size)
        predicted = timed(model.options.clock, lambda: Saturation(call).run(sizes, check))
        model.costs.windows.add(self.runs["windows"], predicted.seconds - call.tally.check_seconds)
        model.add_check(call)
        return predicted.value

    def by_full_passes(self) -> RawAttribution:
        """Return the predictions by full passes."""
        standard = self.model.standard
        predicted = timed(self.model.options.clock, lambda: standard._attribute(self.request))
        self.model.costs.full.add(self.runs["full passes"], predicted.seconds)
        return predicted.value


class ListChoice:
    """A list of mutations, each to be run on windows or by a full pass."""

    def __init__(self, model: Captured, request: Request, edits: Sequence[Edit]) -> None:
        self.model, self.request, self.edits = model, request, edits
        self.sites = Sites.of(edits, model.plan.reaching)
        self.reaching = len(edits) - len(self.sites.unreached)
        """Mutations that can change what is selected: the others run in neither way."""
        self.mutations, self.sharing = max(1, self.reaching), sharing(self.sites, model.plan.stride)
        self.launches = model.launches_of_list(request, self.reaching, self.sharing)
        self.runs: dict[Kind, Run] = {
            "windows": windows_run(model.work, self.launches),
            "full passes": full_run(model.work, self.launches),
        }

    def part(self, mutations: int) -> "ListChoice":
        """Return the choice for a part of the list."""
        unreached = set(self.sites.unreached)
        reaching = [edit for number, edit in enumerate(self.edits) if number not in unreached]
        return ListChoice(self.model, *part_of_list(self.request, reaching, mutations))

    def run(self) -> RawMutagenesis:
        """Return the predictions, and keep the seconds that they took; raises as `SelfCheck.compare` does.

        Afterwards a part is tried in the other way if that is due.
        """
        model, speedup = self.model, self.model.costs.speedup(self.runs["windows"], self.runs["full passes"])
        raw, on_windows = self._run(self._savings(), speedup)
        if model.options.decides_by_seconds and self.sharing:
            model.costs.chosen[self.runs["windows"].size] = on_windows > 0
            if on_windows in (0, self.reaching):
                try_other(self, "windows" if on_windows else "full passes")
        if not on_windows and not model.compiled.decision.run_windows:
            return replace(raw, metadata={**raw.metadata, "fallback": model.compiled.decision.reason})
        return raw

    def attempt(self, kind: Kind) -> None:
        """Run the list for its seconds alone."""
        self._run(savings_of(self.model.work, 0) if kind == "windows" else None, None)

    def _savings(self) -> Savings | None:
        """Return what mutations save that share blocks; None where all are to take full passes."""
        model, options, runs = self.model, self.model.options, self.runs.values()
        # Starting the calls of the model is shared by the mutations.
        work = replace(model.work, full=round(self.runs["full passes"].work / self.mutations))
        if options.decides_by_seconds and model.costs.are_known(*runs):
            least = model.costs.least_speedup(self.runs["windows"], options.min_speedup)
            return savings_of(timed_work(work, model.costs, *runs), least)
        return savings_of(work, options.counted_speedup) if model.compiled.decision.run_windows else None

    def _run(self, savings: Savings | None, speedup: float | None) -> tuple[RawMutagenesis, int]:
        """Return the predictions, and how many of them are by windows; see `SaturationChoice.on_windows`."""
        chosen = [] if savings is None else worthwhile(self.sharing, savings)
        if chosen or self.sites.unreached:
            return self._on_windows(chosen, speedup), sum(each.mutations for each in chosen)
        standard = self.model.standard
        predicted = timed(self.model.options.clock, lambda: standard._predict_mutations(self.request, self.edits))
        self.model.costs.full.add(self.runs["full passes"], predicted.seconds)
        return predicted.value, 0

    def _on_windows(self, chosen: Sequence[Sharing], speedup: float | None) -> RawMutagenesis:
        """Return the predictions, of what was chosen by windows, of other mutations that reach anything by full passes.

        The seconds of either are kept.
        """
        model, call = self.model, self.model.call(self.request)
        listed, tally, most = Substitutions(call, self.edits, self.sites), call.tally, call.sizer.sequences_at_once(1)
        most = min(self.request.batch_size or DEFAULT_BATCH_SIZE, most)
        check = None if speedup is None else model.self_check(call, len(self.edits), speedup)
        predicted = timed(model.options.clock, lambda: listed.run(chosen, most, check))
        seconds, full = predicted.seconds - tally.check_seconds, int(listed.needs_full_pass.sum())
        if full:
            size, unmutated = self.request.batch_size or DEFAULT_BATCH_SIZE, int(listed.needs_unmutated_pass.sum())
            run = full_run(model.work, LaunchCounts(full, 0, 0, 0, batches=-(-full // size) - (-unmutated // size)))
            model.costs.full.add(run, seconds - tally.seconds)
            seconds = tally.seconds
        if chosen:
            run = windows_run(model.work, model.launches_of_list(self.request, len(self.edits), chosen))
            model.costs.windows.add(run, seconds)
        model.add_check(call)
        return predicted.value


Choice = SaturationChoice | ListChoice


def try_other(choice: Choice, kind: Kind) -> bool:
    """Run a part of a request in the other way than a kind, if that might take less time and the budget allows it.

    One that fails is told of by a `TrialWarning`, and not tried again. Returns whether it was run.
    """
    costs, clock, other = choice.model.costs, choice.model.options.clock, other_than(kind)
    if other in costs.failed:
        return False
    expected, calls = costs.seconds(kind, choice.runs[kind]), costs.timings(kind).count(choice.runs[kind])
    allowed = costs.allowance(expected)
    if costs.trial_seconds(other, choice.runs[other], expected) > allowed * LARGEST_RATIO:
        return False
    if not costs.may_try(other, choice.runs[other], expected, calls):
        return False
    part = largest_part(choice, kind, allowed)
    if part is None or not part.launches.mutations:  # None of the part runs on windows.
        return False
    expected = costs.seconds(kind, part.runs[kind])
    due = costs.may_try(other, part.runs[other], expected, calls)
    if not due:
        return False
    start = clock()
    try:
        part.attempt(other)
    except Exception as error:  # memory runs out, or the model and functions of the caller raise anything
        costs.failed.add(other)
        message = (
            f"fastISM could not measure what {other} would take, and goes on with {kind}: "
            f"{type(error).__name__}: {text_with_notes(error)}"
        )
        warnings.warn(message, TrialWarning, stacklevel=9)  # the caller of the method
    # What it takes beyond its allowance, to compile kernels at first use or on a busy machine, was not foreseen.
    costs.budget.tried += min(allowed, clock() - start)
    return other not in costs.failed


def largest_part(choice: Choice, kind: Kind, allowed: float) -> Choice | None:
    """Return the largest part whose trial in the other way than a kind takes no longer than allowed; None for none.

    One that takes nearly as long as the whole would tell less of it, and is no part.
    """
    costs, other = choice.model.costs, other_than(kind)

    def seconds(part: Choice) -> float:
        return costs.trial_seconds(other, part.runs[other], costs.seconds(kind, part.runs[kind]))

    whole = seconds(choice)
    if whole <= allowed:
        return choice
    # Small ones first: what is made of a part that takes too long is in vain.
    largest, sizes = None, [choice.mutations]
    while sizes[-1] >= PARTS:
        sizes.append(sizes[-1] // PARTS)
    for mutations in sizes[:0:-1]:
        part = choice.part(mutations)
        if seconds(part) > min(allowed, whole * LARGEST_SHARE):
            break
        largest = part
    return largest
