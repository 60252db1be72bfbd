"""VCF files scored into tables and annotated files: contents, runs that are stopped, and what goes wrong."""

import gzip
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pysam
import pysam.bcftools
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, OutputError, SequenceError, SetAsideError
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import Variant, VariantReason
from attribution_bench.variants import ScalarEffects, ScoringOptions, SplicingEffects, job, score
from attribution_bench.variants.distributed import BlockOrder, OpenedVariants, VariantParcel
from attribution_bench.variants.job import score_vcf
from attribution_bench.variants.rows import read_effects
from attribution_bench.variants.score import Numbered, VariantScore, VariantScorer, variant_scorer
from attribution_bench.variants.summary import Summary
from attribution_bench.variants.table import Allele, write_effects
from attribution_bench.variants.vcf import VcfFile

EXAMPLES = Path(str(files("attribution_bench.sequences") / "data" / "examples"))
VCF = EXAMPLES / "variants.vcf"
LENGTH = 40
HEADER = (
    "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=400>\n##contig=<ID=gap,length=200>\n"
    '##INFO=<ID=XX,Number=1,Type=Integer,Description="x">\n'
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


@pytest.fixture(scope="module")
def method() -> ab.InSilicoMutagenesis:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv1d(4, 3, 5), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(108, 2)
        )
    bound = ab.get_method("standard_ism")(model.double())
    assert isinstance(bound, ab.InSilicoMutagenesis)
    return bound


@pytest.fixture
def scorer(method: ab.InSilicoMutagenesis, genome: Genome) -> VariantScorer:
    return variant_scorer(method, genome, ScoringOptions(LENGTH, ScalarEffects("all")))


@pytest.fixture
def many(genome: Genome) -> list[Variant]:
    """Substitutions along a contig, with some that are set aside."""
    letters, random = genome.fetch("chr1", 0, 400), np.random.default_rng(0)
    variants = []
    for position in random.integers(0, 400, 45).tolist():
        reference = letters[position] if random.random() < 0.8 else "ACGT"["CGTA".index(letters[position])]
        variants.append(Variant("chr1", position, reference, str(random.choice(list("ACGT")))))
    return variants


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "BLOCK", 6)
    monkeypatch.setattr(score, "MOST_WAITING", 9)


def vcf(path: Path, lines: list[str], header: str = HEADER, columns: str = COLUMNS) -> Path:
    path.write_text(f"{header}{columns}\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_the_examples_are_scored_and_annotated(method: ab.InSilicoMutagenesis, tmp_path: Path) -> None:
    genome = Genome(shutil.copy(EXAMPLES / "genome.fa", tmp_path))
    scorer = variant_scorer(method, genome, ScoringOptions(LENGTH, ScalarEffects("all")))
    table, annotated = tmp_path / "effects.tsv", tmp_path / "new" / "annotated.vcf.gz"
    summary = score_vcf(scorer, VCF, table, annotated=annotated)
    assert (summary.total, summary.scored, summary.resumed) == (20, 17, 0)
    assert summary.set_aside == {
        VariantReason.OVERLAPPING_DELETION: 1,
        VariantReason.REF_MISMATCH: 1,
        VariantReason.SYMBOLIC: 1,
    }
    assert summary.examples == {
        VariantReason.REF_MISMATCH: "NC_001416.1:7501: the genome has G",
        VariantReason.SYMBOLIC: "NC_001416.1:8601: <DEL>",
    }
    frame = pd.read_csv(table, sep="\t").set_index("id")
    assert frame.loc["deletion_in_repeat", "variant"] == "NC_001416.1:2429:GA:G"
    assert frame["set_aside"].value_counts()["."] == 17
    numbers = frame.filter(like="output")
    assert numbers.shape == (20, 8)
    assert (numbers["output_0_delta"].notna() == (frame["set_aside"] == ".")).all()
    with pysam.VariantFile(str(annotated)) as file, pysam.VariantFile(str(VCF)) as original:
        records = {record.id: record for record in file}
        assert [(r.pos, r.ref, r.alts, r.id) for r in records.values()] == [
            (r.pos, r.ref, r.alts, r.id) for r in original
        ]
    for name, record in records.items():
        rows = frame.loc[[name]]
        expected = rows["output_1_delta"].to_numpy()
        if record.id in ("wrong_reference", "symbolic"):
            assert "AB_output_1_delta" not in record.info
            assert list(record.filter) == ["AB_REF_MISMATCH" if name == "wrong_reference" else "AB_SYMBOLIC"]
            continue
        assert list(record.filter) == ["PASS"]
        found = [np.nan if value is None else value for value in record.info["AB_output_1_delta"]]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
        aside = ["." if reason == "." else "OVERLAPPING_DELETION" for reason in rows["set_aside"]]
        assert list(record.info.get("AB_set_aside", aside)) == aside
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"genome.fa", "genome.fa.fai", "effects.tsv", "effects.tsv.json", ".effects.tsv.lock", "new"}


