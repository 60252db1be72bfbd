"""The example files hold what they say."""

from pathlib import Path

import pysam

from attribution_bench.sequences import lambda_windows
from attribution_bench.sequences.examples import NAMES, write_examples
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.regions import Windows, default_anchor, read_regions


def test_the_examples_are_those_of_the_genome(tmp_path: Path) -> None:
    paths = {path.name: path for path in write_examples(tmp_path / "new")}
    assert tuple(paths) == NAMES
    index = paths["genome.fa.fai"].read_bytes()
    with Genome(paths["genome.fa"]) as genome:
        (contig,) = genome.contigs
        letters = genome.fetch(contig, 0, genome.contigs[contig])
        whole = lambda_windows(48_502, count=1)
        assert whole.strings[0].startswith(letters)
        assert whole.names[0].startswith(f"{contig}:")
        for name, scored in (("regions.bed", 11), ("peaks.narrowPeak", 6)):
            source = read_regions(paths[name], genome, Windows(200, default_anchor(paths[name])))
            assert sum(record.reason is None for record in source.read(0, len(source))) == scored
    assert paths["genome.fa.fai"].read_bytes() == index
    with pysam.VariantFile(str(paths["variants.vcf"])) as file:
        wrong = [record.id for record in file if letters[record.start : record.stop] != record.ref]
    assert wrong == ["wrong_reference"]
