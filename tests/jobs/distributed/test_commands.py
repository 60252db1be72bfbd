"""The commands on a cluster: the same files as in one process, accounts, and what they say where they cannot run."""

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster

from attribution_bench.cli import main
from attribution_bench.errors import ClusterError, DeviceError, InvalidInputError, MissingDependencyError, OutputError
from attribution_bench.jobs.distributed import shared_folder
from attribution_bench.jobs.distributed.arithmetic import Arithmetic
from attribution_bench.jobs.distributed.cluster import Workers, connected, visible_gpus
from attribution_bench.jobs.distributed.shards import SentModel, smaller_shards
from attribution_bench.jobs.events import Retry
from attribution_bench.jobs.job import NamedModel
from attribution_bench.models import as_sequence_model
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import VariantReason
from attribution_bench.variants import ScalarEffects, ScoringOptions
from attribution_bench.variants.distributed import BlockOrder, BlocksOnCluster, VariantFacts, VariantParcel, posted
from attribution_bench.variants.job import score_vcf
from attribution_bench.variants.rows import parsed_row, read_effects
from attribution_bench.variants.score import variant_scorer
from attribution_bench.variants.vcf import VcfFile
from faulty_jobs import FaultyEffects

MODULE = """
from pathlib import Path
import torch
from torch import nn

FAULT = Path(__file__).with_name("fault")

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, 5, 5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 2))
        # Several threads of a process may build it at once: its weights are not drawn.
        for weights in self.body.parameters():
            weights.data = torch.arange(weights.numel()).mul(1.7).sin().div(5).reshape(weights.shape)

    def forward(self, x):
        return self.body(x)

def build():
    if FAULT.exists():
        FAULT.write_text(FAULT.read_text() + "opened ")
        if FAULT.read_text().count("opened") > 1:
            raise ZeroDivisionError("as the file says")
    return Small()
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attribution-bench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "small_model_on_a_cluster.py").write_text(MODULE)
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
    (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n")
    (tmp_path / "peaks.bed").write_text("".join(f"chr1\t{start}\t{start + 20}\n" for start in range(0, 381, 20)))
    records = [
        f"chr1\t{place + 1}\t.\t{letters[place]}\t{'ACGT'['CGTA'.index(letters[place])]}\t.\t.\t.\n"
        for place in range(0, 400, 2)
    ]
    records[7] = "chr1\t15\t.\tA\t<DEL>\t.\t.\t.\n"
    records[150] = f"chr1\t301\t.\t{'ACGT'['TACG'.index(letters[300])]}\tN\t.\t.\t.\n"
    header = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=400>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "variants.vcf").write_text(header + "".join(records))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("small_model_on_a_cluster", None)


def test_attribute_gives_the_same_store(command, folder, threaded_cluster, bytes_of):
    given = ["attribute", "small_model_on_a_cluster:build", "peaks.bed", "--genome", "genome.fa", "--length", 20]
    given += ["--target", 1, "--methods", "gradient_x_input,standard_ism", "--shard-size", 4, "--threads", 1, "--json"]
    code, out, err = command(*given, "--output", "cluster.zarr", "--dask", threaded_cluster.scheduler_address)
    assert code == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    (start,) = [event for event in events if event["event"] == "cluster"]
    assert (start["workers"], start["threads"]) == (1, 1)
    assert sorted(event["shard"] for event in events if event["event"] == "shard") == list(range(5))
    assert events[-1]["scored"] == 20
    assert events[-1]["core_seconds_per_sequence"] > 0
    assert events[-1]["peak_bytes"] > 10**7
    assert command(*given, "--output", "one.zarr")[0] == 0
    assert bytes_of(folder / "cluster.zarr") == bytes_of(folder / "one.zarr")
    for name in ("manifest.json", "zarr.json"):
        assert (folder / "cluster.zarr" / name).read_bytes() == (folder / "one.zarr" / name).read_bytes()


@pytest.mark.parametrize(
    ("shards", "processes", "sequences", "size"),
    [(1, 2, 200, 100), (3, 8, 20, 2), (1, 4, 3, 1), (2, 2, 200, None), (1, 2, 1, None), (1, 1, 10, None)],
)
def test_too_few_shards_are_told_with_a_size_that_would_do(shards, processes, sequences, size):
    said = smaller_shards(shards, processes, sequences)
    assert (f"--shard-size {size} " in said) if size else said == ""
    assert size is None or -(-sequences // size) >= min(processes, sequences)


def test_a_store_of_fewer_shards_than_processes_comes_with_a_caution(command, folder, threaded_cluster):
    given = ["attribute", "small_model_on_a_cluster:build", "peaks.bed", "--genome", "genome.fa", "--length", 20]
    given += ["--target", 1, "--methods", "gradient_x_input", "--threads", 1, "--output", "few.zarr"]
    threaded_cluster.scale(2)
    threaded_cluster.wait_for_workers(2)
    code, out, err = command(*given, "--dask", threaded_cluster.scheduler_address)
    assert code == 0, err
    assert "only 1 shard for 2 processes" in err
    assert "--shard-size 10 " in err
    assert "s per 100 sequences, starting included" in out


@pytest.fixture
def processes(clean_variables, monkeypatch):
    """Stands for processes of this machine, whose numbers it takes down: they are in this one.

    Only one of them may capture a model by torch.export, which no two threads of a process may do at a time.
    """
    from attribution_bench.jobs.distributed import cluster

    started: list[int] = []

    def local_cluster(environments):
        started.append(len(environments))
        return LocalCluster(
            n_workers=len(environments),
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
        )

    monkeypatch.setattr(cluster, "_local_cluster", local_cluster)
    return started


@pytest.mark.parametrize(
    ("name", "asked", "started", "said"),
    [
        ("attribute", 50, 3, "there are only 3 shards for 50 processes, so that 3 are started; --shard-size 1 "),
        ("attribute", 3, 3, ""),
        ("variants", 50, 2, "there are only 2 blocks of up to 128 variants for 50 processes, so that 2 are started"),
        ("compare", 50, 4, "there are no more than 4 steps at a time for 50 processes, so that 4 are started"),
    ],
)
def test_no_more_processes_are_started_than_there_is_work_for(command, folder, processes, name, asked, started, said):
    (folder / "peaks.fa").write_text(">one\nACGTACGTACGTACGTACGT\n>two\nACCTACGTACGTACGTTCGT\n")
    lines = (folder / "variants.vcf").read_text().splitlines(keepends=True)
    (folder / "two_blocks.vcf").write_text("".join(lines[:100] + [line for line in lines if "<DEL>" in line] * 100))
    given = {
        "attribute": ["peaks.bed", "--genome", "genome.fa", "--length", 20, "--target", 1, "--shard-size", 9],
        "variants": ["two_blocks.vcf", "--genome", "genome.fa", "--length", 20, "--target", 1],
        "compare": ["peaks.fa", "--target", 1, "--repeated", 0],
    }[name]
    if name != "variants":
        given += ["--methods", "gradient_x_input" if name == "attribute" else "gradient_x_input,standard_ism"]
    given += ["--threads", 1, "--output", "output", "--workers", asked]
    code, _, err = command(name, "small_model_on_a_cluster:build", *given)
    assert code == 0, err
    assert processes == [started]
    assert said in err
    assert said or "caution" not in err
    assert f"{started} processes of 1 thread each" in err


@pytest.mark.parametrize("name", ["attribute", "variants", "compare"])
def test_more_threads_than_workers_state_come_with_a_caution(command, folder, clean_variables, name):
    (folder / "peaks.fa").write_text(">one\nACGTACGTACGTACGTACGT\n>two\nACCTACGTACGTACGTTCGT\n")
    given = {
        "attribute": ["peaks.bed", "--genome", "genome.fa", "--length", 20, "--methods", "gradient_x_input"],
        "variants": ["variants.vcf", "--genome", "genome.fa", "--length", 20],
        "compare": ["peaks.fa", "--repeated", 0, "--methods", "gradient_x_input,standard_ism"],
    }[name]
    given += ["--target", 1, "--dask"]
    options = {"n_workers": 1, "processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
    for stated, threads, said in ((2, 3, True), (2, 2, False), (1, 3, False)):
        with LocalCluster(threads_per_worker=stated, **options) as cluster:
            output = ["--threads", threads, "--output", f"output-{stated}-{threads}"]
            code, _, err = command(name, "small_model_on_a_cluster:build", *given, cluster.scheduler_address, *output)
        assert code == 0, err
        assert ("3 threads are used on a worker that states 2 (--nthreads): " in err) == said, err
        assert (err.count("--threads 2 (threads)")) == said


def test_a_longer_file_goes_on_with_as_many_threads(command, folder, processes, monkeypatch):
    """Threads are those of the processes that are asked for, however few are started."""
    monkeypatch.setattr("attribution_bench.jobs.distributed.cluster.available_cores", lambda: 8)
    lines = (folder / "variants.vcf").read_text().splitlines(keepends=True)
    given = ["variants", "small_model_on_a_cluster:build", "some.vcf", "--genome", "genome.fa", "--length", 20]
    given += ["--target", 1, "--output", "effects.tsv", "--workers", 4]
    for count, started in ((100, "1 process of 2 threads"), (len(lines), "2 processes of 2 threads each")):
        (folder / "some.vcf").write_text("".join(lines[:count]))
        code, _, err = command(*given)
        assert code == 0, err
        assert started in err
        assert json.loads((folder / "effects.tsv.json").read_text())["threads"] == 2
    assert processes == [1, 2]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs names of pipes")
def test_variants_of_a_pipe_are_read_once(command, folder, processes):
    given = ["--genome", "genome.fa", "--length", 20, "--target", 1, "--threads", 1]
    model = "small_model_on_a_cluster:build"
    assert command("variants", model, "variants.vcf", *given, "--output", "file.tsv")[0] == 0
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as end:
        end.write((folder / "variants.vcf").read_bytes())
        end.close()
        code, _, err = command("variants", model, f"/dev/fd/{reading}", *given, "--output", "pipe.tsv", "--workers", 1)
    assert code == 0, err
    assert processes == [1]
    assert (folder / "pipe.tsv").read_bytes() == (folder / "file.tsv").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_there_is_any_worker_ends_the_command(command, folder, clean_variables, number, code):
    given = ["attribute", "small_model_on_a_cluster:build", "peaks.bed", "--genome", "genome.fa", "--length", 20]
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as cluster:

        def interrupt():
            while not cluster.scheduler.tasks:  # it waits for a worker to do something
                time.sleep(0.05)
            os.kill(os.getpid(), number)

        thread = threading.Thread(target=interrupt)
        thread.start()
        found, _, err = command(*given, "--target", 1, "--dask", cluster.scheduler_address)
        thread.join()
    assert found == code
    assert "waiting for the first" in err
    assert err.splitlines()[-1] == "interrupted: what is written is kept; the same command goes on"
    assert not (folder / "scores.zarr").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 2)])
def test_a_scheduler_that_ends_by_the_signal_that_comes_to_the_command_too_is_no_other_end(
    command, folder, monkeypatch, number, code
):
    said = "the Dask scheduler at tcp://10.0.0.1:8786 is lost; finished work is kept, so that the same command goes on"

    def lost(*given: object, **settings: object) -> None:
        if number is not None:
            os.kill(os.getpid(), number)
        raise ClusterError(said)

    monkeypatch.setattr("attribution_bench.jobs.attribute_to_store", lost)
    given = ["attribute", "small_model_on_a_cluster:build", "peaks.bed", "--genome", "genome.fa", "--length", 20]
    found, _, err = command(*given, "--target", 1, "--dask", "tcp://10.0.0.1:8786")
    assert found == code
    assert err.splitlines()[-1] == f"attribution-bench: {said}"


@pytest.mark.parametrize("served", [True, False])
def test_the_page_of_dask_is_told_where_there_is_one(threaded_cluster, served):
    application = threaded_cluster.scheduler.http_application
    application.applications[:] = ["pages"] * served
    with connected(Workers(address=threaded_cluster.scheduler_address)) as connection:
        found = connection.dashboard
    assert (found is not None and found.endswith("/status")) == served


def test_variants_gives_the_same_table(command, folder, threaded_cluster):
    given = ["variants", "small_model_on_a_cluster:build", "variants.vcf", "--genome", "genome.fa", "--length", 20]
    given += ["--threads", 1, "--target", "all"]
    assert command(*given, "--output", "one.tsv")[0] == 0
    on_cluster = [*given, "--dask", threaded_cluster.scheduler_address, "--output"]
    code, _, err = command(*on_cluster, "cluster.tsv")
    assert code == 0, err
    assert "1 process of 1 thread" in err
    assert "thread each" not in err
    assert "core-seconds an allele" in err
    assert "set aside 1: symbolic allele (the first at chr1:15: <DEL>)" in err
    assert (folder / "cluster.tsv").read_bytes() == (folder / "one.tsv").read_bytes()
    assert (folder / "cluster.tsv.json").read_bytes() == (folder / "one.tsv.json").read_bytes()
    assert not list(folder.glob("*.blocks"))
    (folder / "fault").touch()  # this process opens the model, and the worker cannot
    code, _, err = command(*on_cluster, "failed.tsv")
    assert code == 2
    assert "as the file says" in err
    assert not list(folder.glob("failed*"))


def test_a_file_of_another_origin_among_the_blocks_is_left_alone(folder):
    class Played:
        """Neither scores alleles nor hands out any."""

        def gathered(self, alleles):
            yield from alleles

        def run(self, pieces, stopped, done_before):
            yield from pieces

    left = folder / "effects.tsv.blocks" / ".nfs000001"
    left.parent.mkdir()
    left.touch()
    (left.parent / "0.tsv").touch()
    played: Any = Played()
    facts = VariantFacts({}, {}, Arithmetic("cpu", {}))
    blocks = BlocksOnCluster(played, played, folder / "effects.tsv", {}, facts, print)
    assert list(blocks.blocks([])) == []
    assert list(left.parent.iterdir()) == [left]


@pytest.mark.long
def test_processes_give_the_same_files(command, folder, bytes_of):
    common = ["--genome", "genome.fa", "--length", 20, "--threads", 1, "--target", 1]
    model = "small_model_on_a_cluster:build"
    attribute = [
        "attribute",
        model,
        "peaks.bed",
        *common,
        "--shard-size",
        4,
        "--option",
        "fastism.memory_budget=100000000",
    ]
    variants = ["variants", model, "variants.vcf", *common]
    for output, processes in (("one", []), ("several", ["--workers", 2])):
        code, _, err = command(*attribute, "--output", f"{output}.zarr", *processes)
        assert code == 0, err
        code, _, err = command(*variants, "--output", f"{output}.tsv", *processes)
        assert code == 0, err
    assert bytes_of(folder / "several.zarr") == bytes_of(folder / "one.zarr")
    assert (folder / "several.tsv").read_bytes() == (folder / "one.tsv").read_bytes()


def built():
    return importlib.import_module("small_model_on_a_cluster").build()


def test_a_block_that_always_fails_is_set_aside_and_tried_again(folder, threaded_cluster):
    """Other blocks are scored, and the next run does the one that is left, after which the table is as in one go."""
    file = folder / "fault.txt"
    named = NamedModel(as_sequence_model(built(), device="cpu"), "small")
    genome = Genome(folder / "genome.fa")
    scorer = variant_scorer(named.model, genome, ScoringOptions(20, FaultyEffects("all", file=str(file))))
    score_vcf(scorer, folder / "variants.vcf", folder / "whole.tsv", settings={})
    file.touch()
    events = []
    for expected in (1, 0):
        with (
            connected(Workers(address=threaded_cluster.scheduler_address, tries=2)) as connection,
            posted(connection, [named], genome, scorer.options, 1, events.append) as dispatch,
        ):
            facts = dispatch.facts()
            blocks = BlocksOnCluster(scorer, dispatch, folder / "effects.tsv", {}, facts, events.append)
            summary = score_vcf(
                scorer, folder / "variants.vcf", folder / "effects.tsv", settings={}, blocks=blocks.blocks
            )
        reasons = [row.reason for row in read_effects(folder / "effects.tsv")]
        assert reasons.count(VariantReason.NOT_COMPUTED) == summary.set_aside[VariantReason.NOT_COMPUTED]
        assert (summary.set_aside[VariantReason.NOT_COMPUTED] > 50) == expected
        file.unlink(missing_ok=True)
    assert [event.tries for event in events if isinstance(event, Retry)] == [1]
    assert (folder / "effects.tsv").read_bytes() == (folder / "whole.tsv").read_bytes()


@pytest.mark.parametrize(
    ("there", "expected", "failed"),
    [
        ((), False, False),
        ((".blocks/0.tsv",), True, False),
        ((".partial",), True, False),
        (("",), True, True),
        (("", ".partial"), True, True),
        ((".partial of none",), False, False),
        ((" of none",), False, True),
    ],
)
def test_blocks_are_handed_out_with_what_earlier_runs_did(folder, there, expected, failed):
    """A row of the table that is set aside is nothing that was done."""
    scorer = variant_scorer(
        as_sequence_model(built(), device="cpu"), Genome(folder / "genome.fa"), ScoringOptions(20, ScalarEffects("all"))
    )
    score_vcf(scorer, folder / "variants.vcf", folder / "whole.tsv", settings={})
    with VcfFile(folder / "variants.vcf") as file:
        alleles = [*scorer.numbered(file.records())][40:45]
    header, *lines = (folder / "whole.tsv").read_text().splitlines(keepends=True)
    for name in there:
        name, of_none, _ = name.partition(" of none")
        file = folder / f"effects.tsv{name}"
        file.parent.mkdir(exist_ok=True)
        rows = [line for line in lines if (parsed_row(line).reason is None) != bool(of_none)]
        file.write_text("".join([header, *rows]))
    given = []

    class Played:
        def run(self, pieces, stopped, done_before):
            given.extend([*pieces, done_before > 0])
            yield from ()

    played: Any = Played()
    blocks = BlocksOnCluster(scorer, played, folder / "effects.tsv", {}, VariantFacts({}, {}, None), print)
    assert list(blocks.blocks(alleles)) == []
    (piece, was_done) = given
    assert (was_done, piece.failed_before) == (expected, failed)


def test_a_worker_that_computes_otherwise_or_does_not_see_the_rows_scores_no_variants(folder, monkeypatch):
    monkeypatch.setattr(shared_folder, "SEEN_SECONDS", 0.1)
    sent = SentModel.of(NamedModel(as_sequence_model(built(), device="cpu"), "small"))
    opened = VariantParcel((sent,), Genome(folder / "genome.fa"), ScoringOptions(20, ScalarEffects("all")), 1).open()
    facts = opened.facts()
    order = BlockOrder(0, (), facts.machine_options, facts.arithmetic, folder / "rows" / "block.tsv")
    with pytest.raises(OutputError, match="rows, which another process wrote, does not appear here"):
        opened.prepare(order)
    (folder / "rows").mkdir()
    opened.prepare(order)
    for other in ({"device": "cuda:0"}, {"precision": {**facts.arithmetic.precision, "tf32": True}}):
        with pytest.raises(DeviceError, match=r"it computes on cpu .* here, on .* where the job began"):
            opened.prepare(replace(order, arithmetic=replace(facts.arithmetic, **other)))


def test_compare_gives_the_same_files(command, folder, threaded_cluster):
    names = [f"peak_{index}" for index in range(5)]
    letters = (folder / "genome.fa").read_text().splitlines()[1]
    (folder / "peaks.fa").write_text(
        "".join(f">{name}\n{letters[i * 20 : i * 20 + 20]}\n" for i, name in enumerate(names))
    )
    (folder / "sites.bed").write_text("peak_1\t3\t9\tmotif\npeak_3\t0\t5\tmotif\t-1\n")
    given = ["compare", "small_model_on_a_cluster:build", "peaks.fa", "--target", 1, "--sites", "sites.bed"]
    given += ["--methods", "gradient_x_input,deepshap,standard_ism", "--repeated", 2, "--threads", 1, "--output"]
    code, _, err = command(*given, "one")
    assert code == 0, err
    code, _, err = command(*given, "cluster", "--dask", threaded_cluster.scheduler_address)
    assert code == 0, err
    assert "1 process of 1 thread" in err
    assert "standard_ism: further runs" in err
    assert not (folder / "cluster" / "unfinished").exists()
    files = {path.relative_to(folder / "one") for path in (folder / "one").rglob("*")}
    assert {path.relative_to(folder / "cluster") for path in (folder / "cluster").rglob("*")} == files
    for name in ("gradient_x_input", "deepshap", "standard_ism"):
        stored = [(folder / output / "scores" / f"{name}.npz").read_bytes() for output in ("one", "cluster")]
        assert stored[0] == stored[1]
    assert untimed(folder / "cluster") == untimed(folder / "one")


def untimed(results: Path) -> dict[str, Any]:
    """Return what a comparison stored, without what is timed."""
    stored = json.loads((results / "evaluation.json").read_text())
    assert stored.pop("date")
    for method in stored["methods"]:
        assert method.pop("seconds_per_100_sequences") > 0
    return stored


def test_without_dask_an_option_names_the_extra(command, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    for name, file, *further in (
        ("attribute", "peaks.bed", "--workers=2", "--genome", "genome.fa"),
        ("variants", "variants.vcf", "--gpus=all", "--genome", "genome.fa"),
        ("compare", "genome.fa", "--workers=2"),
    ):
        code, _, err = command(name, "small_model_on_a_cluster:build", file, "--output", "output", *further)
        assert code == 2
        assert "needs the package 'distributed'" in err
        assert "pip install '.[dask]'" in err
    with pytest.raises(MissingDependencyError), connected(Workers(1)):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--workers", 2, "--gpus", "all"],
            "--workers and --gpus were given, which say where a job runs; give only one",
        ),
        (["--gpus", "some"], "--gpus takes 'all' or a number"),
        (["--workers", 0], "the number of processes must be at least 1"),
        (["--workers", 1, "--tries", 0], "the number of tries must be at least 1"),
        (["--tries", 2], "--tries is of work on other processes; give it with --workers, --dask or --gpus"),
        (["--time-limit", 5], "--time-limit is of work on other processes"),
    ],
)
def test_options_that_cannot_be_are_told(command, folder, options, said):
    code, _, err = command(
        "attribute", "small_model_on_a_cluster:build", "peaks.bed", "--genome", "genome.fa", *options
    )
    assert code == 2
    assert said in err
    assert not (folder / "scores.zarr").exists()


@pytest.mark.parametrize(
    "given", [{}, {"number": 1, "address": "a"}, {"number": 0}, {"gpus": "some"}, {"number": 1, "tries": 0}]
)
def test_workers_that_cannot_be_are_refused(given):
    with pytest.raises(InvalidInputError):
        Workers(**given)


def test_gpus_are_those_that_are_visible(monkeypatch):
    from attribution_bench.jobs.distributed import cluster

    monkeypatch.setattr(cluster, "_gpu_count", lambda: 0)
    with pytest.raises(DeviceError, match="--gpus all: this machine has no GPU; give --workers"):
        visible_gpus("all")
    monkeypatch.setattr(cluster, "_gpu_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus("all") == ["0", "1", "2", "3"]
    assert visible_gpus(2) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert visible_gpus("all") == ["3", "1"]
    with pytest.raises(DeviceError, match="this machine has 2"):
        visible_gpus(3)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
        ("0,-1,2", ["0"]),
        ("3, 1 ,4,0", ["3", "1"]),
        ("2,,1", ["2"]),
        ("GPU-8932f937,MIG-1/2,x,0", ["GPU-8932f937", "MIG-1/2"]),
    ],
)
def test_names_of_gpus_end_where_cuda_ends_them(monkeypatch, named, found):
    from attribution_bench.jobs.distributed import cluster

    monkeypatch.setattr(cluster, "_gpu_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    if found:
        assert visible_gpus("all") == found
    else:
        with pytest.raises(DeviceError, match=f"no GPU that CUDA_VISIBLE_DEVICES={named} names; give --workers"):
            visible_gpus("all")
