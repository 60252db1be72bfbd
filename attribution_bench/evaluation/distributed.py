"""A comparison on the workers of a cluster: a stage of a method is a piece of work, which a worker keeps in a file."""

import contextlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from attribution_bench.attribution import AttributionResult
from attribution_bench.described import digest_of_described
from attribution_bench.environment import describe_machine, thread_count
from attribution_bench.errors import (
    AttributionBenchError,
    InvalidInputError,
    OutputError,
    SetAsideError,
    UnsupportedError,
)
from attribution_bench.evaluation.comparison import (
    FURTHER,
    OF_MODEL,
    PREDICTIONS,
    SCORES,
    STAGES,
    Comparison,
    Observer,
    Question,
    Steps,
    check_scored,
    most_steps,
)
from attribution_bench.evaluation.finished_stages import FOLDER, FinishedStages
from attribution_bench.evaluation.results import FILE, Evaluation
from attribution_bench.files import write_whole
from attribution_bench.jobs.distributed.arithmetic import Arithmetic
from attribution_bench.jobs.distributed.cluster import Starting, Workers, connected, fewer_started, more_threads
from attribution_bench.jobs.distributed.dispatch import Dispatch, never_stopped
from attribution_bench.jobs.distributed.first_worker import await_worker
from attribution_bench.jobs.distributed.pieces import Done, GivenUp, Piece
from attribution_bench.jobs.distributed.posting import silent
from attribution_bench.jobs.distributed.shards import SentModel, environment
from attribution_bench.jobs.distributed.shared_folder import await_file
from attribution_bench.jobs.events import Caution, Cluster, warn_of_cautions
from attribution_bench.jobs.events import Observer as EventObserver
from attribution_bench.jobs.job import NamedModel
from attribution_bench.models import SequenceModel

if TYPE_CHECKING:
    from distributed import Client


FINAL = (InvalidInputError, SetAsideError, UnsupportedError)
"""Errors that a method ends with on every worker; others, such as too little memory, may be a matter of one alone."""


class Step(StrEnum):
    """What a piece of work does."""

    PREDICTIONS = PREDICTIONS
    SCORES = SCORES
    FURTHER = FURTHER
    OF_MODEL = OF_MODEL
    EVALUATION = "what all stages come to"


@dataclass(frozen=True)
class StageFacts:
    """What the stages depend on of a worker."""

    machine: str
    """Name of a processor by which every worker knows a stage, whatever its own is."""
    arithmetic: Arithmetic
    """How every worker computes."""


@dataclass(frozen=True)
class StageOrder:
    """A piece of work."""

    step: Step
    facts: StageFacts
    """Those of the worker that came first."""
    method: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Method without scores -> why."""


@dataclass(frozen=True)
class StageRecord:
    """What is told of a piece of work; what it found is in files."""

    reason: str = ""
    """Why the method has no scores."""
    reused: bool = False
    """Whether the stage was there already."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Method -> file of its scores; of the last piece."""


@dataclass(frozen=True)
class ComparisonParcel:
    """A comparison as it travels to a worker."""

    question: Question
    model: SentModel
    results: Path
    """Folder whose stages all processes share."""
    job: str
    """Name of a folder among the stages, in which the client finds what all come to."""
    identity: str
    """See `FinishedStages`."""

    def open(self) -> "OpenedComparison":
        """Open the model, and predict what every method needs.

        Raises
        ------
        InvalidInputError
            The model is another, or the target is no scalar.
        OutputError
            The folder of that name here is another one than that of the client.
        """
        await_file(self.results / FOLDER / self.job)
        return OpenedComparison(self, self.model.open().model)


