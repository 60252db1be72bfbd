"""Workers that compute otherwise, come late, do not see a file or have other versions are left out, and named."""

import os
import pickle
import platform
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import LocalCluster

from attribution_bench import environment
from attribution_bench.environment import MEMORY_LIMIT, TENSORFLOW_THREADS, tell_tensorflow, thread_count
from attribution_bench.evaluation import Settings, evaluate
from attribution_bench.evaluation.finished_stages import FinishedStages
from attribution_bench.jobs.distributed import shared_folder, versions, worker_job
from attribution_bench.jobs.distributed.cluster import Workers, connected
from attribution_bench.jobs.distributed.worker_job import WorkerJob
from attribution_bench.jobs.events import Caution, ShardDone
from attribution_bench.jobs.events import Cluster as ClusterEvent
from attribution_bench.jobs.further_inputs import read_further_inputs
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.open_models import NamedModel
from attribution_bench.jobs.run import run
from attribution_bench.jobs.scoring import Choice
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.models import as_sequence_model
from attribution_bench.sequences import lambda_windows
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.regions import Region, RegionSource, Windows
from attribution_bench.sequences.tracks import Tracks
from attribution_bench.variants import ScalarEffects, ScoringOptions
from attribution_bench.variants.distributed import BlocksOnCluster, posted
from attribution_bench.variants.job import score_vcf
from attribution_bench.variants.score import variant_scorer
from faulty_jobs import await_openings
from numpy_jobs import NumpyModel, Reversed, Weights, numpy_job

SETTINGS = Settings(mutations=4, shuffles=2, repeats=2, repeated_sequences=2, steps=3)
ONE_SHARD = (None, signal.SIGINT)
"""Answers of a run that is stopped after its first shard."""


class Placed(NumpyModel):
    """Computes where, and how precisely, variables of its process say."""

    @property
    def device(self):
        return os.environ.get("PLACED_ON", "cpu")

    @device.setter
    def device(self, value):
        """Leave it to the variable."""

    def precision_state(self):
        return {"tf32": "PLACED_WITH_TF32" in os.environ}


@pytest.fixture
def first(cluster):
    """The address of one of two workers, which open a job at once."""
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    cluster.client.run(import_module, "attribution_bench.evaluation.distributed")
    cluster.client.run(versions.versions_here)
    return min(cluster.client.nthreads())


class Summed(Weights):
    """As `Weights`, with one number of a track for each sequence."""

    def _attribute(self, request):
        return super()._attribute(replace(request, extras=summed(request.extras)))


class SummedModel(NumpyModel):
    """As `NumpyModel`, with the same number."""

    def forward(self, x, extras=()):
        return super().forward(x, summed(extras))


def summed(extras):
    return tuple(extra.sum((1, 2))[:, None] for extra in extras)