@pytest.mark.usefixtures("small_blocks")
def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bytes(
    scorer: VariantScorer, many: list[Variant], tmp_path: Path
) -> None:
    whole = tmp_path / "whole.tsv"
    write_effects(scorer, many, whole, {"model": "m"})
    content, random = whole.read_bytes(), np.random.default_rng(1)
    for cut in [0, 10, len(content) - 1, len(content), *random.integers(0, len(content), 20).tolist()]:
        path = tmp_path / "stopped.tsv"
        path.unlink(missing_ok=True)
        path.with_name("stopped.tsv.partial").write_bytes(content[:cut])
        path.with_name("stopped.tsv.json").write_text(json.dumps({"model": "m"}))
        summary = write_effects(scorer, many, path, {"model": "m"})
        assert path.read_bytes() == content
        assert summary.total == len(many)
        rows = max(0, content[:cut].count(b"\n") - 1)
        assert rows - 9 <= summary.resumed <= rows


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError], ids=["Ctrl-C", "nobody reads the progress"])
def test_an_interruption_keeps_what_is_done(
    scorer: VariantScorer, many: list[Variant], tmp_path: Path, error: type[BaseException]
) -> None:
    write_effects(scorer, many, tmp_path / "whole.tsv", {})
    path = tmp_path / "effects.tsv"

    def interrupted(summary: Summary) -> None:
        if summary.total > 20:
            raise error

    with pytest.raises(error):
        write_effects(scorer, many, path, {}, progress=interrupted)
    assert not path.exists()
    summary = write_effects(scorer, many, path, {})
    assert summary.resumed > 20
    assert path.read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.usefixtures("small_blocks")
