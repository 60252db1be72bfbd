"""`attribution-bench variants`: from a model, a VCF file and a genome to a table and an annotated file."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig
import pysam
import pytest

import attribution_bench as ab
from attribution_bench.mutagenesis import InSilicoMutagenesis
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
    assert events[-1]["examples"].keys() == {"REF_MISMATCH", "SYMBOLIC"}

    shared = command("variants", "demo_profile", VCF, *arguments, "--share-windows")
    assert shared.code == 2
    assert "share_within: 0 in the table, 32 now" in shared.err
    shared = command("variants", "demo_profile", VCF, *arguments, "--share-windows", "--restart")
    assert shared.code == 0
    assert len(pd.read_csv(table, sep="\t")) == 20


def test_genes_are_named_and_suspected_where_nearly_all_variants_lie_in_none(
    command: Callable[..., Any], genome: Path, tmp_path: Path
) -> None:
    table, genes = tmp_path / "effects.tsv", tmp_path / "lab.txt"
    header = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"
    for contig, suspected in (("NC_001416.1", False), ("20", True)):
        genes.write_text(f"{header}G\t{contig}\t-\t0\t40000\t0,\t40000,\n")
        arguments = ("variants", "demo_classifier", VCF, "--genome", genome, "--genes", genes, "--output", table)
        outcome = command(*arguments, "--restart")
        assert outcome.code == (2 if suspected else 0)
        assert "genes: lab.txt\n" in outcome.err
        assert ("lie in no gene of lab.txt: its genes may be of another assembly" in outcome.err) == suspected
        assert suspected or "seconds per 100, starting included" in outcome.err
    events = [json.loads(line) for line in command(*arguments, "--json").out.splitlines()]
    assert events[0] == {"event": "genes", "name": "lab.txt"}
    assert [event["event"] for event in events[1:]] == ["caution", "summary"]


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
        (["--masked"], "--masked goes with --effects splicing"),
        (["--effects", "splicing", "--classes", "donor=1", "--masked"], "masked scores are by the exons of genes"),
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


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--strict", "allele * of an overlapping deletion"),
        ("--fail-on-mismatch", "NC_001416.1:7501:A:G: reference is not what the genome has"),
    ],
)
def test_what_was_not_to_be_set_aside_has_its_exit_code(
    command: Callable[..., Any], genome: Path, tmp_path: Path, option: str, message: str
) -> None:
    table = tmp_path / "effects.tsv"
    outcome = command("variants", "demo_classifier", VCF, "--genome", genome, "--output", table, option)
    assert (outcome.code, outcome.out) == (1, "")
    assert message in outcome.err
    assert not table.exists()


@pytest.fixture
def many(genome: Path, tmp_path: Path) -> Path:
    """Substitutions a few letters apart, two of them the same, on the only contig."""
    letters = Genome(genome).fetch("NC_001416.1", 0, 3000)
    lines = [
        f"NC_001416.1\t{place + 1}\tv{place}\t{letters[place]}\t{'ACGT'['CGTA'.index(letters[place])]}\t.\t.\t.\n"
        for place in (1000, 1004, 1009, 1009, 1015, 2000)
    ]
    header = VCF.read_text().split("#CHROM")[0] + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path = tmp_path / "many.vcf"
    path.write_text(header + "".join(lines))
    return path


def test_one_command_after_another(
    command: Callable[..., Any], genome: Path, tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not_to_be_captured.py").write_text(BRANCHING)
    table, lines = tmp_path / "effects.tsv", many.read_text().splitlines(keepends=True)
    few = tmp_path / "few.vcf"
    few.write_text("".join(lines[:-2]))
    arguments = ("not_to_be_captured:Branching", "--genome", genome, "--length", 40, "--output", table)
    first = command("variants", arguments[0], few, *arguments[1:])
    assert "1 are an earlier variant again, scored like any other" in first.err
    # Of a method's warning the job tells the text, once.
    assert first.err.count("caution: fastISM falls back") == 1
    assert "Warning" not in first.err
    content = table.read_bytes()
    again = command("variants", arguments[0], few, *arguments[1:])
    assert again.code == 0
    assert "is already complete: nothing was computed" in again.err
    assert table.read_bytes() == content
    other = command("variants", arguments[0], few, *arguments[1:], "--strand", "-")
    assert other.code == 2
    assert "strand: '+' in the table, '-' now" in other.err
    assert "--restart" in other.err
    assert table.read_bytes() == content
    longer = command("variants", arguments[0], many, *arguments[1:])
    assert "scored 6 of 6 alleles, 4 of them kept from the table as it was" in longer.err
    assert table.read_bytes().startswith(content)
    fewer = command("variants", arguments[0], few, *arguments[1:])
    assert fewer.code == 2
    assert "which is not among the variants" in fewer.err


def test_shared_windows_are_few(
    command: Callable[..., Any], genome: Path, tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    predict = InSilicoMutagenesis.predict_mutations

    def counted(self: Any, inputs: Any, mutations: Any, **options: Any) -> Any:
        passes.append(len(inputs))
        return predict(self, inputs, mutations, **options)

    monkeypatch.setattr(InSilicoMutagenesis, "predict_mutations", counted)
    arguments = ("demo_classifier", many, "--genome", genome)
    apart, shared = tmp_path / "apart.tsv", tmp_path / "shared.tsv"
    assert command("variants", *arguments, "--output", apart).code == 0
    assert command("variants", *arguments, "--output", shared, "--share-windows").code == 0
    assert passes == [5, 2]
    frames = [pd.read_csv(path, sep="\t") for path in (apart, shared)]
    assert (frames[0]["variant"] == frames[1]["variant"]).all()
    assert (frames[0]["delta"] - frames[1]["delta"]).abs().max() > 0


@pytest.fixture
def splicing(genome: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """The command on a model with 50 positions of 60 letters, and a file with a substitution and long alleles."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "splice_sites_of_a_test.py").write_text(SPLICE_SITES)
    letters = Genome(genome).fetch("NC_001416.1", 0, 3000)
    alleles = [(1000 + 3 * n, letters[1000 + 3 * n], "ACGT"["CGTA".index(letters[1000 + 3 * n])]) for n in range(9)]
    alleles += [(1100, letters[1100:1107], letters[1100]), (1200, letters[1200], letters[1200] + "ACGTACGTACG" * 2)]
    header = VCF.read_text().split("#CHROM")[0] + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    records = [f"NC_001416.1\t{place + 1}\t.\t{one}\t{other}\t.\t.\t.\n" for place, one, other in alleles]
    (tmp_path / "alleles.vcf").write_text(header + "".join(records))
    model = ("variants", "splice_sites_of_a_test:build", "alleles.vcf", "--genome", genome, "--length", 60)
    return (*model, "--effects", "splicing", "--classes", "acceptor=1,donor=2", "--output", "effects.tsv", "--restart")


