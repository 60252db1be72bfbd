"""Variants are scored on their genes' strands, with N beyond them, as a model alone predicts of such sequences."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences import Genes
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason, normalised
from attribution_bench.variants import (
    ProfileEffects,
    ScalarEffects,
    ScoringOptions,
    SplicingEffects,
    score_variants,
    variant_scorer,
)
from attribution_bench.variants.cautions import of_genes
from attribution_bench.variants.effects import Effects
from attribution_bench.variants.job import score_vcf
from attribution_bench.variants.rows import read_effects
from attribution_bench.variants.score import VariantScore
from attribution_bench.variants.summary import Summary
from attribution_bench.variants.windows import Alleles, Placing, place
from variants_by_hand import LENGTH, random_variants

CROPPED, DISTANCE = 5, 9
"""Positions at either end of the window that the model has no output for, and letters that are looked at."""
COMPLEMENT = str.maketrans("ACGT", "TGCA")
KINDS = ("gain", "loss")
EFFECTS = SplicingEffects({"acceptor": 1, "donor": 2}, "classes", DISTANCE)
GENES = {"PLUS": ("+", 20, 130), "MINUS, of many": ("-", 100, 260), "SHORT": ("+", 310, 340)}
"""Name -> strand and range on chr1."""


@pytest.fixture(scope="module")
def genes(tmp_path_factory: pytest.TempPathFactory) -> Genes:
    path = tmp_path_factory.mktemp("genes") / "genes.txt"
    lines = [f"{name}\t1\t{strand}\t{start}\t{end}\t{start},\t{end}," for name, (strand, start, end) in GENES.items()]
    path.write_text("\n".join(["#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END", *lines]) + "\n")
    return Genes(path)


def gains_and_losses(
    in_full: Callable[[list[str]], dict[str, np.ndarray]], variant: Variant, letters: str, gene: str
) -> dict[str, float]:
    """Effects of a substitution in a gene, by the model alone."""
    strand, start, end = GENES[gene]
    before, after = (
        letters[: variant.position] + allele + letters[variant.position + len(allele) :]
        for allele in (variant.reference, variant.alternative)
    )
    window = range(variant.position - LENGTH // 2, variant.position - LENGTH // 2 + LENGTH)
    texts = ["".join(text[p] if start <= p < end else "N" for p in window) for text in (before, after)]
    if strand == "-":
        texts = [text.translate(COMPLEMENT)[::-1] for text in texts]
    classes = in_full(texts)["classes"][..., :: -1 if strand == "-" else 1]
    offsets = np.arange(CROPPED, LENGTH - CROPPED) - LENGTH // 2
    change = (classes[1] - classes[0])[:, np.abs(offsets) <= DISTANCE]
    return {
        f"{name}_{kind}": float((sign * change[place]).max())
        for name, place in (("acceptor", 1), ("donor", 2))
        for kind, sign in (("gain", 1), ("loss", -1))
    }


def test_a_variant_is_scored_in_its_gene_of_several_in_that_of_the_largest_effect(
    profiles: torch.nn.Module,
    in_full: Callable[[list[str]], dict[str, np.ndarray]],
    genome: Genome,
    genes: Genes,
) -> None:
    letters, method = genome.fetch("chr1", 0, 400), ab.get_method("fastism")(profiles, min_speedup=0)
    variants = [variant for variant in random_variants(genome, "chr1", 160, seed=4) if variant.is_substitution]
    seen = dict.fromkeys((*GENES, "none", "two"), 0)
    for share_within in (0, 15):  # of 24 letters that the output has after the middle one, 9 are looked at
        scores = score_variants(
            method, variants, genome, length=LENGTH, effects=EFFECTS, genes=genes, share_within=share_within
        )
        for variant, score in zip(variants, scores, strict=True):
            form = normalised(variant, genome)
            assert isinstance(form, Variant)
            within = [name for name, (_, start, end) in GENES.items() if start <= variant.position < end]
            if not within:
                assert score.set_aside is not None
                assert (score.set_aside.reason, dict(score.labels)) == (VariantReason.NO_GENE, {})
                seen["none"] += 1
                continue
            expected = {name: gains_and_losses(in_full, form, letters, name) for name in within}
            largest = max(within, key=lambda name: max(expected[name].values()))
            assert score.labels == {"gene": largest, "strand": GENES[largest][0]}
            for name, value in expected[largest].items():
                assert score.effects[name] == pytest.approx(value, abs=1e-10)
            seen[largest] += 1
            seen["two"] += len(within) > 1
    assert min(seen.values()) > 2


def test_genes_are_looked_up_where_a_variant_is_written(
    profiles: torch.nn.Module, genome: Genome, genes: Genes
) -> None:
    """As SpliceAI does: one deletion of a gene's first letter, written with the letter before it and the one after."""
    letters = genome.fetch("chr1", 0, 400)
    for gene, (strand, start, _) in GENES.items():
        before = Variant("chr1", start - 1, letters[start - 1 : start + 1], letters[start - 1])
        after = Variant("chr1", start, letters[start : start + 2], letters[start + 1])
        assert normalised(before, genome) == normalised(after, genome)
        outside, inside = score_variants(
            profiles, [before, after], genome, length=LENGTH, effects=EFFECTS, genes=genes, largest_unknown_share=1
        )
        assert outside.labels.get("gene") != gene
        overlapping = [name for name, (_, first, last) in GENES.items() if first <= start < last]
        assert inside.labels["gene"] in overlapping
        if len(overlapping) == 1:
            assert inside.labels["strand"] == strand
            assert outside.set_aside is not None
            assert outside.set_aside.reason == VariantReason.NO_GENE


