"""Cautions of a run over variants: warnings of methods, told once each in the job's own words."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from attribution_bench.errors import JobWarning, VariantWarning
from attribution_bench.foreign_warnings import OWN
from attribution_bench.sequences.genes import Genes
from attribution_bench.variants.options import ScoringOptions
from attribution_bench.variants.summary import Summary

NEARLY_ALL = 0.9
"""Share of alleles in no gene from which on the genes are suspected to be of another assembly."""
TOLD = (*OWN, JobWarning)
"""Warnings that say something of the numbers: of methods, and of effects."""


def of_strand(options: ScoringOptions) -> tuple[str, ...]:
    """Return what should be known where splice sites are scored on a strand that nobody chose."""
    if not options.as_written or options.genes is not None or options.strand is not None:
        return ()
    return (
        "splice sites are scored on the strand +, also where a variant's gene is on the strand -, whose sites are not "
        "seen so; give genes (--genes) for the strand of each variant's gene, or a strand (--strand)",
    )


def of_genes(genes: Genes | None, summary: Summary) -> str | None:
    """Return what should be known of a run in which nearly all alleles lie in no gene; None where they do not."""
    if genes is None or summary.share_in_no_gene < NEARLY_ALL:
        return None
    return (
        f"{summary.share_in_no_gene:.0%} of the alleles lie in no gene of {genes.name}: its genes may be of another "
        "assembly than the variants, or have other names for the contigs"
    )


def kind_of(message: Warning | str) -> str:
    """Return what a warning has in common with those that are told as one with it: all of its text by default."""
    return message.kind if isinstance(message, VariantWarning) else str(message)


@contextlib.contextmanager
def told(tell: Callable[[str], None]) -> Iterator[Callable[..., None]]:
    """Tell within the block what methods and effects warn of, each kind once; other warnings are shown as they were.

    Yields the function that tells a caution of the caller's own in the same way: it takes the text, and its kind where
    others are told as one with it.
    """
    kinds: set[str] = set()

    def once(text: str, kind: str = "") -> None:
        if (kind or text) not in kinds:
            kinds.add(kind or text)
            tell(text)

    with warnings.catch_warnings():
        for category in TOLD:
            warnings.simplefilter("always", category)
        former = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, TOLD):
                once(str(message), kind_of(message))
            else:
                former(message, category, *place, **more)

        warnings.showwarning = show
        yield once