SPLICE_SITES = """
import torch


def build():
    torch.manual_seed(0)
    layers = torch.nn.Conv1d(4, 6, 11), torch.nn.Tanh(), torch.nn.Conv1d(6, 3, 1), torch.nn.Softmax(1)
    return torch.nn.Sequential(*layers)
"""
BEYOND, MOVED, STRAND = "longer than the distance of 4 letters", "after some insertions", "gene is on the strand -"


def test_cautions_of_splicing_are_events(command: Callable[..., Any], splicing: tuple[object, ...]) -> None:
    for given, expected in (
        (("--distance", 4), {BEYOND, MOVED, STRAND}),
        (("--distance", 4, "--strand", "-"), {BEYOND, MOVED}),
        (("--distance", 4, "--length", 64, "--strand", "+"), {BEYOND}),
        (("--distance", 6, "--length", 68, "--strand", "+"), set()),
    ):
        outcome = command(*splicing, *given, "--json")
        assert outcome.code == 0, outcome.err
        texts = [event["text"] for event in map(json.loads, outcome.out.splitlines()) if event["event"] == "caution"]
        assert len(texts) == len(set(texts))
        assert {words for words in (BEYOND, MOVED, STRAND) if any(words in text for text in texts)} == expected
        assert "Warning" not in outcome.err


