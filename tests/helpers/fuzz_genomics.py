"""Damaged files of genomes, regions and variants, for the fuzzer: fields, lines or bytes changed."""

import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pysam
import pysam.bcftools

from attribution_bench.models import OutputSpec
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.regions import Windows, default_anchor, parse_locus, read_regions
from attribution_bench.variants import ScalarEffects, ScoringOptions
from attribution_bench.variants.effects import ModelOutputs
from attribution_bench.variants.ensemble import EnsembleEffects
from attribution_bench.variants.further_inputs import FurtherInputs, ModelExtras
from attribution_bench.variants.job import score_vcf
from attribution_bench.variants.score import Member, VariantScorer
from attribution_bench.variants.windows import Alleles
from fuzz import changed_files

SHORT = 300
"""Cases of the short run: they are quick."""

EXAMPLES = Path(str(files("attribution_bench.sequences") / "data" / "examples"))
LENGTH = 64
FIELDS = (
    *("", ".", "*", "-", "-1", "0", "1", "9" * 9, "9" * 18, "9" * 40, "1e3", "0x10", "+", "NaN", "inf", "chr1", "A,C"),
    *(
        "<DEL>",
        "A[chr1:5[",
        "]chr1:5]A",
        "acgt",
        "ACGTN",
        "R",
        "A" * 5000,
        "AC,",
        ",",
        ";",
        "=",
        "é\u2028",
        "\x00",
        "#",
    ),
    *("track", "browser", "##contig=<ID=x", "\r", "\x0b", " ", "\\", '"', "%s", "1:2-3"),
)


class Zeros:
    """Predicts 0 for every allele."""

    def predict(
        self, alleles: Sequence[Alleles], keys: object, extras: object
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        return {"y": np.zeros(len(alleles))}, {"y": np.zeros(len(alleles))}


def scorer(genome: Genome) -> VariantScorer:
    effects = ScalarEffects("y").bind(ModelOutputs((OutputSpec("y", ()),), LENGTH, "NAL"))
    inputs = FurtherInputs({})
    member = Member(effects, Zeros(), ModelExtras(inputs, ()))  # type: ignore[arg-type]
    options = ScoringOptions(LENGTH, strand="both")
    return VariantScorer(genome, options, (member,), EnsembleEffects((effects,)), inputs)


def read_genome(path: Path) -> None:
    with Genome(path) as genome:
        for contig, length in genome.contigs.items():
            genome.fetch(contig, 0, min(length, 1000))
            genome.fetch_padded(contig, length - 10, length + 10)


def read_index(path: Path) -> None:
    shutil.copy(EXAMPLES / "genome.fa", path.with_suffix(""))
    read_genome(path.with_suffix(""))


def read_bed(path: Path) -> None:
    with Genome(EXAMPLES / "genome.fa") as genome:
        for windows in (Windows(LENGTH, default_anchor(path)), Windows(LENGTH, overhang="pad", stranded=True)):
            source = read_regions(path, genome, windows)
            for record in source.read(0, len(source)):
                assert (record.sequence is None) == (record.reason is not None)
                assert record.sequence is None or len(record.sequence) == LENGTH


def read_locus(path: Path) -> None:
    parse_locus(path.read_bytes().decode("utf-8", "surrogateescape"))


def read_vcf(path: Path) -> None:
    with Genome(EXAMPLES / "genome.fa") as genome:
        table, annotated = path.parent / "out.tsv", path.parent / "out.vcf"
        summary = score_vcf(scorer(genome), path, table, annotated=annotated, settings={}, restart=True)
        assert summary.total == (path.parent / "out.tsv").read_bytes().count(b"\n") - 1


def read_stopped(path: Path) -> None:
    shutil.copy(path, path.parent / "effects.tsv.partial")
    (path.parent / "effects.tsv.json").write_text("{}")
    with Genome(EXAMPLES / "genome.fa") as genome:
        score_vcf(scorer(genome), EXAMPLES / "variants.vcf", path.parent / "effects.tsv", settings={})


def examples(*names: str) -> Callable[[], Mapping[str, bytes]]:
    return lambda: {name: (EXAMPLES / name).read_bytes() for name in names}


def compressed() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("genome.fa", "variants.vcf"):
            pysam.tabix_compress(str(EXAMPLES / name), f"{folder}/{name}.gz")
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def binary() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        pysam.bcftools.view("-Ob", "-o", f"{folder}/x.bcf", str(EXAMPLES / "variants.vcf"), catch_stdout=False)
        return {"x.bcf": Path(folder, "x.bcf").read_bytes()}


def table() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder, Genome(EXAMPLES / "genome.fa") as genome:
        score_vcf(scorer(genome), EXAMPLES / "variants.vcf", Path(folder) / "x.tsv", settings={})
        return {"x.tsv": Path(folder, "x.tsv").read_bytes()}


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return contents with a field, a line or some bytes changed."""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        kind = chance.randrange(6)
        lines = content.split(b"\n")
        place = chance.randrange(len(lines))
        if kind < 3 and b"\t" in lines[place]:
            fields = lines[place].split(b"\t")
            fields[chance.randrange(len(fields))] = chance.choice(FIELDS).encode()
            lines[place] = b"\t".join(fields)
        elif kind == 3:
            lines[place] = chance.choice((b"", lines[chance.randrange(len(lines))], chance.choice(FIELDS).encode()))
        elif kind == 4:
            lines = lines[:place]
        else:
            data = bytearray(content)
            for _ in range(chance.choice((1, 1, 3, 20))):
                start = chance.randrange(len(data) + 1)
                data[start : start + chance.choice((0, 1, 1, 4, 100))] = chance.randbytes(chance.choice((0, 1, 1, 3)))
            content = bytes(data)
            continue
        content = b"\n".join(lines)
    return content


TARGETS = {
    "genome": changed_files(examples("genome.fa"), changed, read_genome, SHORT),
    "genome_bgzip": changed_files(lambda: {"genome.fa.gz": compressed()["genome.fa.gz"]}, changed, read_genome, SHORT),
    "genome_index": changed_files(examples("genome.fa.fai"), changed, read_index, SHORT),
    "regions": changed_files(examples("regions.bed", "peaks.narrowPeak"), changed, read_bed, SHORT),
    "locus": changed_files(lambda: {"locus": b"NC_001416.1:1,000-2,000"}, changed, read_locus, SHORT),
    "vcf": changed_files(examples("variants.vcf"), changed, read_vcf, SHORT),
    "vcf_bgzip": changed_files(lambda: {"variants.vcf.gz": compressed()["variants.vcf.gz"]}, changed, read_vcf, SHORT),
    "bcf": changed_files(binary, changed, read_vcf, SHORT),
    "stopped_table": changed_files(table, changed, read_stopped, SHORT),
}
"""Readers by their names."""
