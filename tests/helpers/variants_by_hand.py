"""Variants all along a contig, and both alleles of one in its window, spliced by hand."""

import numpy as np

from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import Variant

LENGTH = 60


def contig_letters(genome: Genome, contig: str) -> str:
    return genome.fetch(contig, 0, genome.length(contig))


def random_variants(genome: Genome, contig: str, count: int, seed: int = 0) -> list[Variant]:
    """Substitutions, insertions and deletions of up to five letters, all along a contig."""
    random, letters, variants = np.random.default_rng(seed), contig_letters(genome, contig), []
    while len(variants) < count:
        position = int(random.integers(0, len(letters)))
        if random.random() < 0.5:
            reference = letters[position]
            alternative = str(random.choice([letter for letter in "ACGT" if letter != reference]))
        else:
            reference = letters[position : position + int(random.integers(1, 6))]
            alternative = "".join(random.choice(list("ACGT"), random.integers(1, 6)))
        if reference != alternative and set(reference) <= set("ACGT"):
            variants.append(Variant(contig, position, reference, alternative))
    return variants


def spliced(genome: Genome, variant: Variant, middle: int) -> tuple[str, str]:
    """Windows of both alleles about a position, cut from the contig and from the contig with the variant in it."""
    letters = contig_letters(genome, variant.contig)
    end = variant.position + len(variant.reference)
    with_variant = letters[: variant.position] + variant.alternative + letters[end:]
    padding, start = "N" * LENGTH, middle - LENGTH // 2 + LENGTH
    return tuple((padding + text + padding)[start : start + LENGTH] for text in (letters, with_variant))
