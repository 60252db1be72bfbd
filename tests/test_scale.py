"""The plan for large jobs is the one that its records give, and the scripts for Slurm are whole."""

import ast
import json
import os
import re
import runpy
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from attribution_bench.cli.app import app
from attribution_bench.jobs.grid import SHARD_GROUP
from attribution_bench.jobs.open_models import MOST_OPEN
from attribution_bench.variants.score import BLOCK

ROOT = Path(__file__).parents[1]
SLURM = ROOT / "examples" / "slurm"
PLAN = runpy.run_path(str(ROOT / "docs" / "plan_scale.py"))


def record(path):
    return json.loads((ROOT / "reports" / path).read_text())


def core_seconds(cell):
    found = record(f"engine/records/{cell}_sequences-torch-fastism.json")
    return statistics.median(found["durations"]) * found["threads"] / found["done"]["sequences"]


def row(text, start):
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {start}") and line.count("|") == 6]
    return [cell.strip() for cell in found.strip("|").split("|")]


def number(cell):
    return float(re.sub(r"[^\d.]", "", cell))


def test_the_page_is_what_the_records_give():
    expected = PLAN["render"](PLAN["Measured"].read(), PLAN["TEMPLATE"].read_text())
    assert (ROOT / "docs/scale.md").read_text() == expected, "run `make scale`"


def test_costs_are_those_of_plain_arithmetic():
    text, inputs = (ROOT / "docs/scale.md").read_text(), record("scale/inputs.json")
    splicing = inputs["spliceai"]
    hours = {
        "all 3 x 2,114": 300_000 * core_seconds("chrombpnet-2114-1") / 3600,
        "every substitution": 3_088_269_832 / 500 * inputs["basset"]["middle 500 positions"] / 3600,
        "1,000 models": 1000 * 100_000 * core_seconds("basset-1000-64") / 3600,
        "every variant": 5
        * (786_500_648 * splicing["substitution"] + 122_583_462 * splicing["two full passes"])
        / 3600,
    }
    for job, expected in hours.items():
        assert number(row(text, job)[1]) == pytest.approx(expected, rel=0.05), job


def test_what_is_stored_has_the_size_of_its_numbers():
    text = (ROOT / "docs/scale.md").read_text()
    # Random scores do not compress; names, letters and digests come on top.
    sizes = {
        "all 3 x 2,114": 300_000 * 4 * 2114 * 2,
        "every substitution": 3_088_269_832 * 4 * 2,
        "1,000 models": 100_000 * 2 * 4 * 1000 * 4,
    }
    units = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    for job, least in sizes.items():
        cell = row(text, job)[2]
        assert 0.8 * least < number(cell) * units[cell[-2:]] < 1.4 * least, job
    assert PLAN["BLOCK"] == BLOCK
    assert (PLAN["OPEN"], PLAN["SHARD_GROUP"]) == (MOST_OPEN, SHARD_GROUP)


def test_the_simulations_are_of_ten_thousand_shards_and_say_what_they_cost():
    text = (ROOT / "docs/scale.md").read_text()
    for workers in (8, 64, 512):
        found = record(f"scale/scheduler-{workers}.json")["simulation"]
        assert found["workers"] == workers
        assert found["tasks"] >= 10_000
        overhead = found["wall_seconds"] / (found["task_seconds"] * found["tasks"] / workers) - 1
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {workers} | {found['tasks']:,} |")]
        assert number(line.split("|")[5]) == pytest.approx(100 * overhead, rel=0.06)


def test_the_simulation_goes_through_the_dispatch_of_jobs():
    pytest.importorskip("distributed")
    program = "import scheduler as s; found = s.simulate(8, 24, 0.05); print(found.tasks, found.overhead > 0)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "tests" / "speed", capture_output=True, text=True, timeout=120
    )
    assert run.stdout.split() == ["24", "True"], run.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_for_slurm_is_whole_and_its_command_is_one():
    script = SLURM / "attribute.sbatch"
    run = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (line,) = [line for line in script.read_text().splitlines() if line.startswith("attribution-bench attribute ")]
    given = "model.pt2 peaks.bed --genome hg38.fa --output scores.zarr"
    line = line.removesuffix("&").replace('"$@"', given).replace('"$address"', "tcp://a:1").replace('"$cores"', "4")
    command = typer.main.get_command(app).get_command(None, "attribute")
    context = command.make_context("attribute", shlex.split(line)[2:])
    assert context.params["dask"] == "tcp://a:1"
    assert context.params["threads"] == 4


