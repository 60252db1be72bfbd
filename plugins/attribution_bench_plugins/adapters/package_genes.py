"""Tables of genes that packages of splice site models have, as SpliceAI does: those of the genome that is given."""

from pathlib import Path

from attribution_bench.errors import ModelError
from attribution_bench.sequences import Genes, Genome
from attribution_bench_plugins.adapters.package_files import package_file

ANNOTATIONS = ("grch37", "grch38")
SPLICE_SITES = 0.8
"""Share of introns that begin and end as introns do, from which on genes are those of a genome."""


def package_genes(name: str, package: str, folder: str, genome: Genome, chosen: str | None) -> Genes | None:
    """Return the genes of a package for a genome, or those of a file; None where `chosen` is ``none``.

    Parameters
    ----------
    name
        The model's, for the message.
    package, folder
        The distribution, and where its tables are, from the folder of its module on.
    genome
        Whose splice sites say which table is meant.
    chosen
        ``grch37``, ``grch38``, a file, or ``none``; None to find out.

    Raises
    ------
    ModelError
        The genome has the splice sites of none of them, the package has no tables, or there is no such file.
    SequenceError
        The file is no table of genes.
    """
    if chosen == "none":
        return None
    if chosen is not None and chosen not in ANNOTATIONS:
        if not Path(str(chosen)).exists():
            raise ModelError(
                f"{name} has no genes {chosen}, and there is no such file; give {', '.join(ANNOTATIONS)}, none or a "
                "table of genes"
            )
        return Genes(str(chosen))  # the name of a file may be a number
    known = {each: Genes(package_file(package, f"{folder}/{each}.txt"), each) for each in ANNOTATIONS}
    if chosen is not None:
        return known[chosen]
    shares = {each: of_package.share_of_splice_sites(genome) for each, of_package in known.items()}
    best = max(shares, key=lambda each: shares[each] or 0)
    if (shares[best] or 0) < SPLICE_SITES:
        found = ", ".join(f"{each} {'no intron' if s is None else f'{s:.0%}'}" for each, s in shares.items())
        raise ModelError(
            f"{genome.path.name} has the splice sites of no genes of the package {package} ({found}); give "
            f"{name}?genes=grch37, grch38 or a file of genes of that form, or {name}?genes=none for the strand +"
        )
    return known[best]
