"""Normal forms of variants, held against bcftools and against sequences made by hand."""

from pathlib import Path

import numpy as np
import pysam
import pysam.bcftools
import pytest

from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason, normalised, variants_of

RANDOM = np.random.default_rng(3)
CONTIGS = {
    # Repeats of few letters, so that many insertions and deletions have other places.
    "chr1": "".join(RANDOM.choice(list("AC"), 60)) + "CAG" * 20 + "A" * 700 + "".join(RANDOM.choice(list("ACGT"), 60)),
    "chr2": "AAAACCC",
}


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in CONTIGS.items()))
    return Genome(path)


def random_variants(count: int, seed: int) -> list[Variant]:
    random, variants = np.random.default_rng(seed), []
    while len(variants) < count:
        contig = str(random.choice(list(CONTIGS)))
        letters = CONTIGS[contig]
        position = int(random.integers(0, len(letters)))
        reference = letters[position : position + int(random.integers(1, 7))]
        alternative = "".join(random.choice(list("AC" if random.random() < 0.7 else "ACGT"), random.integers(1, 7)))
        if reference != alternative:
            variants.append(Variant(contig, position, reference, alternative))
    return variants


def applied(variant: Variant) -> str:
    letters = CONTIGS[variant.contig]
    end = variant.position + len(variant.reference)
    assert letters[variant.position : end] == variant.reference
    return letters[: variant.position] + variant.alternative + letters[end:]


def test_the_normal_form_is_that_of_bcftools(genome: Genome, tmp_path: Path) -> None:
    variants = random_variants(600, seed=0)
    header = "".join(f"##contig=<ID={name},length={len(letters)}>\n" for name, letters in CONTIGS.items())
    lines = "".join(
        f"{v.contig}\t{v.position + 1}\t{number}\t{v.reference}\t{v.alternative}\t.\t.\t.\n"
        for number, v in enumerate(variants)
    )
    path, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    path.write_text(f"##fileformat=VCFv4.2\n{header}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{lines}")
    pysam.bcftools.norm("-f", str(genome.path), "-o", str(out), str(path), catch_stdout=False)
    theirs = {}
    with pysam.VariantFile(str(out)) as file:
        for record in file:
            (alternative,) = record.alts or ("",)
            theirs[int(record.id or "")] = (record.contig, record.pos - 1, record.ref, alternative)
    assert len(theirs) == len(variants)
    different = 0
    for number, variant in enumerate(variants):
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        assert applied(form) == applied(variant)
        if form.position == 0 and not form.is_substitution:
            # bcftools leaves what starts a contig as it is written.
            continue
        ours = (form.contig, form.position, form.reference, form.alternative)
        assert ours == theirs[number], variant
        different += ours[1:] != (variant.position, variant.reference, variant.alternative)
    assert different > 200


def test_one_sequence_has_one_form(genome: Genome) -> None:
    forms: dict[tuple[str, str], Variant] = {}
    for variant in random_variants(3000, seed=1):
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        assert forms.setdefault((form.contig, applied(variant)), form) == form
        assert normalised(form, genome) == form
    assert len(forms) < 2500


@pytest.mark.parametrize(
    ("position", "reference", "alternative", "form"),
    [
        (3, "A", "AA", "chr2:1:A:AA"),
        (0, "AA", "A", "chr2:1:AA:A"),
        (0, "A", "GA", "chr2:1:A:GA"),
        (0, "A", "AG", "chr2:1:A:AG"),
        (0, "AAAAC", "C", "chr2:1:AAAAC:C"),
        (6, "C", "CC", "chr2:4:A:AC"),
        (5, "CC", "C", "chr2:4:AC:A"),
        (2, "aac", "agc", "chr2:4:A:G"),
        (2, "AAC", "AGT", "chr2:4:AC:GT"),
        (2, "AACC", "AGC", "chr2:4:AC:G"),
    ],
)
def test_forms_worked_by_hand(genome: Genome, position: int, reference: str, alternative: str, form: str) -> None:
    assert str(normalised(Variant("chr2", position, reference, alternative), genome)) == form


def test_a_deletion_within_a_long_repeat_moves_to_its_start(genome: Genome) -> None:
    start = CONTIGS["chr1"].index("A" * 100)
    form = normalised(Variant("chr1", start + 600, "AAA", "A"), genome)
    assert isinstance(form, Variant)
    assert (form.position, form.reference, form.alternative) == (start - 1, "GAA", "G")


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (Variant("chr2", 0, "A", "."), VariantReason.NO_ALTERNATIVE),
        (Variant("chr2", 0, "A", "*"), VariantReason.OVERLAPPING_DELETION),
        (Variant("chr2", 0, "A", "<DEL>"), VariantReason.SYMBOLIC),
        (Variant("chr2", 0, "A", "<NON_REF>"), VariantReason.SYMBOLIC),
        (Variant("chr2", 0, "A", "A[chr1:3["), VariantReason.BREAKEND),
        (Variant("chr2", 0, "A", "]chr1:3]A"), VariantReason.BREAKEND),
        (Variant("chr2", 0, "A", ".T"), VariantReason.BREAKEND),
        (Variant("chr2", 0, "A", "N"), VariantReason.OTHER_LETTERS),
        (Variant("chr2", 0, "A", ""), VariantReason.OTHER_LETTERS),
        (Variant("chr2", 0, "R", "A"), VariantReason.OTHER_LETTERS),
        (Variant("chr2", 0, ".", "A"), VariantReason.OTHER_LETTERS),
        (Variant("chr2", 0, "A", "a"), VariantReason.NO_CHANGE),
        (Variant("2", 0, "A", "C"), VariantReason.NO_CONTIG),
        (Variant("chr2", -1, "A", "C"), VariantReason.OFF_CONTIG),
        (Variant("chr2", 7, "A", "C"), VariantReason.OFF_CONTIG),
        (Variant("chr2", 6, "CA", "C"), VariantReason.OFF_CONTIG),
        (Variant("chr2", 4, "A", "C"), VariantReason.REF_MISMATCH),
        (Variant("chr2", 4, "A", "T"), VariantReason.REF_MISMATCH),
    ],
)
def test_what_has_no_effect_has_a_reason(genome: Genome, variant: Variant, reason: VariantReason) -> None:
    form = normalised(variant, genome)
    assert isinstance(form, SetAside)
    assert form.reason == reason


def test_details_name_what_was_found(genome: Genome) -> None:
    mismatch = normalised(Variant("chr2", 4, "A", "T"), genome)
    contig = normalised(Variant("2", 4, "A", "T"), genome)
    assert isinstance(mismatch, SetAside)
    assert isinstance(contig, SetAside)
    assert mismatch.detail == "the genome has C"
    assert contig.detail == "contig '2' is not in genome.fa, which has 'chr2'; use one name for both"


def test_records_are_split_by_allele() -> None:
    class Record:
        contig, pos, id, ref, alts = "chr1", 5, "rs1;rs2", "A", ("C", "*", "AT")

    assert [str(variant) for variant in variants_of(Record())] == ["chr1:5:A:C", "chr1:5:A:*", "chr1:5:A:AT"]
    Record.alts = None  # type: ignore[assignment]
    assert list(variants_of(Record())) == [Variant("chr1", 4, "A", ".", "rs1;rs2")]
