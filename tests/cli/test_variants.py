"""`attribution-bench variants`: from a model, a VCF file and a genome to a table and an annotated file."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pysam
import pytest

import attribution_bench as ab
from attribution_bench.sequences.genome import Genome
from attribution_bench.variants import ProfileEffects, score_variants
from attribution_bench.variants.vcf import VcfFile

EXAMPLES = Path(str(files("attribution_bench.sequences") / "data" / "examples"))
VCF = EXAMPLES / "variants.vcf"

pytestmark = pytest.mark.filterwarnings("ignore:fastISM falls back")


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    return Path(shutil.copy(EXAMPLES / "genome.fa", tmp_path))


def test_the_table_holds_what_the_function_gives(command: Callable[..., Any], genome: Path, tmp_path: Path) -> None:
    table, annotated = tmp_path / "effects.tsv", tmp_path / "annotated.vcf.gz"
    arguments = ("--genome", genome, "--effects", "profile", "--strand", "both", "--output", table)
    outcome = command("variants", "demo_profile", VCF, *arguments, "--annotated", annotated)
    assert outcome.code == 0
    assert outcome.out.split() == [str(table), str(annotated)]
    assert "scored 17 of 20 alleles" in outcome.err
    assert "set aside 1: reference is not what the genome has" in outcome.err
    frame = pd.read_csv(table, sep="\t")
    with VcfFile(VCF) as file:
        scores = list(
            score_variants(
                ab.get_model("demo_profile")(),
                file.records(),
                Genome(genome),
                length=256,
                effects=ProfileEffects(),
                strand="both",
            )
        )
    for (_, row), score in zip(frame.iterrows(), scores, strict=True):
        assert row["variant"] == ("." if score.normalised is None else str(score.normalised))
        for name, value in score.effects.items():
            assert row[name] == pytest.approx(value, rel=1e-4, abs=1e-6)
    settings = json.loads((tmp_path / "effects.tsv.json").read_text())
    assert (settings["models"][0]["label"], settings["length"], settings["strand"]) == ("demo_profile", 256, "both")
    with pysam.VariantFile(str(annotated)) as file:
        assert sum("AB_jsd" in record.info for record in file) == 15

    again = command("variants", "demo_profile", VCF, *arguments, "--json", "--chromosome", "NC_001416.1", "--restart")
    events = [json.loads(line) for line in again.out.splitlines()]
    assert [event["event"] for event in events] == ["progress", "summary"]
    assert events[-1]["set_aside"] == {"OVERLAPPING_DELETION": 1, "REF_MISMATCH": 1, "SYMBOLIC": 1}

    shared = command("variants", "demo_profile", VCF, *arguments, "--share-windows")
    assert shared.code == 2
    assert "share_within: 0 then, 32 now" in shared.err
    shared = command("variants", "demo_profile", VCF, *arguments, "--share-windows", "--restart")
    assert shared.code == 0
    assert len(pd.read_csv(table, sep="\t")) == 20


def test_numbers_and_standard_input(genome: Path, tmp_path: Path) -> None:
    table, annotated = tmp_path / "effects.tsv", tmp_path / "annotated.vcf"
    program = "from attribution_bench.cli import main; main()"
    arguments = ["demo_classifier", "-", "--genome", genome, "--output", table, "--annotated", annotated]
    line = [sys.executable, "-c", program, "variants", *map(str, arguments)]
    with VCF.open() as stdin:
        run = subprocess.run(line, stdin=stdin, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    frame = pd.read_csv(table, sep="\t")
    assert frame["delta"].notna().sum() == 17
    with pysam.VariantFile(str(annotated)) as file:
        assert len(list(file)) == 17
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".effects.tsv.lock",
        "annotated.vcf",
        "effects.tsv",
        "effects.tsv.json",
        "genome.fa",
        "genome.fa.fai",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chromosome", "lambda"], "contig 'lambda' is not in genome.fa, which has NC_001416.1"),
        (["--effects", "profile", "--target", "count"], "--target goes with --effects numbers"),
        (["--distance", "5"], "--distance goes with --effects splicing"),
        (["--effects", "splicing"], "there are no classes"),
        (["--effects", "splicing", "--classes", "donor"], "--classes takes names with indices"),
        (["--effects", "splicing", "--classes", "donor=1"], "needs (positions, classes)"),
        (["--effects", "profile"], "which outputs are the profile and the counts is open"),
        (["--target", "nothing"], "unknown target"),
        (["--annotated", "x.bcf"], ".vcf or .vcf.gz"),
        (["--alphabet", "protein"], "DNA or RNA"),
        (["--length", "100"], "sequences of 256 letters only"),
    ],
)
def test_bad_input_is_one_line(
    command: Callable[..., Any], genome: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    table = tmp_path / "effects.tsv"
    outcome = command("variants", "demo_classifier", VCF, "--genome", genome, "--output", table, *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.rstrip("\n").count("attribution-bench: ") == 1
    assert "Traceback" not in outcome.err
    assert not table.exists()


LOADER = """
from pathlib import Path
import torch

def load():
    torch.manual_seed(int(Path(__file__).with_name("weights").read_text()))
    return torch.nn.Sequential(torch.nn.Conv1d(4, 2, 9), torch.nn.Flatten(), torch.nn.Linear(64, 1))
"""


def test_a_run_does_not_go_on_with_other_weights_of_the_same_source(
    command: Callable[..., Any], genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loader_of_weights.py").write_text(LOADER)
    (tmp_path / "weights").write_text("0")
    table = tmp_path / "effects.tsv"
    arguments = ("loader_of_weights:load", VCF, "--genome", genome, "--length", "40", "--output", table)
    assert command("variants", *arguments).code == 0
    whole = table.read_bytes()
    table.rename(tmp_path / "effects.tsv.partial")
    (tmp_path / "weights").write_text("1")
    outcome = command("variants", *arguments)
    assert outcome.code == 2
    assert "weights_sha256" in outcome.err
    assert not table.exists()
    (tmp_path / "weights").write_text("0")
    assert command("variants", *arguments).code == 0
    assert table.read_bytes() == whole


def test_nothing_scored_is_told_by_the_exit_code(command: Callable[..., Any], tmp_path: Path) -> None:
    genome, table = tmp_path / "other.fa", tmp_path / "effects.tsv"
    genome.write_text(">chr1\nACGT\n")
    outcome = command("variants", "demo_classifier", VCF, "--genome", genome, "--output", table)
    assert outcome.code == 2
    assert "set aside 18: contig is not in the genome" in outcome.err
    assert table.exists()