def set_variable(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


@pytest.fixture(params=["PLACED_ON", "PLACED_WITH_TF32"])
def one_computes_otherwise(cluster, first, request):
    cluster.client.run(set_variable, request.param, "cuda:0", workers=[first])
    yield
    cluster.client.run(set_variable, request.param, None)


def run_on(cluster, job, path, observer=None):
    """Run a job on a cluster once every worker has tried to open it; returns its summary and its cautions."""
    from attribution_bench.jobs.distributed.shards import OnCluster

    events = []

    def told(event):
        events.append(event)
        if isinstance(event, ClusterEvent):
            await_openings(cluster.client)
        if observer is not None:
            observer(event)

    with OnCluster(cluster) as runner:
        summary = run(job, path, runner=runner, observer=told)
    return summary, [event.text for event in events if isinstance(event, Caution)]


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_worker_that_computes_otherwise_adds_no_number(cluster, one_computes_otherwise, fasta, tmp_path, is_begun):
    job = replace(numpy_job(fasta, threads=1, options={"pause": 0.05}), models=[NamedModel(Placed(), "placed")])
    if is_begun:
        run(job, tmp_path / "store", stop=iter(ONE_SHARD).__next__)
    summary, cautions = run_on(cluster, job, tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (22, {})
    (said,) = cautions
    settings = Manifest.read(tmp_path / "store").settings
    words = f"on {settings['device']} (level full, tf32 {settings['precision']['tf32']})"
    assert f"{words} where the job began" in said
    assert "gets no more work: it computes on c" in said
    if is_begun:
        assert words == "on cpu (level full, tf32 False)"


def test_a_worker_that_computes_otherwise_adds_nothing_to_a_comparison(cluster, one_computes_otherwise, tmp_path):
    cautions = []

    def tell(event):
        if isinstance(event, ClusterEvent):
            await_openings(cluster.client)
        if isinstance(event, Caution):
            cautions.append(event.text)

    methods = {"weights": partial(Weights, pause=0.02), "reversed": partial(Reversed, pause=0.02)}
    found, _ = evaluate(
        Placed(),
        lambda_windows(24, 5),
        methods,
        settings=SETTINGS,
        threads=1,
        stages=FinishedStages(tmp_path / "results", "model"),
        cluster=cluster.client,
        tell=tell,
    )
    assert [method.reason for method in found.methods] == [None, None]
    (said,) = cautions
    assert f" here, on {found.device} (level full" in said


def call_processor(name: str, seconds: float = 0.0) -> None:
    """Have a process find a processor of some name, which takes it some seconds."""
    found = lambda: time.sleep(seconds) or name  # noqa: E731 - its name is that of what it stands for
    environment._cpu_name.__dict__.setdefault("former", environment._cpu_name)
    found.__dict__["former"] = environment._cpu_name.__dict__["former"]
    environment._cpu_name = found


def call_processor_as_before() -> None:
    environment._cpu_name = environment._cpu_name.__dict__["former"]


@pytest.mark.parametrize(("again", "reused"), [("A", True), ("B", False)])
def test_a_comparison_goes_on_where_a_worker_of_another_kind_answers_first(cluster, first, tmp_path, again, reused):
    def compare(observer=None):
        stages = FinishedStages(tmp_path / "results", "model")
        methods = {"weights": Weights, "reversed": Reversed}
        given = {"settings": SETTINGS, "threads": 1, "stages": stages, "cluster": cluster.client}
        found, _ = evaluate(
            NumpyModel(), lambda_windows(24, 5), methods, tell=lambda event: None, observer=observer, **given
        )
        return found.machine, stages.reused

    def interrupt(text: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    try:
        cluster.client.run(call_processor, "A")
        with pytest.raises(KeyboardInterrupt):
            compare(interrupt)
        cluster.client.run(call_processor, "B")
        cluster.client.run(call_processor, again, 1.0, workers=[first])
        machine, stages = compare()
    finally:
        cluster.client.run(call_processor_as_before)
    assert machine == again
    assert (len(stages) >= 2) == reused


def expect_files_soon(seconds: float) -> None:
    shared_folder.SEEN_SECONDS = seconds


@pytest.fixture
def apart(cluster, first, tmp_path, monkeypatch):
    """A name of the test's folder that the first worker takes for another folder, once it is sent away."""
    here = Path("/proc/self/cwd")
    if not here.exists():
        pytest.skip("needs /proc")
    former, seconds = Path.cwd(), shared_folder.SEEN_SECONDS
    monkeypatch.chdir(tmp_path)
    cluster.client.run(os.chdir, str(tmp_path))
    cluster.client.run(expect_files_soon, 0.5)
    (tmp_path / "elsewhere").mkdir()

    def send_away():
        cluster.client.run(os.chdir, str(tmp_path / "elsewhere"), workers=[first])

    yield here, send_away
    cluster.client.run(os.chdir, str(former))
    cluster.client.run(expect_files_soon, seconds)


def test_a_worker_that_does_not_see_the_store_gets_no_work(cluster, apart, fasta):
    here, send_away = apart
    job = numpy_job(fasta, threads=1, options={"pause": 0.05})
    run(job, here / "store", stop=iter(ONE_SHARD).__next__)
    send_away()
    summary, (said,) = run_on(cluster, job, here / "store")
    assert (summary.scored, summary.failed_shards) == (22, {})
    assert "gets no more work: /proc/self/cwd/store/manifest.json, which another process wrote, does not app" in said


def test_a_worker_that_loses_the_store_fails_alone(cluster, apart, fasta):
    here, send_away = apart

    def observer(event):
        if isinstance(event, ShardDone) and event.sequences == 10:
            send_away()

    job = numpy_job(fasta, threads=1, shard_size=1, options={"pause": 0.05})
    summary, cautions = run_on(cluster, job, here / "store", observer)
    assert (summary.scored, summary.failed_shards) == (22, {})
    assert all("is not seen here any more" in said for said in cautions)
    assert summary.retries


def test_a_worker_without_the_sequences_gets_no_work(cluster, apart, fasta, tmp_path):
    here, send_away = apart
    job = numpy_job(here / fasta.name, threads=1, options={"pause": 0.05})
    send_away()
    summary, (said,) = run_on(cluster, job, tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (22, {})
    assert "gets no more work: " in said
    assert fasta.name in said


@pytest.mark.parametrize("kind", ["array", "track"])
def test_a_worker_whose_further_inputs_are_others_adds_no_number(cluster, apart, fasta, tmp_path, bytes_of, kind):
    here, send_away = apart
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 600))
    for folder, value in ((tmp_path, 2.0), (tmp_path / "elsewhere", 5.0)):
        np.save(folder / "rows.npy", np.full((22, 1), value, np.float32))
        if kind == "track":
            pybigtools = pytest.importorskip("pybigtools")
            pybigtools.open(str(folder / "track.bw"), "w").write({"chr1": 600}, iter([("chr1", 0, 600, value)]))
    job = numpy_job(fasta, threads=1, options={"pause": 0.05}, extras=read_further_inputs(here / "rows.npy"))
    if kind == "track":
        (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n")
        genome = Genome(tmp_path / "genome.fa")
        regions = [Region("chr1", start, start + 20, f"region {start}", "+") for start in range(0, 440, 20)]
        source = RegionSource(regions, genome, Windows(20), label="regions")
        rows = {"track": TrackRows(Tracks(here / "track.bw", genome), source, 1)}
        methods = {"weights": Choice(Summed, {"pause": 0.05})}
        models = [NamedModel(SummedModel(), "numpy")]
        job = replace(job, models=models, source=source, extras=rows, methods=methods)
    run(job, tmp_path / "whole")
    send_away()
    summary, cautions = run_on(cluster, job, tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (22, {})
    assert summary.retries
    file = "rows.npy" if kind == "array" else "track.bw"
    (said,) = cautions
    assert "gets no more work: the further input" in said
    assert f"/proc/self/cwd/{file}) has other values on the machine {platform.node()} than where" in said
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


OWN_CODE = """
from attribution_bench import RawAttribution
from numpy_jobs import Weights

class Own(Weights):
    def _attribute(self, request):
        return RawAttribution(scores=super()._attribute(request).scores * {factor})

def mean(outputs):
    return outputs.mean(1) * {factor}
"""


def imported(name: str, folder: str) -> None:
    """Have this process import a module from a folder for its first time."""
    sys.path.insert(0, folder)
    import_module(name)


def forget(name: str, folder: str) -> None:
    sys.modules.pop(name, None)
    sys.path[:] = [path for path in sys.path if path != folder]


@pytest.mark.parametrize("of", ["method", "target"])
def test_a_worker_that_imported_code_before_it_was_changed_adds_no_number(
    cluster, first, fasta, tmp_path, bytes_of, monkeypatch, of
):
    name, folder = f"own_{of}_of_workers", str(tmp_path)
    monkeypatch.setattr(sys, "path", [folder, *sys.path])
    (tmp_path / f"{name}.py").write_text(OWN_CODE.format(factor=1))
    cluster.client.run(imported, name, folder, workers=[first])
    (tmp_path / f"{name}.py").write_text(OWN_CODE.format(factor=20))
    (other,) = set(cluster.client.nthreads()) - {first}
    cluster.client.run(imported, name, folder, workers=[other])
    module = import_module(name)
    job = numpy_job(fasta, threads=1, options={"pause": 0.05})
    if of == "method":
        job = replace(job, methods={"weights": Choice(module.Own, {"pause": 0.05})})
    else:
        job = replace(job, asked=replace(job.asked, target=module.mean))
    run(job, tmp_path / "whole")
    try:
        summary, (said,) = run_on(cluster, job, tmp_path / "store")
    finally:
        cluster.client.run(forget, name, folder)
        sys.modules.pop(name)
    assert (summary.scored, summary.failed_shards) == (22, {})
    what = "method weights" if of == "method" else "target"
    assert f"gets no more work: the {what} is made of other code or settings on the machine {platform.node()} " in said
    assert "keep it until they are started again" in said
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore:fastISM falls back")
@pytest.mark.parametrize("differs", ["genome", "track"])
def test_a_worker_whose_genome_or_track_is_another_scores_no_variants(cluster, apart, tmp_path, differs):
    torch, pybigtools = pytest.importorskip("torch"), pytest.importorskip("pybigtools")

    class TakesTrack(torch.nn.Module):
        def forward(self, x, track):
            return (x * (1 + track)).cumsum(2).square().sum((1, 2))[:, None]

    here, send_away = apart
    length = 3000
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), length))
    for folder in (tmp_path, tmp_path / "elsewhere"):
        is_other = folder.name == "elsewhere"
        ours = [letter if place % 2 == 0 else "A" for place, letter in enumerate(letters)]
        text = "".join(ours) if is_other and differs == "genome" else letters
        (folder / "genome.fa").write_text(f">chr1\n{text}\n")
        value = 5.0 if is_other and differs == "track" else 2.0
        pybigtools.open(str(folder / "track.bw"), "w").write({"chr1": length}, iter([("chr1", 0, length, value)]))
    records = [
        f"chr1\t{place + 1}\t.\t{letters[place]}\t{'ACGT'['CGTA'.index(letters[place])]}\t.\t.\t.\n"
        for place in range(0, length, 2)
    ]
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    header = f"##fileformat=VCFv4.3\n##contig=<ID=chr1,length={length}>\n{columns}\n"
    (tmp_path / "a.vcf").write_text(header + "".join(records))
    named = NamedModel(as_sequence_model(TakesTrack(), device="cpu"), "a model that takes a track")
    genome = Genome(here / "genome.fa")
    options = ScoringOptions(20, ScalarEffects("all"), additional_forward_args=Tracks(here / "track.bw", genome))
    scorer = variant_scorer(named.model, genome, options)
    score_vcf(scorer, tmp_path / "a.vcf", tmp_path / "whole.tsv", settings={})
    send_away()
    said = []

    def told(event):
        said.extend([event.text] if isinstance(event, Caution) else [])

    with posted(cluster, [named], genome, options, 1, told) as dispatch:
        facts = dispatch.facts()
        await_openings(cluster.client)
        blocks = BlocksOnCluster(scorer, dispatch, tmp_path / "effects.tsv", {}, facts, told).blocks
        score_vcf(scorer, tmp_path / "a.vcf", tmp_path / "effects.tsv", settings={}, blocks=blocks)
    assert (tmp_path / "effects.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    (refused,) = [text for text in said if "gets no more work" in text]
    what = "the genome /proc/self/cwd/genome.fa is another file" if differs == "genome" else "further inputs are other"
    assert what in refused
    assert f"on the machine {platform.node()} than where the job was started" in refused


@pytest.mark.parametrize("comes", ["late", "adaptive"])
def test_threads_are_those_of_a_worker_that_comes_after_the_client(fasta, tmp_path, clean_variables, comes):
    with LocalCluster(
        n_workers=0, threads_per_worker=3, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        timer = threading.Timer(0.7, cluster.scale, (1,))
        if comes == "late":
            timer.start()
        else:
            cluster.adapt(maximum=1)
        with connected(Workers(address=cluster.scheduler_address)) as connection:
            summary, (said,) = run_on(connection, numpy_job(fasta), tmp_path / "store")
        timer.cancel()
    assert summary.scored == 22
    assert "waiting for the first" in said
    assert Manifest.read(tmp_path / "store").machine["threads"] == 3


def test_workers_know_the_memory_beyond_which_they_are_ended_and_are_left_as_they_were(cluster, first, fasta, tmp_path):
    known = []

    def observer(event):
        if isinstance(event, ShardDone):
            known.append(cluster.client.run(os.getenv, MEMORY_LIMIT))

    before = cluster.client.run(lambda: dict(os.environ))
    run_on(cluster, numpy_job(fasta, threads=1), tmp_path / "store", observer)
    limits = {address: worker["memory_limit"] for address, worker in cluster.client.scheduler_info()["workers"].items()}
    assert known[0] == {a: str(limit) for a, limit in limits.items()}
    assert all(limits.values())
    assert cluster.client.run(lambda: dict(os.environ)) == before


@pytest.mark.parametrize("package", ["Python", "attribution-bench", "numpy", "cloudpickle", "dask", "zarr", "pysam"])
@pytest.mark.parametrize("there", ["0.1", None])
def test_versions_are_compared_before_the_job_is_unpacked(monkeypatch, package, there):
    found = versions.versions_here()
    with monkeypatch.context() as where_the_job_starts:
        theirs = {name: text for name, text in found.items() if name != package} | ({package: there} if there else {})
        where_the_job_starts.setattr(worker_job, "versions_here", lambda: theirs)
        sent = pickle.dumps(WorkerJob(b"code of another release", {}, False))
    job = pickle.loads(sent)
    job._lock = threading.Lock()
    monkeypatch.setattr(worker_job, "get_worker", lambda: SimpleNamespace(address="tcp://10.0.0.1:1"))
    failure = job.facts()
    assert failure.unable
    assert failure.error == (
        f"libraries differ from where the job was started: {package} {found[package]} here, "
        f"{there or 'missing'} there; install the same versions"
    )


@dataclass(frozen=True)
class OnThreads:
    """A job of a Keras model, as it travels and as it is open."""

    threads: int

    def open(self):
        return self

    def facts(self):
        with thread_count("keras", self.threads):
            return self.threads


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs TensorFlow")
def test_a_worker_whose_tensorflow_runs_on_other_threads_says_so(monkeypatch, clean_variables):
    import tensorflow as tf

    monkeypatch.delenv(TENSORFLOW_THREADS)
    tf.ones(3) + 1  # it has started, as in any other test
    monkeypatch.setenv(TENSORFLOW_THREADS, "7")  # as if by the variable, unless it was told otherwise
    started = tf.config.threading.get_intra_op_parallelism_threads() or 7
    worker = SimpleNamespace(address="tcp://10.0.0.1:1", memory_manager=SimpleNamespace(memory_limit=None))
    monkeypatch.setattr(worker_job, "get_worker", lambda: worker)
    for threads in (started, started + 2, started):
        job = WorkerJob(pickle.dumps(OnThreads(threads)), {TENSORFLOW_THREADS: str(threads)}, False)
        job.setup(worker)
        found = job.facts()
        job.teardown(worker)
        if threads == started:
            assert found.record == started
        else:
            assert f"TensorFlow runs on {started} threads in this process already and cannot change" in found.error


def test_tensorflow_that_is_not_imported_yet_starts_by_the_variable(monkeypatch, clean_variables):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    for threads in (3, 5):
        tell_tensorflow(threads)
        assert os.environ[TENSORFLOW_THREADS] == str(threads)
