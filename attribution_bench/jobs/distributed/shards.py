"""The shards of a job on the workers of a cluster: what travels there, and the runner that hands them out."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from attribution_bench.environment import SHARED_BY, TENSORFLOW_THREADS, thread_count
from attribution_bench.errors import AttributionBenchError, InvalidInputError, OutputError
from attribution_bench.jobs.distributed.arithmetic import Arithmetic
from attribution_bench.jobs.distributed.cluster import Cluster, fewer_started, more_threads
from attribution_bench.jobs.distributed.dispatch import Dispatch
from attribution_bench.jobs.distributed.first_worker import await_worker
from attribution_bench.jobs.distributed.pieces import Done, NotReady, Piece
from attribution_bench.jobs.distributed.shared_folder import await_file
from attribution_bench.jobs.events import Caution
from attribution_bench.jobs.events import Cluster as ClusterEvent
from attribution_bench.jobs.file_rows import FileRows
from attribution_bench.jobs.grid import Grid, Task
from attribution_bench.jobs.interruption import Stop, never
from attribution_bench.jobs.job import Job, check_own_code, own_code
from attribution_bench.jobs.manifest import FILE as MANIFEST
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.open_models import ModelByRecipe, ModelDigests, NamedModel, Openable, OpenModels
from attribution_bench.jobs.recipes import Recipe
from attribution_bench.jobs.runner import Begun, MachineOptions, ShardError, Taken, Todo
from attribution_bench.jobs.shard_work import ShardRecord, ShardWork
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.models import SequenceModel
from attribution_bench.storage.identity import manifest_digest
from attribution_bench.storage.zarr_store import GROUP, is_store

MOST_LAYOUTS = 3
"""Shards that are tried, one after the other, to lay the store out."""


@dataclass(frozen=True)
class SentModel:
    """A model as it travels: its recipe, or itself where there is none."""

    label: str
    identity: str
    digests: ModelDigests
    """Those that what is opened must have."""
    recipe: Recipe | None
    model: SequenceModel | None

    @classmethod
    def of(cls, named: NamedModel) -> "SentModel":
        """Return a model that is open, ready to travel."""
        return cls.known(named, ModelDigests.of(named.model))

    @classmethod
    def known(cls, named: Openable, digests: ModelDigests) -> "SentModel":
        """Return a model ready to travel whose digests are known."""
        model = named.open().model if named.recipe is None else None
        return cls(named.label, named.identity, digests, named.recipe, model)

    def open(self) -> NamedModel:
        """Return the model; raises InvalidInputError where its weights or its structure are others."""
        opened = self.openable().open()
        self.digests.check(opened.model, self.label)
        return opened

    def openable(self) -> Openable:
        """Return what opens the model here, whatever it is."""
        if self.recipe is not None:
            return ModelByRecipe(self.recipe, self.label, self.identity, self.recipe)
        assert self.model is not None
        return NamedModel(self.model, self.label, self.identity)


@dataclass(frozen=True)
class SentRows:
    """A further input whose rows stay in a file that every worker reads."""

    path: str

    def open(self) -> NDArray[Any]:
        """Return the rows, which stay on the disk."""
        return FileRows.open(self.path)


@dataclass(frozen=True)
class ShardParcel:
    """A job as it travels to a worker."""

    job: Job
    """Without models and further inputs."""
    models: tuple[SentModel, ...]
    extras: Mapping[str, NDArray[Any] | TrackRows | SentRows]
    path: Path
    machine_options: MachineOptions
    framework: str
    threads: int
    strict: bool
    began: Arithmetic | None
    """That of the store's first run; None where it is new."""
    code: Mapping[str, Any]
    """See `own_code`."""

    def open(self) -> "OpenedShards":
        """Open the first model and inputs; the other models are opened as they are needed.

        Raises
        ------
        InvalidInputError
            A model has other weights or another structure; or a method or the target other code.
        SequenceError
            The sequences cannot be read.
        """
        check_own_code(self.job, self.code)
        # A worker without the file can do no shard, and is to say so before it is given one.
        self.job.source.read(0, 1)
        extras = {name: one.open() if isinstance(one, SentRows) else one for name, one in self.extras.items()}
        models = OpenModels(
            [sent.open() if sent.recipe is None else sent.openable() for sent in self.models],
            [sent.digests for sent in self.models],
        )
        return OpenedShards(self, replace(self.job, models=models, extras=extras))


