"""One walk over the plan for each block of mutations."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from torch import Tensor

from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.head import BlockActivations, run_head
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter, Emission
from attribution_bench_plugins.fastism.planning.plan import Stage
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed


def mutate(
    group: GroupRun, ref: Tensor, alt: Tensor, blocks: Iterable[Positions], progress: Callable[[int], None]
) -> Iterator[Emission]:
    """Run the single-letter mutations at the positions of some blocks.

    Parameters
    ----------
    ref, alt
        (sequences, L) and (sequences, L, alternatives): indices of the reference and of the alternative letters.
    progress
        Called with the number of positions done in each block.
    """
    plan, unmutated = group.plan, group.unmutated

    def letters(block: Positions) -> Windowed:
        window, at = Window(block.start, block.stride, 1), block.slice
        return MutatedInput(unmutated, plan.graph.input, plan.length, window, ref[:, at], alt[:, at], plan.letters)

    yield from walk(group, blocks, alt.shape[2], letters, progress)


def walk(
    group: GroupRun,
    blocks: Iterable[Positions],
    alternatives: int,
    mutated: Callable[[Positions], Windowed],
    progress: Callable[[int], None],
) -> Iterator[Emission]:
    """Run blocks of mutations, each of which `mutated` gives as the windowed input."""
    plan, activations = group.plan, list[BlockActivations]()

    def run_body(block: Positions) -> list[tuple[list[Emission], BlockActivations]]:
        given = {plan.graph.input: mutated(block)}
        run = BlockInterpreter(plan, group.unmutated, block.count, alternatives, given, group.observer)
        return list(_run_stages(run, block, plan.stages(block.stride)))

    for done in group.workers.in_order(run_body, blocks):
        for emissions, left in done:
            yield from emissions
            activations.append(left)
            progress(left.block.count)
    if plan.head:
        yield from run_head(group, activations, alternatives)


def _run_stages(
    run: BlockInterpreter, block: Positions, stages: Sequence[Stage]
) -> Iterator[tuple[list[Emission], BlockActivations]]:
    """Run a stage of the body, then the further ones phase by phase; gives what each phase emits and leaves."""
    stage, *rest = stages
    run.run(stage.schedule)
    if not rest:
        yield _finished(run, block)
        return
    for windowed in run.windowed.values():
        windowed.materialize()
    times = rest[0].stride // block.stride
    for first in range(min(times, block.count)):
        part = block.phase(first, times)
        given = {name: windowed.phase(first, times) for name, windowed in run.windowed.items()}
        phase = BlockInterpreter(run.plan, run.unmutated, part.count, run.alternatives, given, run.observer)
        yield from _run_stages(phase, part, rest)


def _finished(run: BlockInterpreter, block: Positions) -> tuple[list[Emission], BlockActivations]:
    """Return the outputs of a block whose steps have run, and the activations that the head reads."""
    plan = run.plan
    for name in plan.live_across_blocks:
        run.windowed[name].schedule()
    emissions = list(run.outputs(block.indices, plan.body_outputs))
    for name in plan.live_across_blocks:
        run.windowed[name].materialize()
    return emissions, BlockActivations(block, {name: run.windowed[name] for name in plan.live_across_blocks})
