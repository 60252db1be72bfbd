"""Methods run on one model and one set of sequences, and every metric of what they say."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attribution_bench.attribution import AttributionResult
from attribution_bench.deprecation import moved_names
from attribution_bench.described import described
from attribution_bench.environment import available_cores
from attribution_bench.errors import AttributionBenchError, OutputError
from attribution_bench.evaluation.comparison import (
    FURTHER,
    PREDICTIONS,
    SCORES,
    STAGES,
    Comparison,
    Observer,
    Question,
    Steps,
    check_scored,
)
from attribution_bench.evaluation.finished_stages import FinishedStages
from attribution_bench.evaluation.results import Evaluation
from attribution_bench.evaluation.scoring import Method
from attribution_bench.evaluation.settings import Settings
from attribution_bench.models import SequenceModel, Target
from attribution_bench.sequences import Sequences
from attribution_bench.sequences.sites import Site
from attribution_bench.timer import CLOCK, Clock

if TYPE_CHECKING:
    from distributed import Client

    from attribution_bench.jobs import NamedModel, Workers
    from attribution_bench.jobs import Observer as EventObserver
    from attribution_bench.jobs.distributed.cluster import Starting


def evaluate(
    model: "SequenceModel | NamedModel",
    sequences: Sequences,
    methods: Mapping[str, Method],
    *,
    label: str = "model",
    target: Target = None,
    sites: Sequence[Site] = (),
    truth: str | None = None,
    settings: Settings | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    clock: Clock = CLOCK,
    stages: FinishedStages | None = None,
    cluster: "Workers | Starting | Client | None" = None,
    tell: "EventObserver | None" = None,
) -> tuple[Evaluation, dict[str, AttributionResult]]:
    """Run methods on the same sequences, and compare what they say.

    Parameters
    ----------
    model
        The model; it takes sequences alone. As `attribution_bench.jobs.NamedModel` with a recipe, other processes open
        it themselves.
    sequences
        N sequences, at least two.
    methods
        Name -> class of a method, or any function that returns one bound to the model. One that fails, in whichever of
        its runs, is kept with its reason, and does not stop the others.
    label
        Name of the model in the results.
    target
        One number of the model's outputs, as `Attribution.attribute` takes it.
    sites
        Where the truth is known, such as planted motifs; without any there are no metrics of recovery.
    truth
        Name of the exact method that the others are compared with; by default the first of ``methods`` whose tag says
        ``exact``. Without one there is no agreement with exact ISM.
    settings
        Seeds, repeats and sizes.
    threads
        Recorded with the results. On a cluster each process uses as many; by default as the cluster says.
    observer
        Told what is done next.
    clock
        Times each method on all sequences, once it is warm.
    stages
        Keeps every stage as it ends, and gives those that an earlier run with the same arguments finished; none are
        kept by default.
    cluster
        Processes that do the stages: `attribution_bench.jobs.Workers`, or a Dask client of any cluster; this process by
        default. Stages go through the folder of ``stages``, which all processes share; processes of this machine need
        none. With the same number of threads the numbers are the same, but for what is timed: see
        ``Evaluation.processes``.
    tell
        Told what a cluster tells; by default cautions are warnings.

    Returns
    -------
    The evaluation, and the result of each method that has scores.

    Raises
    ------
    InvalidInputError
        Fewer than two sequences, no method, a truth that is not among them or not exact, or a target that is no scalar.
    AttributionBenchError
        No method could score the sequences; the message gives each one's reason.
    OutputError
        The folder of the stages cannot be written, is in use by another run, or is not shared by any worker.
    MissingDependencyError
        The extra ``dask`` is not installed, for a cluster.
    ClusterError
        The cluster cannot be reached, was lost, or cannot do the work.
    """
    question = Question(
        label=label,
        sequences=sequences,
        methods=methods,
        target=target,
        target_description=described(target),
        sites=tuple(sites),
        truth=truth,
        settings=settings or Settings(),
        threads=threads or available_cores(),
        clock=clock,
    )
    stages = stages or FinishedStages()
    with stages.held():
        if cluster is not None:
            from attribution_bench.evaluation.distributed import evaluate_on_cluster

            return evaluate_on_cluster(question, model, cluster, stages, threads=threads, observer=observer, tell=tell)
        steps = Steps(observer, STAGES * len(methods) + 1)
        steps.next(PREDICTIONS)
        comparison = Comparison(question, model if isinstance(model, SequenceModel) else model.model, stages)
        comparison.begin(comparison.machine)
        reasons = _run_all(comparison, question, steps)
        return comparison.evaluation(reasons, steps), comparison.results(reasons)


def _run_all(comparison: Comparison, question: Question, steps: Steps) -> dict[str, str]:
    """Run every method, and again where runs are repeated; returns the reason of each that fails."""
    reasons: dict[str, str] = {}
    runs: dict[str, Callable[[str], object]] = {SCORES: comparison.scores, FURTHER: comparison.further_runs}
    for step, run in runs.items():
        for name in question.methods:
            steps.next(f"{name}: {'failed' if name in reasons else step}")
            if name in reasons:
                continue
            try:
                run(name)
            except OutputError:  # a matter of the disk
                raise
            except AttributionBenchError as error:
                reasons[name] = str(error)
            except Exception as error:  # a method may fail in any way; the others are still compared
                reasons[name] = f"{type(error).__name__}: {error}"
        check_scored(question, reasons)
    return reasons


__getattr__ = moved_names(__name__, save_evaluation="attribution_bench.evaluation.results")