def test_windows_of_splicing_are_shared_as_far_as_the_length_has_room(
    command: Callable[..., Any], splicing: tuple[object, ...]
) -> None:
    for distance, share_within in ((4, 7), (20, 4)):  # an eighth of the window, and what 24 positions leave
        frames = []
        for shared in ((), ("--share-windows",)):
            outcome = command(*splicing, "--distance", distance, "--strand", "+", *shared)
            assert outcome.code == 0, outcome.err
            frames.append(pd.read_csv("effects.tsv", sep="\t"))
        assert json.loads(Path("effects.tsv.json").read_text())["share_within"] == share_within
        substitutions = [frame["ref"].str.len() == frame["alt"].str.len() for frame in frames]
        numbers = [frame[rows].filter(regex="_(gain|loss)") for frame, rows in zip(frames, substitutions, strict=True)]
        assert len(numbers[0]) == 9
        assert numbers[0].notna().all(axis=None)
        pd.testing.assert_frame_equal(*numbers, atol=1e-5)
    for given, said in (
        (("--share-windows",), "give one (--distance)"),
        (("--share-windows", "--distance", 24), "a distance of 24 leaves 0; a window of 62 letters (--length) does"),
        (("--distance", 30), "the distance is 30; a window of 72 letters (--length) has as many"),
    ):
        outcome = command(*splicing, *given)
        assert (outcome.code, said in outcome.err) == (2, True), outcome.err


def test_folds_tracks_and_an_index(
    command: Callable[..., Any], genome: Path, tmp_path: Path, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folds_with_a_track.py").write_text(FOLDS)
    (letters,) = Genome(genome).contigs.values()
    random = np.random.default_rng(0)
    with pyBigWig.open("control.bw", "w") as file:
        file.addHeader([("NC_001416.1", letters)])
        file.addEntries("NC_001416.1", 900, values=random.integers(0, 9, 300).astype(float), span=1, step=1)
    np.save("rows.npy", np.arange(6.0)[:, None])
    # Another contig in the file, which the index passes over.
    pysam.tabix_compress(str(many), "many.vcf.gz")
    pysam.tabix_index("many.vcf.gz", preset="vcf")
    outcome = command(
        *("variants", "folds_with_a_track:one", "many.vcf.gz", "--genome", genome, "--length", 60, "--each-model"),
        *("--fold", "folds_with_a_track:two", "--chromosome", "NC_001416.1", "--output", "effects.tsv"),
        *("--inputs", "rows.npy", "--inputs", "control=control.bw"),
    )
    assert outcome.code == 0, outcome.err
    frame = pd.read_csv("effects.tsv", sep="\t")
    own = frame[["delta_model_0", "delta_model_1"]].to_numpy()
    np.testing.assert_allclose(frame["delta"], own.mean(axis=1))
    np.testing.assert_allclose(frame["delta_sd"], own.std(axis=1), atol=1e-7)
    assert (frame["delta_sd"] > 0).any()
    one, again = frame.iloc[2], frame.iloc[3]
    assert one["variant"] == again["variant"]
    # The row of the record adds to both alleles alike.
    assert again["reference_prediction"] - one["reference_prediction"] == pytest.approx(1, abs=1e-4)
    assert json.loads(Path("effects.tsv.json").read_text())["further_inputs"]["control"]["place"] == 1
    np.save("rows.npy", np.zeros((5, 1)))
    for arguments, message in (
        (("--inputs", "rows.npy", "--inputs", "control.bw"), "'rows' has 5 rows, but there are more records"),
        (("--inputs", "rows.npy", "--inputs", "none.bw"), "there is no bigWig file none.bw"),
        (("--inputs", "rows.npy", "--inputs", "rows.npy"), "there is an input 'rows' already"),
    ):
        wrong = command(
            *("variants", "folds_with_a_track:one", "many.vcf.gz", "--genome", genome, "--length", 60),
            *("--output", "other.tsv", *arguments),
        )
        assert wrong.code == 2
        assert message in wrong.err


FOLDS = """
import torch


class Fold(torch.nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = torch.nn.Conv1d(5, 3, 9)

    def forward(self, x, row, track):
        return torch.tanh(self.stem(torch.cat([x, track], 1))).sum((1, 2))[:, None] + row


def one():
    return Fold(1)


def two():
    return Fold(2)
"""
BRANCHING = """
import torch


class Branching(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv1d(4, 3, 9)

    def forward(self, x):
        hidden = torch.tanh(self.stem(x)).sum((1, 2))[:, None]
        return hidden if float(hidden.sum()) < 1e9 else 2 * hidden
"""
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
    first = "the first at NC_001416.1:41: contig 'NC_001416.1' is not in other.fa, which has chr1"
    assert f"set aside 18: contig is not in the genome ({first})" in outcome.err
    assert table.exists()
