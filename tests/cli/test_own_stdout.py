"""Stdout holds what a command says alone: what models print goes to stderr, in other processes too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MODULE = """
import os, sys
import torch
from torch import nn

def tell(where):
    print("printed", where)
    sys.stdout.write("written " + where + "\\n")
    if "DESCRIPTORS" in os.environ:
        os.write(1, ("below Python " + where + "\\n").encode())
        os.system("echo by another process " + where)

tell("at import")

class Telling(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(80, 1))

    def forward(self, x):
        tell("in forward")
        return self.body(x)

def build():
    torch.manual_seed(0)
    return Telling()
"""
GIVEN = ("model_that_prints:build", "--threads", 1, "--json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model_that_prints.py").write_text(MODULE)
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    (tmp_path / "peaks.fa").write_text("".join(f">peak_{i}\n{letters[i : i + 20]}\n" for i in range(8)))
    (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n")
    header = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=200>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "variants.vcf").write_text(
        header + f"chr1\t51\t.\t{letters[50]}\t{'ACGT'['CGTA'.index(letters[50])]}\t.\t.\t.\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "model_that_prints", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["attribute", "variants"])
def test_a_model_that_prints_leaves_json_alone(command, folder, name):
    further = {
        "attribute": ("peaks.fa", "--methods", "gradient_x_input"),
        "variants": ("variants.vcf", "--genome", "genome.fa", "--length", 20, "--output", "effects.tsv"),
    }[name]
    stdout = sys.stdout
    done = command(name, *GIVEN, *further)
    assert done.code == 0, done.err
    assert [json.loads(line) for line in done.out.splitlines()][-1]["event"] == "summary"
    for said in ("printed", "written"):
        for where in ("at import", "in forward"):
            assert f"{said} {where}" in done.err
    assert sys.stdout is stdout


def test_a_model_that_prints_leaves_the_words_of_a_command_alone(command, folder):
    done = command("explain", *GIVEN[:1], "--length", 20)
    assert done.code == 0, done.err
    assert "layer" in done.out
    assert "printed" not in done.out
    assert "printed in forward" in done.err


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_libraries_and_other_processes_leave_json_alone(folder, workers):
    environment = {**os.environ, "DESCRIPTORS": "1", "PYTHONPATH": os.pathsep.join([*sys.path, str(folder)])}
    command = [sys.executable, "-m", "attribution_bench", "attribute", *map(str, GIVEN), "peaks.fa"]
    command += ["--methods", "gradient_x_input", *workers]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()][-1]["scored"] == 8
    for said in ("printed", "written", "below Python", "by another process"):
        for where in ("at import", "in forward"):
            assert f"{said} {where}" in done.stderr


TELLING = """
import os
from attribution_bench.cli import app, main, terminal

@app.app.command("tell")
@terminal.with_own_stdout
def tell() -> None:
    terminal.note("noted")
    print("printed")
    os.write(1, b"below Python\\n")
    os.system("echo by another process; echo on stderr >&2")
    terminal.say("said")

main()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes descriptors")
@pytest.mark.parametrize("closed", ["2>&-", "2>&- <&-"])
def test_where_stderr_is_closed_stdout_holds_what_a_command_says_alone(closed):
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", TELLING, "tell"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "said\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_stdout_that_is_full_is_one_error():
    command = [sys.executable, "-m", "attribution_bench", "methods"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "attribution-bench: cannot write to standard output: No space left on device\n"


def test_stdout_may_be_a_file_where_stderr_is_none(tmp_path):
    command = [sys.executable, "-m", "attribution_bench", "examples", str(tmp_path / "data")]
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(Path(line).is_file() for line in (tmp_path / "out").read_text().splitlines())