class OpenedComparison:
    """A comparison as it is open on a worker."""

    def __init__(self, parcel: ComparisonParcel, model: SequenceModel) -> None:
        self._question, self._framework, self._model = parcel.question, model.framework, model
        self._job = parcel.job
        self._machine: str | None = None
        self._stages = FinishedStages(parcel.results, parcel.identity)
        with thread_count(self._framework, self._question.threads):
            self._comparison = Comparison(self._question, model, self._stages)

    def facts(self) -> StageFacts:
        """Return what the stages depend on of this worker."""
        return StageFacts(self._comparison.machine, Arithmetic.of(self._model))

    def prepare(self, order: StageOrder) -> None:
        """Look whether this worker can do a stage; see `Preparing`. Raises DeviceError where it computes otherwise."""
        Arithmetic.of(self._model).check(order.facts.arithmetic)

    def do(self, order: StageOrder) -> StageRecord:
        """Do a stage; raises what goes wrong, but for what a method says of the model or of what it is asked."""
        if self._machine != order.facts.machine:
            self._machine = order.facts.machine
            self._comparison.begin(self._machine)
        before = len(self._stages.reused)
        with thread_count(self._framework, self._question.threads):
            record = self._done(order)
        return replace(record, reused=f"{order.method}: {order.step}" in self._stages.reused[before:])

    def _done(self, order: StageOrder) -> StageRecord:
        comparison, method = self._comparison, order.method
        try:
            match order.step:
                case Step.SCORES:
                    comparison.scores(method)
                case Step.FURTHER:
                    comparison.further_runs(method)
                case Step.OF_MODEL:
                    comparison.of_model(method, order.reasons)
                case Step.EVALUATION:
                    return self._evaluated(order.reasons)
        except OutputError:  # a matter of this worker
            raise
        except FINAL as error:
            if order.step not in (Step.SCORES, Step.FURTHER):
                raise
            return StageRecord(str(error))
        return StageRecord()

    def _evaluated(self, reasons: Mapping[str, str]) -> StageRecord:
        assert self._stages.folder is not None
        self._comparison.evaluation(reasons, Steps(None, 0)).save(self._stages.folder / self._job)
        having = (name for name in self._question.methods if name not in reasons)
        files = {name: self._comparison.scores_file(name) for name in having}
        return StageRecord(files={name: file for name, file in files.items() if file is not None})


def evaluate_on_cluster(
    question: Question,
    model: SequenceModel | NamedModel,
    workers: "Workers | Starting | Client",
    stages: FinishedStages,
    *,
    threads: int | None,
    observer: Observer | None,
    tell: EventObserver | None,
) -> tuple[Evaluation, dict[str, AttributionResult]]:
    """Do what `attribution_bench.evaluation.evaluate` does on other processes.

    Parameters
    ----------
    question
        What is compared; its threads are those of one process where `threads` is None.
    model
        The model, which this process only looks at.
    workers
        The processes.
    stages
        Where stages are kept; processes of this machine use a folder for the time where there is none.
    threads
        Of each process; by default as the cluster says.
    observer
        Told of each stage as it ends.
    tell
        Told what the cluster tells; by default cautions are warnings.
    """
    tell = tell or warn_of_cautions
    named = NamedModel(model, question.label) if isinstance(model, SequenceModel) else model
    with contextlib.ExitStack() as stack:
        folder = stages.folder
        if folder is None:
            if not isinstance(workers, Workers) or workers.address is not None:
                raise InvalidInputError(
                    "processes of a cluster share a folder; give stages=FinishedStages(folder) with one of them"
                )
            results = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attribution-bench-")))
        else:
            results = folder.parent.absolute()
        job = stack.enter_context(_job_folder(results / FOLDER))
        cluster = stack.enter_context(connected(workers, most_steps(len(question.methods))))
        await_worker(cluster, tell)
        question = replace(question, threads=threads or cluster.threads)
        parcel = ComparisonParcel(question, SentModel.of(named), results, job.name, stages.model)
        variables = environment(cluster, question.threads)
        # The stages of one method take a thousand times as long as those of another.
        dispatch = stack.enter_context(Dispatch(cluster, parcel, variables, tell, alike=False))
        steps = Steps(observer, STAGES * len(question.methods) + 1)
        facts: StageFacts = dispatch.facts()
        if folder is not None:
            facts = replace(facts, machine=_known_machine(cluster.client, stages, question.label, facts.machine))
        processes = dispatch.workers
        fewer = fewer_started(f"there are no more than {most_steps(len(question.methods))} steps at a time", cluster)
        for text in filter(None, (fewer, more_threads(question.threads, cluster))):
            tell(Caution(text))
        tell(Cluster(processes, question.threads, cluster.dashboard))
        kept = FinishedStages(results, stages.model) if folder is None else stages
        evaluation, scores = _OnCluster(question, dispatch, facts, kept, steps).run(job)
        return replace(evaluation, processes=processes), scores