def outputs_in_gene(
    in_full: Callable[[list[str]], dict[str, np.ndarray]], form: Variant, letters: str, gene: str
) -> dict[str, np.ndarray]:
    """Both alleles' outputs in a gene, by the model alone: letters beyond it are N, but for those of both alleles."""
    strand, start, end = GENES[gene]
    within = "".join(letter if start <= place < end else "N" for place, letter in enumerate(letters))
    after, padding = form.position + len(form.reference), "N" * LENGTH
    common, texts = min(len(form.reference), len(form.alternative)), []
    reference = form.reference[:common] + within[form.position + common : after]
    for allele in (reference, form.alternative):
        text = padding + within[: form.position] + allele + within[after:] + padding
        window = text[LENGTH + form.position - LENGTH // 2 :][:LENGTH]
        texts.append(window.translate(COMPLEMENT)[::-1] if strand == "-" else window)
    return in_full(texts)


def test_an_effect_is_the_same_whatever_else_is_in_the_file(
    profiles: torch.nn.Module,
    in_full: Callable[[list[str]], dict[str, np.ndarray]],
    genome: Genome,
    genes: Genes,
) -> None:
    """Deletions over the end of a gene keep letters of the reference there, which others of their window have not."""
    letters = genome.fetch("chr1", 0, 400)
    for gene, last in (("PLUS", 129), ("MINUS, of many", 259), ("SHORT", 339)):
        deletion = normalised(Variant("chr1", last - 1, letters[last - 1 : last + 5], letters[last - 1]), genome)
        assert isinstance(deletion, Variant)
        at = deletion.position
        assert at <= last < at + len(deletion.reference) - 1
        substitutions = [Variant("chr1", at, letters[at], other) for other in "ACGT" if other != letters[at]]
        wider = Variant("chr1", at, letters[at : at + 4], letters[at + 1 : at + 4] + letters[at])
        one_gene = [name for name, (_, start, end) in GENES.items() if start <= at < end]
        for variants in ([deletion, *substitutions, wider], [*substitutions, wider, deletion], [wider], [deletion]):
            scores = score_variants(profiles, variants, genome, length=LENGTH, target="count", genes=genes)
            for variant, score in zip(variants, scores, strict=True):
                form = normalised(variant, genome)
                assert isinstance(form, Variant)
                if gene == score.labels["gene"]:
                    before, after = outputs_in_gene(in_full, form, letters, gene)["count"][:, 0]
                    found = [score.effects[f"{allele}_prediction"] for allele in ("reference", "alternative")]
                    assert found == pytest.approx([before, after], abs=1e-10)
                else:
                    assert len(one_gene) > 1


@pytest.mark.parametrize("last", [129, 259, 339], ids=["PLUS", "MINUS", "SHORT"])
def test_deletions_over_the_end_of_a_gene_are_spliceais(
    last: int,
    profiles: torch.nn.Module,
    in_full: Callable[[list[str]], dict[str, np.ndarray]],
    genome: Genome,
    genes: Genes,
) -> None:
    """SpliceAI's reference has N beyond the gene also for deleted letters; the one before them stays in both."""
    letters, half = genome.fetch("chr1", 0, 400), LENGTH // 2
    variants = [
        Variant("chr1", at, letters[at : at + length], letters[at])
        for at in range(last - 2, last + 1)
        for length in (2, 4, 7, 10)
    ]
    scores = list(score_variants(profiles, variants, genome, length=LENGTH, effects=EFFECTS, genes=genes))
    for variant, score in zip(variants, scores, strict=True):
        at, length, expected = variant.position, len(variant.reference), {}
        for name, (strand, start, end) in GENES.items():
            if not start <= at < end:
                continue
            window = "".join(letters[p] if start <= p < end else "N" for p in range(at - half, at + half + length))
            texts = window[:LENGTH], (window[:half] + variant.alternative + window[half + length :])[:LENGTH]
            turned = [text.translate(COMPLEMENT)[::-1] if strand == "-" else text for text in texts]
            before, after = in_full(turned)["classes"][..., :: -1 if strand == "-" else 1]
            middle = half - CROPPED
            lost = np.zeros((3, length - 1))
            after = np.concatenate([after[:, : middle + 1], lost, after[:, middle + 1 :]], 1)[:, : before.shape[1]]
            change = (after - before)[:, middle - DISTANCE : middle + DISTANCE + 1]
            expected[name] = {
                f"{site}_{kind}": (sign * change[place]).max()
                for site, place in EFFECTS.classes.items()
                for kind, sign in (("gain", 1), ("loss", -1))
            }
        largest = max(expected, key=lambda name: max(expected[name].values()))
        found = {name: value for name, value in score.effects.items() if not name.endswith("offset")}
        assert (score.labels["gene"], found) == (largest, pytest.approx(expected[largest], abs=1e-10))


def size_of(effects: Effects, outputs: dict[str, np.ndarray]) -> tuple[str, float]:
    """The column that says how large effects of a substitution are, and its value, of both alleles' outputs."""
    (before, after), profile = outputs["count"][:, 0], softmax(outputs["profile"].reshape(2, -1), axis=1)
    if isinstance(effects, ScalarEffects):
        return "delta", after - before
    if effects.counts is None:  # type: ignore[attr-defined]
        return "jsd", jensenshannon(*profile, base=2)
    return "logfc", (after - before) / np.log(2)


@pytest.mark.parametrize(
    "effects",
    [ScalarEffects("count"), ProfileEffects("profile", "count"), ProfileEffects("profile")],
    ids=["delta", "logfc", "jsd"],
)
def test_of_several_genes_the_one_of_the_largest_effect_counts_not_of_the_largest_prediction(
    effects: Effects,
    profiles: torch.nn.Module,
    in_full: Callable[[list[str]], dict[str, np.ndarray]],
    genome: Genome,
    genes: Genes,
) -> None:
    letters, both, other = genome.fetch("chr1", 0, 400), ("PLUS", "MINUS, of many"), 0
    variants = [Variant("chr1", at, letters[at], "ACGT"[("ACGT".index(letters[at]) + 1) % 4]) for at in range(100, 130)]
    scores = score_variants(profiles, variants, genome, length=LENGTH, effects=effects, genes=genes)
    for variant, score in zip(variants, scores, strict=True):
        outputs = {gene: outputs_in_gene(in_full, variant, letters, gene) for gene in both}
        sizes = {gene: size_of(effects, outputs[gene]) for gene in both}
        largest = max(both, key=lambda gene: abs(sizes[gene][1]))
        name, value = sizes[largest]
        assert score.labels["gene"] == largest
        assert score.effects[name] == pytest.approx(value, abs=1e-7)
        other += largest != max(both, key=lambda gene: np.abs(outputs[gene]["count"]).max())
    assert 2 < other < len(variants)


def test_letters_beyond_a_gene_are_unknown_also_where_alleles_move_them(genome: Genome, genes: Genes) -> None:
    placed = {}
    for alternative in ("", "ACGTAC"):
        reference = genome.fetch("chr1", 119, 126) if not alternative else genome.fetch("chr1", 119, 120)
        variant = Variant("chr1", 119, reference, reference[0] + alternative)
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        alleles = place(form, genome, Placing(LENGTH))
        assert isinstance(alleles, Alleles)
        masked = alleles.masked(100, 130)
        for whole, text, moved in (
            (alleles.reference, masked.reference, 0),
            (alleles.alternative, masked.alternative, len(form.reference) - len(form.alternative)),
        ):
            low, high = 100 - alleles.window[1], 130 - alleles.window[1] - moved
            assert text == "N" * low + whole[low:high] + "N" * (LENGTH - high)
        placed[alternative] = masked
    turned = placed["ACGTAC"].reverse_complement
    assert turned.reference == placed["ACGTAC"].reference.translate(COMPLEMENT)[::-1]


def test_tables_and_annotated_files_name_the_gene(
    profiles: torch.nn.Module, genome: Genome, genes: Genes, tmp_path: Path
) -> None:
    letters = genome.fetch("chr1", 0, 400)
    lines = [
        f"chr1\t{p + 1}\t.\t{letters[p]}\t{'ACGT'[('ACGT'.index(letters[p]) + 1) % 4]}\t.\t.\t." for p in (50, 5, 200)
    ]
    vcf = tmp_path / "few.vcf"
    vcf.write_text("##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    with vcf.open("a") as file:
        file.write("\n".join(lines) + "\n")
    scorer = variant_scorer(profiles, genome, ScoringOptions(LENGTH, EFFECTS, genes=genes))
    summary = score_vcf(scorer, vcf, tmp_path / "few.tsv", annotated=tmp_path / "few.annotated.vcf")
    assert (summary.scored, summary.set_aside) == (2, {VariantReason.NO_GENE: 1})
    header, *rows = (line.split("\t") for line in (tmp_path / "few.tsv").read_text().splitlines())
    assert header[6:10] == ["set_aside", "gene", "strand", "acceptor_gain"]
    assert [row[6:9] for row in rows] == [[".", "PLUS", "+"], ["in no gene", "NA", "NA"], [".", "MINUS, of many", "-"]]
    annotated = (tmp_path / "few.annotated.vcf").read_text()
    assert '##INFO=<ID=AB_gene,Number=A,Type=String,Description="Gene whose strand is scored"' in annotated
    assert "AB_gene=MINUS__of_many;AB_strand=-;AB_acceptor_gain=" in annotated
    again = [row.score(scorer.columns) for row in read_effects(tmp_path / "few.tsv")]
    assert [score.labels.get("gene") for score in again] == ["PLUS", None, "MINUS, of many"]
    assert score_vcf(scorer, vcf, tmp_path / "few.tsv").kept == 3
    settings = json.loads((tmp_path / "few.tsv.json").read_text())
    assert (settings["genes"], settings["strand"]) == ("genes.txt", "of the gene")
    # The same genes under another name are the same.
    named = variant_scorer(profiles, genome, ScoringOptions(LENGTH, EFFECTS, genes=Genes(genes.path, "of the lab")))
    assert score_vcf(named, vcf, tmp_path / "few.tsv").kept == 3
    assert of_genes(named.options.genes, summary) is None
    other = variant_scorer(profiles, genome, ScoringOptions(LENGTH, EFFECTS))
    with pytest.raises(InvalidInputError, match=r"genes_sha256|of other settings"):
        score_vcf(other, vcf, tmp_path / "few.tsv")


def test_masked_scores_are_counted_whoever_computed_them(
    profiles: torch.nn.Module, genome: Genome, genes: Genes, tmp_path: Path
) -> None:
    """Those of this run, of a table that is complete, and of one that was begun."""
    vcf, table = tmp_path / "some.vcf", tmp_path / "some.tsv"
    letters, header = genome.fetch("chr1", 0, 400), "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n"
    changed = ((p, "ACGT"[("ACGT".index(letters[p]) + 1) % 4]) for p in (5, *range(20, 140)))
    records = "".join(f"chr1\t{p + 1}\t.\t{letters[p]}\t{other}\t.\t.\t.\n" for p, other in changed)
    vcf.write_text(f"{header}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{records}")
    effects = SplicingEffects({"acceptor": 1, "donor": 2}, "classes", DISTANCE, masked=True)
    scorer = variant_scorer(profiles, genome, ScoringOptions(LENGTH, effects, genes=genes))
    counted = [score_vcf(scorer, vcf, table).masked for _ in range(2)]
    scores = [row.score(scorer.columns).effects for row in read_effects(table)]
    zeros = sum(found.get(f"{name}_{kind}") == 0 for found in scores for name in effects.classes for kind in KINDS)
    kept = sum(found[f"{name}_{kind}"] != 0 for found in scores if found for name in effects.classes for kind in KINDS)
    table.rename(tmp_path / "some.tsv.partial")
    counted.append(score_vcf(scorer, vcf, table).masked)
    assert counted == [zeros] * 3
    assert min(zeros, kept) > 10
    plain = variant_scorer(profiles, genome, ScoringOptions(LENGTH, EFFECTS, genes=genes))
    assert score_vcf(plain, vcf, tmp_path / "plain.tsv").masked is None


@pytest.mark.parametrize(
    ("scored", "outside", "said"), [(1, 9, "90% of"), (0, 1, "100% of"), (2, 9, None), (1, 0, None), (0, 0, None)]
)
def test_nearly_all_alleles_in_no_gene_is_told(genes: Genes, scored: int, outside: int, said: str | None) -> None:
    set_aside = {VariantReason.NO_GENE: outside, VariantReason.REF_MISMATCH: 20}
    summary = Summary(scored=scored, set_aside=Counter(set_aside))
    told = of_genes(genes, summary)
    if said is None:
        assert told is None
    else:
        assert told is not None
        assert f"{said} the alleles lie in no gene of genes.txt: its genes may be of another assembly" in told
    assert of_genes(None, summary) is None


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("kind", ["gain", "loss"])
def test_masked_scores_leave_gains_elsewhere_and_losses_at_the_nearest_boundary(
    kind: str, strand: str, profiles: torch.nn.Module, genome: Genome, tmp_path: Path
) -> None:
    """An exon ends where the unmasked score is; or it ends a letter further on."""
    letters, at, path = genome.fetch("chr1", 0, 400), 200, tmp_path / "genes.txt"
    variant = Variant("chr1", at, letters[at], "ACGT"[("ACGT".index(letters[at]) + 1) % 4])

    def scores(last: int, *, masked: bool) -> dict[str, float]:
        exons = f"chr1\t{strand}\t20\t380\t20,\t{last + 1},"
        path.write_text(f"#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\nG\t{exons}\n")
        effects = SplicingEffects({"donor": 2}, "classes", DISTANCE, masked=masked)
        (score,) = score_variants(profiles, [variant], genome, length=LENGTH, effects=effects, genes=Genes(path))
        return dict(score.effects)

    plain = scores(at, masked=False)
    assert min(plain["donor_gain"], plain["donor_loss"]) > 0
    assert plain["donor_gain_offset"] != plain["donor_loss_offset"]
    place = at + int(plain[f"donor_{kind}_offset"])
    of_gain = {**plain, "donor_gain": 0.0, "donor_loss": 0.0}
    assert scores(place, masked=True) == (of_gain if kind == "gain" else plain)
    further = next(p for p in (place + 1, place - 1) if p - at != plain["donor_loss_offset"])
    expected = {**plain, "donor_loss": 0.0}
    if further - at == plain["donor_gain_offset"]:
        expected["donor_gain"] = 0.0
    assert scores(further, masked=True) == expected
    with pytest.raises(InvalidInputError, match="masked scores are by the exons of genes"):
        ScoringOptions(LENGTH, SplicingEffects({"donor": 2}, masked=True))


def test_masked_scores_are_not_of_genes_without_exons(
    profiles: torch.nn.Module, genome: Genome, tmp_path: Path
) -> None:
    letters, path = genome.fetch("chr1", 0, 400), tmp_path / "genes.txt"
    header = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n"
    bare, known = "BARE\tchr1\t+\t20\t380\t\t\n", "KNOWN\tchr1\t+\t20\t300\t20,\t201,\n"
    variants = [Variant("chr1", at, letters[at], "ACGT"[("ACGT".index(letters[at]) + 1) % 4]) for at in (10, 200, 330)]

    def scored(table: str, *, masked: bool) -> list[VariantScore]:
        path.write_text(header + table)
        effects = SplicingEffects({"donor": 2}, "classes", DISTANCE, masked=masked)
        return [*score_variants(profiles, variants, genome, length=LENGTH, effects=effects, genes=Genes(path))]

    outside, both, alone = scored(bare + known, masked=True)
    assert outside.set_aside == SetAside(VariantReason.NO_GENE)
    assert (both.labels["gene"], both.effects) == ("KNOWN", scored(known, masked=True)[1].effects)
    assert (alone.set_aside, dict(alone.effects)) == (SetAside(VariantReason.NO_EXONS, "BARE"), {})
    assert [score.labels.get("gene") for score in scored(bare, masked=False)] == [None, "BARE", "BARE"]


def test_genes_and_a_strand_are_refused(genes: Genes) -> None:
    with pytest.raises(InvalidInputError, match="the strand is that of the genes; leave strand='-' out"):
        ScoringOptions(LENGTH, EFFECTS, genes=genes, strand="-")