@dataclass(frozen=True)
class ShardOrder:
    """A task that is to be done."""

    task: Task
    digest: str
    """SHA-256 of the shard's records."""
    machine_options: MachineOptions
    """Options that follow the machine, the same ones on every worker."""
    arithmetic: Arithmetic
    """That of the first worker, which every one is to have."""
    identity: str
    """SHA-256 of the manifest that the store must have."""
    manifest: Manifest | None = None
    """Of the store that is to be laid out for the shard; None where there is one."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """Further input -> SHA-256 of its rows for the shard."""


class OpenedShards:
    """A job as it is open on a worker."""

    def __init__(self, parcel: ShardParcel, job: Job) -> None:
        self._parcel, self._job = parcel, job
        self._cautions: dict[str, Caution] = {}
        self._work = self._bound(parcel.machine_options)

    def facts(self) -> tuple[MachineOptions, Arithmetic]:
        """Return options that follow the machine, and how it computes.

        Raises
        ------
        DeviceError
            The store's first run computed otherwise.
        """
        if self._parcel.began is not None:
            self._arithmetic().check(self._parcel.began)
        return self._work.members.machine_options, self._arithmetic()

    def prepare(self, order: ShardOrder) -> None:
        """Open the models of a task, having looked whether this worker can do it; see `Preparing`.

        Raises
        ------
        DeviceError
            It computes on another device than the first worker, or in another precision.
        OutputError
            The store is not seen here.
        """
        self._arithmetic().check(order.arithmetic)
        if order.manifest is None and self._work.store is None:
            for name in (MANIFEST, GROUP):
                await_file(self._parcel.path / name)
        if self._work.members.machine_options != order.machine_options:
            self._work = self._bound(order.machine_options)
        with self._threads():
            self._work.members.open(order.task.models)

    def do(self, order: ShardOrder) -> ShardRecord:
        """Do a task that is prepared, unless it is done already; raises as `ShardWork.do`."""
        path, task = self._parcel.path, order.task
        if order.manifest is None and (found := manifest_digest(path)) != order.identity:
            if not found:
                raise OutputError(f"{path / MANIFEST} is not seen here any more; have the folder on every machine")
            raise InvalidInputError(f"{path} was begun anew by another run while this one wrote into it")
        self._work.bind(order.identity)
        # A try that was given up may have come to its end all the same.
        there = self._work.finished(task)
        if there is not None:
            return there
        with self._threads():
            record = self._work.do(task, order.digest, order.manifest, order.rows)
        cautions, self._cautions = self._cautions, {}
        return replace(record, cautions=cautions)

    def _arithmetic(self) -> Arithmetic:
        return Arithmetic(self._work.members.device, self._work.members.precision)

    def _bound(self, machine_options: MachineOptions) -> ShardWork:
        with self._threads():
            return ShardWork(self._job, self._parcel.path, machine_options, self, strict=self._parcel.strict)

    def _threads(self) -> AbstractContextManager[None]:
        return thread_count(self._parcel.framework, self._parcel.threads)

    def part(self, share: float) -> None:
        """Leave alone how far the task in work is."""

    def caution(self, kind: str, caution: Caution) -> None:
        """Keep a caution until the task is done."""
        self._cautions[kind] = caution


class OnCluster:
    """Computes shards on the workers of a cluster; see `attribution_bench.jobs.runner.Runner`."""

    def __init__(self, cluster: Cluster, stop: Stop = never) -> None:
        self._cluster, self._stop, self._stack = cluster, stop, ExitStack()

    def __enter__(self) -> "OnCluster":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def begin(self, begun: Begun) -> Taken:
        """Post the job to the workers, and take from the first of them what the manifest says of the machine."""
        job, self._path = begun.job, begun.path.absolute()
        await_worker(self._cluster, begun.tell, self._stop)
        threads = job.threads or begun.stored_threads or self._cluster.threads
        parcel = ShardParcel(
            replace(job, models=(), extras={}),
            tuple(SentModel.known(named, one.digests) for named, one in zip(job.models, begun.models, strict=True)),
            {name: sent_rows(rows) for name, rows in job.extras.items()},
            self._path,
            begun.stored_options,
            begun.models[0].framework,
            threads,
            begun.strict,
            _began(self._path),
            own_code(job),
        )
        variables = environment(self._cluster, threads)
        dispatch = Dispatch(self._cluster, parcel, variables, begun.tell, self._stop, share=self._share)
        self._dispatch = self._stack.enter_context(dispatch)
        options, self._arithmetic = self._dispatch.facts()
        self._taken = Taken(threads, options, self._arithmetic.device, self._arithmetic.precision)
        begun.tell(ClusterEvent(self._dispatch.workers, threads, self._cluster.dashboard))
        more = more_threads(threads, self._cluster)
        if more:
            begun.tell(Caution(more))
        self._caution = begun.caution
        self._sequences = len(job.source)
        return self._taken

    def run(
        self, todo: Todo, manifest: Manifest, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Task, ShardRecord | ShardError]]:
        """Do tasks; see `Runner`."""
        grid = todo.grid(self._dispatch.workers)
        self._rows_of = todo.rows_of
        self._most = max(map(len, todo.shards), default=1) * max(map(len, todo.model_groups))
        new = not is_store(self._path)
        too_few = self._too_few(len(manifest.shards), new=new)
        if too_few:
            self._caution("shards", Caution(too_few))
        if new:
            yield from self._first(grid, manifest, todo, stopped)
        orders = (NotReady() if task is None else self._order(task, manifest, todo.identity) for task in grid.tasks())
        yield from self._each(orders, grid, stopped, len(manifest.shards) - len(todo.shards), todo.failed)

    def _share(self, order: ShardOrder, record: ShardRecord) -> float:
        """Return how much of the largest task a task was."""
        return record.computed * len(order.task.models) / self._most

    def _too_few(self, shards: int, *, new: bool) -> str:
        """Return what is said where there is no shard for some processes, else nothing."""
        processes = self._cluster.asked or self._dispatch.workers
        # A store that is there keeps the size of its shards.
        advice = smaller_shards(shards, processes, self._sequences) if new else ""
        counted = "there is only 1 shard" if shards == 1 else f"there are only {shards:,} shards"
        said = fewer_started(counted, self._cluster)
        if not said and advice:
            said = f"{counted} for {processes:,} processes, so that some have nothing to do"
        return f"{said}; {advice}" if advice else said

    def _first(
        self, grid: Grid, manifest: Manifest, todo: Todo, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Task, ShardRecord | ShardError]]:
        """Do tasks one by one until one has laid the store out, for which the others wait.

        A shard without a sequence to score knows no arrays of scores: where every other one fails, nothing is stored.
        """
        failed: list[tuple[Task, ShardError]] = []
        while len(failed) < MOST_LAYOUTS and (task := grid.next()) is not None and task.shard.index not in todo.blank:
            order = replace(self._order(task, manifest, todo.identity), manifest=manifest)
            for _, found in self._each([order], grid, stopped):
                if isinstance(found, ShardRecord):
                    for name in (MANIFEST, GROUP):
                        await_file(self._path / name)
                    yield task, found
                    yield from failed
                    return
                failed.append((task, found))
            if stopped():
                return
        if failed:
            count = "the first shard could not" if len(failed) == 1 else f"none of the first {len(failed)} shards could"
            smaller = any(len(task.shard) > 1 for task, _ in failed)
            advice = "; a smaller --shard-size (shard_size) leaves out less where one sequence is at fault"
            raise AttributionBenchError(
                f"{count} be computed: {failed[-1][1].error}; nothing is stored{advice if smaller else ''}"
            )

    def _order(self, task: Task, manifest: Manifest, identity: str) -> ShardOrder:
        digest = manifest.shards[task.shard.index]
        rows = self._rows_of(task)
        return ShardOrder(task, digest, self._taken.options, self._arithmetic, identity, rows=rows)

    def _each(
        self,
        orders: Iterable[ShardOrder | NotReady],
        grid: Grid,
        stopped: Callable[[], bool],
        done_before: int = 0,
        failed_before: Collection[int] = (),
    ) -> Iterator[tuple[Task, ShardRecord | ShardError]]:
        pieces = (
            one if isinstance(one, NotReady) else Piece(one.task.name, one, one.task.shard.index in failed_before)
            for one in orders
        )
        for found in self._dispatch.run(pieces, stopped, done_before):
            if isinstance(found, Done):
                record: ShardRecord = found.record
                grid.done(found.piece.order.task, record.is_written)
                yield found.piece.order.task, record
            elif found is not None:
                grid.given_up()
                yield found.piece.order.task, ShardError(found.piece.order.task.shard.index, found.error)


def smaller_shards(shards: int, processes: int, sequences: int) -> str:
    """Return how processes that have no shard to do would have one; nothing where there are none, or no way."""
    if shards >= min(processes, sequences):
        return ""
    size = max(1, sequences // processes)
    busy = -(-sequences // size)
    return f"--shard-size {size} (shard_size) gives {'each' if busy >= processes else f'{busy:,}'} of them work"


def sent_rows(rows: NDArray[Any] | TrackRows) -> NDArray[Any] | TrackRows | SentRows:
    """Return a further input as it travels: by its file, where it is all that the file has."""
    return SentRows(rows.file) if isinstance(rows, FileRows) and rows.file is not None else rows


def environment(cluster: Cluster, threads: int) -> dict[str, str]:
    """Return the variables of workers, for libraries that start after this: threads, and how many share a machine."""
    machines = Counter(address.rpartition(":")[0] for address in cluster.client.nthreads())
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", TENSORFLOW_THREADS)
    return {**dict.fromkeys(names, str(threads)), SHARED_BY: str(max(machines.values(), default=1))}


def _began(path: Path) -> Arithmetic | None:
    """Return how a store's first run computed; None where it is new."""
    stored = Manifest.read(path)
    return None if stored is None else Arithmetic(stored.settings["device"], stored.settings["precision"])