@contextlib.contextmanager
def _job_folder(stages: Path) -> Iterator[Path]:
    """Make a folder of one job's own among the stages; a worker that does not see it has other folders."""
    folder = stages / f"job-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot write {stages}: {error.strerror or error}; choose a folder you can write") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # another run clears what cannot be removed now


def _known_machine(client: "Client", stages: FinishedStages, label: str, first: str) -> str:
    """Return the processor by whose name stages are known.

    It is the one that an earlier run of the comparison had kept, as long as there is a worker with such a processor: on
    machines of several kinds another run may find another one `first`.
    """
    assert stages.folder is not None
    # Named as stages are, so that it goes with them.
    file, kept = stages.folder / f"{digest_of_described(['machine', stages.model, label])}.json", first
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        kept = str(json.loads(file.read_text(encoding="utf-8"))["machine"])
    if kept != first:
        answering = [*client.nthreads().keys() - client.run_on_scheduler(silent)]
        if kept in client.run(_processor, workers=answering, on_error="ignore").values():
            return kept
    write_whole(file, json.dumps({"machine": first}) + "\n")
    return first


def _processor() -> str:
    return describe_machine("cpu").cpu


class _OnCluster:
    """The stages of one comparison, handed out."""

    def __init__(
        self, question: Question, dispatch: Dispatch, facts: StageFacts, stages: FinishedStages, steps: Steps
    ) -> None:
        self._question, self._dispatch, self._facts = question, dispatch, facts
        self._stages, self._steps = stages, steps
        self._reasons: dict[str, str] = {}

    def run(self, job: Path) -> tuple[Evaluation, dict[str, AttributionResult]]:
        """Have every stage done, and read what they come to, which is handed over in a folder."""
        self._do(self._first())
        check_scored(self._question, self._reasons)
        self._do(self._piece(Step.OF_MODEL, name) for name in self._having())
        check_scored(self._question, self._reasons)
        return self._read(job)

    def _having(self) -> list[str]:
        return [name for name in self._question.methods if name not in self._reasons]

    def _first(self) -> Iterator[Piece]:
        """Yield what needs no scores of other methods, the longest first."""
        # It is done at once, as the model is open: from then on a piece that fails says nothing of the others.
        yield self._piece(Step.PREDICTIONS)
        methods = self._question.methods
        names = sorted(methods, key=lambda name: not getattr(getattr(methods[name], "tags", None), "exact", False))
        for name in names:
            yield self._piece(Step.SCORES, name)
        for name in names:
            if name not in self._reasons:
                yield self._piece(Step.FURTHER, name)

    def _piece(self, step: Step, name: str = "") -> Piece:
        order = StageOrder(step, self._facts, name, dict(self._reasons))
        return Piece(f"{name}: {step}" if name else str(step), order)

    def _do(self, pieces: Iterable[Piece]) -> None:
        for found in self._dispatch.run(pieces, never_stopped):
            if found is None:
                continue
            if isinstance(found, GivenUp) and found.of_output:  # a matter of the disk, which ends it in one process too
                raise OutputError(found.error)
            self._steps.next(found.piece.name)
            name = found.piece.order.method
            record = StageRecord(found.error) if isinstance(found, GivenUp) else found.record
            if record.reason and found.piece.order.step is Step.SCORES:
                self._reasons[name] = record.reason
            elif record.reason:
                self._reasons.setdefault(name, record.reason)
            elif name:
                self._stages.kept += 1
                self._stages.reused += [found.piece.name] * record.reused

    def _read(self, job: Path) -> tuple[Evaluation, dict[str, AttributionResult]]:
        (found,) = self._dispatch.run([self._piece(Step.EVALUATION)], never_stopped)
        if not isinstance(found, Done):
            raise AttributionBenchError(f"the stages could not be put together: {found and found.error}")
        await_file(job / FILE)
        evaluation = Evaluation.load(job)
        results = {}
        for name, scores in found.record.files.items():
            await_file(scores)
            results[name] = replace(AttributionResult.load(scores), names=self._question.sequences.names)
        return evaluation, results