def test_a_full_disk_is_one_error_and_the_run_goes_on(
    scorer: VariantScorer, many: list[Variant], tmp_path: Path
) -> None:
    write_effects(scorer, many, tmp_path / "whole.tsv", {})
    path, limits = tmp_path / "effects.tsv", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OutputError, match="the same command goes on"):
            write_effects(scorer, many, path, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert write_effects(scorer, many, path, {}).resumed > 0
    assert path.read_bytes() == (tmp_path / "whole.tsv").read_bytes()


@pytest.mark.usefixtures("small_blocks")
def test_other_settings_and_other_variants_are_refused(
    scorer: VariantScorer, many: list[Variant], tmp_path: Path
) -> None:
    path = tmp_path / "effects.tsv"

    def stopped(summary: Summary) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_effects(scorer, many, path, {"length": 40, "strand": "+"}, progress=stopped)
    with pytest.raises(InvalidInputError, match="strand: '\\+' in the table, 'both' now"):
        write_effects(scorer, many, path, {"length": 40, "strand": "both"})
    with pytest.raises(SequenceError, match="the run that was stopped scored"):
        write_effects(scorer, many[1:], path, {"length": 40, "strand": "+"})
    with pytest.raises(SequenceError, match="there is nothing more now"):
        write_effects(scorer, many[:2], path, {"length": 40, "strand": "+"})
    assert write_effects(scorer, many[1:], path, {"length": 41}, restart=True).resumed == 0


class Counting:
    """A predictor that counts what it is asked for."""

    def __init__(self, predictor: Any) -> None:
        self.predictor, self.alleles = predictor, 0

    def predict(self, alleles: Any, *rest: Any) -> Any:
        self.alleles += len(alleles)
        return self.predictor.predict(alleles, *rest)


@pytest.fixture
def counting(scorer: VariantScorer) -> tuple[VariantScorer, Counting]:
    (member,) = scorer.members
    counter = Counting(member.predictor)
    return replace(scorer, members=(replace(member, predictor=counter),)), counter  # type: ignore[arg-type]


def test_a_complete_table_is_not_computed_again(
    counting: tuple[VariantScorer, Counting], many: list[Variant], tmp_path: Path
) -> None:
    (scorer, counter), path = counting, tmp_path / "effects.tsv"
    first = write_effects(scorer, many, path, {"strand": "+"})
    content, asked, finished = path.read_bytes(), counter.alleles, []
    again = write_effects(scorer, many, path, {"strand": "+"}, finish=finished.append)
    assert (again.total, again.scored, again.kept, again.new) == (first.total, first.scored, first.total, 0)
    assert (again.set_aside, again.duplicates) == (first.set_aside, first.duplicates)
    assert (counter.alleles, path.read_bytes(), finished) == (asked, content, [path])
    with pytest.raises(InvalidInputError, match="strand: '\\+' in the table, 'both' now"):
        write_effects(scorer, many, path, {"strand": "both"})
    with pytest.raises(InvalidInputError, match=f"is complete and has {many[3]}, which is not among the variants"):
        write_effects(scorer, [*many[:3], *many[4:]], path, {"strand": "+"})
    with pytest.raises(SetAsideError):
        write_effects(scorer, many, path, {"strand": "+"}, fatal=[VariantReason.REF_MISMATCH])
    path.with_name("effects.tsv.json").unlink()
    with pytest.raises(InvalidInputError, match=r"effects\.tsv\.json, which tells its settings, is missing"):
        write_effects(scorer, many, path, {"strand": "+"})
    assert (counter.alleles, path.read_bytes()) == (asked, content)
    assert write_effects(scorer, many[:7], path, {"strand": "both"}, restart=True).new == 7
    assert len(list(read_effects(path))) == 7


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kept", [slice(0, 20), slice(0, None, 2), slice(30, None), slice(0, 1)])
def test_of_more_variants_only_the_new_ones_are_scored_also_after_a_stop(
    counting: tuple[VariantScorer, Counting], many: list[Variant], tmp_path: Path, kept: slice
) -> None:
    (scorer, counter), path = counting, tmp_path / "effects.tsv"
    few = many[kept]
    write_effects(scorer, few, path, {})
    old, asked = path.read_bytes(), counter.alleles
    summary = write_effects(scorer, many, path, {})
    whole = path.read_bytes()
    placed = len([v for v in many if v not in few])
    assert counter.alleles - asked <= placed
    assert (summary.kept, summary.new, summary.total) == (len(few), len(many) - len(few), len(many))
    assert {*old.splitlines()} <= {*whole.splitlines()}
    write_effects(scorer, many, tmp_path / "at_once.tsv", {})
    for one, other in zip(read_effects(path), read_effects(tmp_path / "at_once.tsv"), strict=True):
        assert (one.variant, one.normalised, one.reason) == (other.variant, other.normalised, other.reason)
        assert one.score(scorer.columns).effects == pytest.approx(
            other.score(scorer.columns).effects, abs=1e-12, nan_ok=True
        )
    # Stopped anywhere on the way from the shorter table to the longer one.
    for cut in np.random.default_rng(2).integers(0, len(whole), 8).tolist():
        path.write_bytes(old)
        path.with_name("effects.tsv.partial").write_bytes(whole[:cut])
        assert write_effects(scorer, many, path, {}).total == len(many)
        assert path.read_bytes() == whole


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kept", [slice(0, 20), slice(0, None, 2), slice(30, None)])
def test_alleles_of_a_table_count_with_their_blocks_however_far_ahead_they_are_read(
    scorer: VariantScorer, many: list[Variant], tmp_path: Path, kept: slice
) -> None:
    """As a cluster reads them, of which the first blocks come when all alleles are read."""

    def ahead(alleles: Iterable[Allele]) -> Iterator[list[VariantScore]]:
        yield from scorer.blocks(list(alleles))

    progress: list[tuple[int, int, bool]] = []

    def noted(summary: Summary) -> None:
        rate = summary.seconds_per_100
        progress.append((summary.kept, summary.new, rate is None or rate >= 0))

    told = {}
    for way in (None, ahead):
        path = tmp_path / f"{way is None}.tsv"
        write_effects(scorer, many[kept], path, {})
        progress.clear()
        assert write_effects(scorer, many, path, {}, blocks=way, progress=noted).kept == len(many[kept])
        told[way is None] = list(progress)
    assert told[False] == told[True]
    assert [new for _, new, _ in told[False]] == sorted(new for _, new, _ in told[False])
    assert all(new >= 0 and right for _, new, right in told[False])


@pytest.mark.filterwarnings("ignore:fastISM falls back")
def test_cautions_of_effects_on_a_worker_come_with_its_block(genome: Genome, tmp_path: Path) -> None:
    """As errors, which filters may make of warnings, they would end the block."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ab.as_sequence_model(torch.nn.Conv1d(4, 2, 5).double(), device="cpu")
    options = ScoringOptions(LENGTH, SplicingEffects({"donor": 1}, distance=3), strand="+")
    letters = genome.fetch("chr1", 0, 400)
    removed = Variant("chr1", 50, letters[50:56], letters[50])
    inserted = Variant("chr1", 60, letters[60], letters[60] + "ACGT" * 4)
    worker = OpenedVariants(VariantParcel((), genome, options, 1), [model])
    alleles = tuple(Numbered(variant, number) for number, variant in enumerate((removed, removed, inserted)))
    facts = worker.facts()
    order = BlockOrder(0, alleles, facts.machine_options, facts.arithmetic, tmp_path / "block.tsv")
    record = worker.do(order)
    texts = record.cautions
    for words in ("longer than the distance of 3 letters", "after some insertions"):
        assert sum(words in text for text in texts) == 1
    assert [row.reason for row in read_effects(order.file)] == [None] * 3
    assert record.scored == 3
    assert worker.do(order).scored == 0  # it was there, which took no time


def test_a_table_of_another_model_is_refused_by_itself(scorer: VariantScorer, genome: Genome, tmp_path: Path) -> None:
    path, file = (
        tmp_path / "effects.tsv",
        vcf(tmp_path / "a.vcf", [f"chr1\t9\t.\t{genome.fetch('chr1', 8, 9)}\tN\t.\t.\t."]),
    )
    score_vcf(scorer, file, path)
    assert score_vcf(scorer, file, path).kept == 1
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * LENGTH, 2)).double()
    other = variant_scorer(ab.get_method("standard_ism")(model), genome, scorer.options)
    with pytest.raises(InvalidInputError, match="weights_sha256: 0: "):
        score_vcf(other, file, path)
    wider = variant_scorer(scorer.members[0].predictor._method, genome, replace(scorer.options, overhang="drop"))
    with pytest.raises(InvalidInputError, match="overhang: 'pad' in the table, 'drop' now"):
        score_vcf(wider, file, path)


def test_alleles_that_come_again_are_scored_and_counted(scorer: VariantScorer, genome: Genome, tmp_path: Path) -> None:
    # An A less in a run of two, written in two ways; and a substitution twice.
    letters = genome.fetch("chr1", 0, 400)
    at = next(place for place in range(100, 300) if letters[place] == letters[place + 1] != letters[place - 1])
    twice = Variant("chr1", 50, letters[50], "ACGT"["CGTA".index(letters[50])])
    variants = [
        twice,
        Variant("chr1", at - 1, letters[at - 1 : at + 1], letters[at - 1]),
        Variant("chr1", at, letters[at : at + 2], letters[at]),
        replace(twice, name="again"),
        Variant("1", 5, "A", "C"),
        Variant("1", 5, "A", "C"),
    ]
    summary = write_effects(scorer, variants, tmp_path / "effects.tsv", {})
    assert (summary.scored, summary.total, summary.duplicates) == (4, 6, 2)


def test_a_lock_is_not_lost_by_who_waits_for_it(scorer: VariantScorer, many: list[Variant], tmp_path: Path) -> None:
    path = tmp_path / "effects.tsv"
    write_effects(scorer, many[:1], path, {})
    lock = path.with_name(".effects.tsv.lock")
    before = lock.stat().st_ino

    def second() -> Iterator[Variant]:
        # The file that the first run locked is the one that a third run finds.
        assert lock.stat().st_ino == before
        yield from many[:2]

    write_effects(scorer, second(), path, {}, restart=True)
    assert lock.stat().st_ino == before


def test_two_runs_into_one_table_are_refused(scorer: VariantScorer, many: list[Variant], tmp_path: Path) -> None:
    path = tmp_path / "effects.tsv"

    def second() -> Iterator[Variant]:
        yield many[0]
        with pytest.raises(OutputError, match="another run writes"):
            write_effects(scorer, many, path, {})

    assert write_effects(scorer, second(), path, {}).total == 1


def test_another_file_in_the_place_of_the_table_is_refused(scorer: VariantScorer, tmp_path: Path) -> None:
    (tmp_path / "effects.tsv.partial").write_text("something else\n")
    (tmp_path / "effects.tsv.json").write_text("{}")
    with pytest.raises(OutputError, match="no table of the effects"):
        write_effects(scorer, [], tmp_path / "effects.tsv", {})
    assert (tmp_path / "effects.tsv.partial").read_text() == "something else\n"


def test_reasons_may_be_fatal(scorer: VariantScorer, many: list[Variant], tmp_path: Path) -> None:
    path = tmp_path / "effects.tsv"
    with pytest.raises(SetAsideError, match=r"chr1:\d+:.:.: reference is not what the genome has \(the genome has .\)"):
        write_effects(scorer, many, path, {}, fatal=[VariantReason.REF_MISMATCH])
    assert not path.exists()
    assert write_effects(scorer, many, path, {}, fatal=[VariantReason.NO_CONTIG]).set_aside[VariantReason.REF_MISMATCH]


def test_what_stops_the_annotation_loses_no_effects(
    scorer: VariantScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "BLOCK", 3)
    letters = scorer.genome.fetch("chr1", 100, 106)
    lines = [f"chr1\t{101 + place}\t.\t{letter}\t<DEL>,A,C,G,T\t.\t.\t." for place, letter in enumerate(letters)]
    file, table, annotated = vcf(tmp_path / "a.vcf", lines), tmp_path / "effects.tsv", tmp_path / "annotated.vcf"
    score_vcf(scorer, file, tmp_path / "whole.tsv", annotated=tmp_path / "whole.vcf")

    def full(*arguments: Any) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(job, "annotate", full)
        with pytest.raises(OutputError, match="full"):
            score_vcf(scorer, file, table, annotated=annotated)
    assert not table.exists()
    summary = score_vcf(scorer, file, table, annotated=annotated)
    assert summary.resumed > summary.total - 5
    assert table.read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    assert annotated.read_bytes() == (tmp_path / "whole.vcf").read_bytes()


def test_an_annotated_file_that_cannot_be_written_is_told_before_any_work(
    scorer: VariantScorer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose a folder"):
        score_vcf(scorer, VCF, tmp_path / "effects.tsv", annotated=tmp_path / "file" / "annotated.vcf")
    assert not list(tmp_path.glob("effects.tsv*"))


@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_beginning_anew_removes_tables_of_effects_alone(
    scorer: VariantScorer, many: list[Variant], suffix: str, tmp_path: Path
) -> None:
    path, notes = tmp_path / "effects.tsv", tmp_path / f"effects.tsv{suffix}"
    for content in ("weeks of work\n", "chromosome\tposition\n"):
        notes.write_text(content)
        with pytest.raises(OutputError, match=f"{notes.name} is no table of effects, and is kept"):
            write_effects(scorer, many, path, {}, restart=True)
        assert notes.read_text() == content
        assert {file.name for file in tmp_path.iterdir()} == {notes.name, ".effects.tsv.lock"}
    notes.unlink()
    notes.mkdir()
    with pytest.raises(OutputError, match="is no table of effects"):
        write_effects(scorer, many, path, {}, restart=True)


@pytest.mark.parametrize(
    ("read", "table", "annotated", "named"),
    [
        ("a.vcf", "a.vcf", None, "the table, since it is the file of variants"),
        ("a.vcf", "effects.tsv", "a.vcf", "the annotated file, since it is the file of variants"),
        ("a.vcf", "b.vcf", "sub/../b.vcf", "the annotated file, since it is the table"),
        ("link.vcf", "effects.tsv", "a.vcf", "the annotated file, since it is the file of variants"),
    ],
)
def test_no_file_is_written_over_another_of_the_run(
    scorer: VariantScorer, read: str, table: str, annotated: str | None, named: str, tmp_path: Path
) -> None:
    vcf(tmp_path / "a.vcf", ["chr1\t101\t.\tN\tA\t.\t.\t."])
    (tmp_path / "link.vcf").symlink_to("a.vcf")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    target = None if annotated is None else tmp_path / annotated
    with pytest.raises(InvalidInputError, match=named):
        score_vcf(scorer, tmp_path / read, tmp_path / table, annotated=target, restart=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_rows_come_back_as_they_were_written(scorer: VariantScorer, many: list[Variant], tmp_path: Path) -> None:
    named = [Variant(v.contig, v.position, v.reference, v.alternative, f"rs{n}") for n, v in enumerate(many)]
    path = tmp_path / "effects.tsv"
    write_effects(scorer, named, path, {})
    scores = list(scorer.score(named))
    for row, given in zip(read_effects(path), scores, strict=True):
        assert row.variant == given.variant
        assert row.reason == (given.set_aside and given.set_aside.reason)
        if row.reason is None:
            assert [float(text.replace("NA", "nan")) for text in row.effects] == pytest.approx(
                list(given.effects.values()), nan_ok=True
            )


FORMS = ("plain", "gzip", "bgzip", "bcf", "indexed")


def in_form(path: Path, form: str) -> Path:
    """Write a VCF file in another form beside it."""
    if form == "plain":
        return path
    target = path.with_suffix(".bcf" if form == "bcf" else ".vcf.gz")
    if form == "gzip":
        target.write_bytes(gzip.compress(path.read_bytes()))
    elif form == "bcf":
        pysam.bcftools.view("-Ob", "-o", str(target), str(path), catch_stdout=False)
    else:
        pysam.tabix_compress(str(path), str(target))
        if form == "indexed":
            pysam.tabix_index(str(target), preset="vcf")
    return target


LINES = [
    "chr1\t10\ta\tA\tC,<DEL>\t3.5\tPASS\tXX=1",
    "chr1\t11\tb\tA\t.\t.\t.\t.",
    "chr1\t12\tc;d\tA\tC\t.\t.\tXX=2",
    "gap\t5\t.\tA\tC\t.\t.\t.",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chromosome", [None, "chr1", "gap", "short"])
def test_every_form_has_the_same_records(tmp_path: Path, form: str, chromosome: str | None) -> None:
    path = in_form(vcf(tmp_path / "x.vcf", LINES), form)
    with VcfFile(path, chromosome=chromosome) as file:
        found = [(record.contig, record.pos, record.id) for record in file.records()]
    every = [("chr1", 10, "a"), ("chr1", 11, "b"), ("chr1", 12, "c;d"), ("gap", 5, None)]
    assert found == [record for record in every if chromosome in (None, record[0])]


def test_annotation_keeps_what_is_there_and_replaces_its_own(scorer: VariantScorer, tmp_path: Path) -> None:
    letters = scorer.genome.fetch("chr1", 0, 20)
    old = (
        '##INFO=<ID=AB_output_0_delta,Number=A,Type=Float,Description="old">\n'
        '##INFO=<ID=AB_gone,Number=A,Type=Float,Description="old",Source="attribution-bench">\n'
        '##FILTER=<ID=AB_OLD,Description="old",Source="attribution-bench">\n'
        '##INFO=<ID=AB_1,Number=0,Type=Flag,Description="of another program">\n'
    )
    others = ["C" if letter != "C" else "G" for letter in letters]
    lines = [
        f"chr1\t10\ta\t{letters[9]}\t<DEL>,{others[9]}\t3.5\tPASS\tXX=1\tGT\t0/1",
        f"chr1\t11\tb\t{letters[10]}\t.\t.\tq10;AB_OLD\tAB_set_aside=OLD\tGT\t./.",
        f"chr1\t12\tc;d\t{letters[11]}\t{others[11]}\t.\tAB_OLD\tXX=2;AB_output_0_delta=7;AB_gone=2;AB_1;YY\tGT\t1/1",
    ]
    path = vcf(tmp_path / "x.vcf", lines, HEADER + old, f"{COLUMNS}\tFORMAT\tperson")
    first, second = tmp_path / "first.vcf", tmp_path / "second.vcf"
    score_vcf(scorer, path, tmp_path / "effects.tsv", annotated=first)
    score_vcf(scorer, first, tmp_path / "effects.tsv", annotated=second)
    assert first.read_text() == second.read_text()
    assert first.read_text().count("<ID=AB_output_0_delta") == 1
    one, other, third = (line.split("\t") for line in first.read_text().splitlines() if not line.startswith("#"))
    assert one[5:7] == ["3.5", "PASS"]
    assert one[7].startswith("XX=1;AB_output_0_reference_prediction=.,")
    assert one[7].endswith("AB_set_aside=SYMBOLIC,.")
    assert other[6:8] == ["q10;AB_NO_ALTERNATIVE", "AB_set_aside=NO_ALTERNATIVE"]
    assert third[6] == "."
    assert third[7].startswith("XX=2;AB_1;YY;AB_output_0_reference_prediction=")
    assert first.read_text().count("<ID=AB_1,") == 1
    assert "AB_gone" not in first.read_text()
    assert [line[8:] for line in (one, other, third)] == [["GT", "0/1"], ["GT", "./."], ["GT", "1/1"]]


def test_standard_input_is_read(tmp_path: Path) -> None:
    path = vcf(tmp_path / "x.vcf", LINES)
    program = (
        "from attribution_bench.variants.vcf import VcfFile\n"
        "with VcfFile('-', chromosome='chr1') as file: print([record.id for record in file.records()])"
    )
    with path.open() as stdin:
        run = subprocess.run([sys.executable, "-c", program], stdin=stdin, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("['a', 'b', 'c;d']\n", "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"chr1\t1\t.\tA\tC\t.\t.\t.\n",
        b"##fileformat=VCFv4.3\n",
        b"\x00\x01\x02",
        f"{HEADER}{COLUMNS}\nchr1\tx\t.\tA\tC\t.\t.\t.\n".encode(),
        f"{HEADER}{COLUMNS}\nchr1\t5\t.\tA\n".encode(),
        f"{HEADER}{COLUMNS}\nchr1 5 . A C . . .\n".encode(),
        f"{HEADER}{COLUMNS}\n\n".encode(),
        f"{HEADER}{COLUMNS}\nchr1\t5\t\xff\tA\tC\t.\t.\t.\n".encode("latin-1"),
        gzip.compress(f"{HEADER}{COLUMNS}\n{LINES[0]}\n".encode(), mtime=0)[:-20],
    ],
)
def test_what_is_no_vcf_is_one_error(
    scorer: VariantScorer, content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.vcf"
    path.write_bytes(content)
    with pytest.raises(SequenceError, match=r"x\.vcf"):
        score_vcf(scorer, path, tmp_path / "effects.tsv")
    assert not (tmp_path / "effects.tsv").exists()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("form", ["bgzip", "bcf"])
def test_a_file_that_is_cut_off_is_one_error(tmp_path: Path, form: str) -> None:
    path = in_form(vcf(tmp_path / "x.vcf", LINES * 400), form)
    whole = path.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 28):
        path.write_bytes(whole[:cut])
        with pytest.raises(SequenceError, match=r"cannot (be )?read"), VcfFile(path) as file:
            list(file.records())


def test_a_missing_file_and_a_wrong_name_are_one_error_each(scorer: VariantScorer, tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="No such file"):
        score_vcf(scorer, tmp_path / "none.vcf", tmp_path / "effects.tsv")
    with pytest.raises(InvalidInputError, match=r"\.vcf or \.vcf\.gz"):
        score_vcf(scorer, VCF, tmp_path / "effects.tsv", annotated=tmp_path / "annotated.bcf")
    with pytest.raises(SequenceError, match=r"contig .1. is not in genome\.fa, which has .chr1."):
        score_vcf(scorer, VCF, tmp_path / "effects.tsv", chromosome="1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_records_gives_an_empty_table(scorer: VariantScorer, tmp_path: Path) -> None:
    path: Any = vcf(tmp_path / "x.vcf", [])
    summary = score_vcf(scorer, path, tmp_path / "effects.tsv", annotated=tmp_path / "annotated.vcf")
    assert (summary.total, summary.seconds_per_100) == (0, None)
    assert len((tmp_path / "effects.tsv").read_text().splitlines()) == 1
    assert list(read_effects(tmp_path / "effects.tsv")) == []


def test_seconds_are_those_after_the_first_block_or_said_to_include_it(
    scorer: VariantScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter((100.0, 107.0, 108.0, 109.0))  # the start, and the ends of three blocks
    # Other threads of this process ask the time, too.
    monkeypatch.setattr("attribution_bench.variants.table.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(score, "BLOCK", 4)
    letters = scorer.genome.fetch("chr1", 100, 112)
    variants = [Variant("chr1", 100 + n, one, "ACGT".replace(one, "")[0]) for n, one in enumerate(letters)]
    summary = write_effects(scorer, variants, tmp_path / "effects.tsv", {})
    assert (summary.new, summary.first, summary.seconds) == (12, (4, 7.0), 9.0)
    assert (summary.seconds_per_100, summary.starting_included) == (25, False)
    summary.cores = 2
    assert (summary.seconds_per_100, summary.starting_included) == (75, True)
    assert Summary(scored=1, seconds=3, first=(1, 3)).starting_included