def test_lines_for_slurm_in_the_documents_are_whole():
    lines = [
        line.strip("`")
        for page in ("slurm.md", "scale.md")
        for line in (ROOT / "docs" / page).read_text().splitlines()
        if line.startswith("`sbatch ")
    ]
    assert len(lines) >= 2
    command = typer.main.get_command(app).get_command(None, "attribute")
    for line in lines:
        slurms, script, given = line.partition("examples/slurm/attribute.sbatch ")
        assert script
        assert all(f"--{name}=" in slurms for name in ("ntasks", "cpus-per-task", "mem-per-cpu", "time"))
        assert command.make_context("attribute", shlex.split(given)).params["genome"] == Path("hg38.fa")


def test_the_line_for_the_peaks_grants_what_their_workers_took():
    text, found = (ROOT / "docs/scale.md").read_text(), record("scale/memory.json")
    most = max(one["peak bytes"] for one in found if one["model"] == "chrombpnet")
    cores, gigabytes = map(int, re.search(r"--cpus-per-task=(\d+) --mem-per-cpu=(\d+)G", text).groups())
    assert 1.25 * most < 0.95 * cores * gigabytes * 2**30
    for one in found:
        cells = [f"{one['letters']:,} letters", f"{one['limit'] / 1e9:.0f} GB"]
        (line,) = [line for line in text.splitlines() if all(cell in line for cell in cells)]
        assert number(line.split("|")[4]) == pytest.approx(
            one["peak bytes"] / (1e9 if " GB |" in line[40:] else 1e6), rel=0.1
        )


STARTS = """echo $$ > scheduler
echo '{"address": "tcp://a:1"}' > "$5"
exec sleep 60"""
FOLLOWS = "sleep 0.5; while kill -0 $(cat scheduler) 2>/dev/null; do sleep 0.1; done"


MOURN = f"{FOLLOWS}; echo 'the loss of a scheduler, with a traceback' >&2"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("scheduler", "workers", "command", "code", "said"),
    [
        (STARTS, FOLLOWS, "exit 7", 7, ""),
        (STARTS, FOLLOWS, "trap 'exit 143' TERM; sleep 0.5; kill -TERM $PPID; while true; do sleep 0.1; done", 143, ""),
        ("exit 3", "exec sleep 60", "exec sleep 60", 1, "the scheduler of Dask does not start"),
        (STARTS, "exit 1", "exec sleep 60", 143, "the workers have ended"),
        (STARTS, "sleep 3; exit 1", "trap '' TERM; exec sleep 5", 0, "the workers have ended"),
        (STARTS, "exec sleep 60", "exit 7", 7, ""),
        (STARTS, MOURN, "sleep 1; echo 'bad input' >&2; exit 2", 2, "bad input"),
    ],
    ids=["done", "time limit", "no scheduler", "no workers", "the command is about to end", "early", "last words"],
)
def test_the_script_for_slurm_ends_with_what_it_starts(tmp_path, scheduler, workers, command, code, said):
    for name, text in (("dask", scheduler), ("srun", workers), ("attribution-bench", command)):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "1"}
    start = time.monotonic()
    done = subprocess.run(
        ["bash", SLURM / "attribute.sbatch", "model.pt2", "peaks.fa"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, time.monotonic() - start < 40) == (code, True), done.stderr
    assert said in done.stderr
    assert "traceback" not in done.stderr
    assert not list(tmp_path.glob(".attribution-*"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("given", "memory"),
    [
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_PER_TASK": "4"}, "8192MiB"),
        ({"SLURM_MEM_PER_NODE": "65536", "SLURM_TASKS_PER_NODE": "4(x15),2"}, "16384MiB"),
        ({"SLURM_MEM_PER_NODE": "65536", "SLURM_TASKS_PER_NODE": "2"}, "32768MiB"),
        ({"SLURM_MEM_PER_NODE": "65536", "SLURM_TASKS_PER_NODE": "1,4(x3)"}, "16384MiB"),
        ({"SLURM_MEM_PER_NODE": "65536", "SLURM_TASKS_PER_NODE": "9(x2),16,2(x30)"}, "4096MiB"),
        ({"SLURM_MEM_PER_NODE": "0"}, "auto"),  # all of a node
        ({}, "auto"),
    ],
)
def test_a_worker_is_given_the_memory_that_slurm_grants_it(tmp_path, given, memory):
    told = 'echo "$@" > told; env > environment\n'
    for name, text in (("dask", STARTS), ("srun", told + FOLLOWS), ("attribution-bench", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "1", **given}
    script = ["bash", SLURM / "attribute.sbatch", "model.pt2", "peaks.fa"]
    done = subprocess.run(script, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert f"--memory-limit {memory} " in (tmp_path / "told").read_text()
    environment = (tmp_path / "environment").read_text().splitlines()
    assert "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False" in environment


def test_the_program_for_slurm_calls_what_there_is():
    tree = ast.parse((SLURM / "attribute.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("attribution_bench"):
            found = __import__(node.module, fromlist=["_"])
            assert all(hasattr(found, alias.name) for alias in node.names)
