"""Windows of the genome of bacteriophage lambda, the sequences that come with the package."""

from importlib.resources import as_file, files

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.fasta import Sequences, read_fasta
from attribution_bench.sequences.interval import Interval

ACCESSION = "NC_001416.1"


def lambda_windows(length: int, count: int = 100) -> Sequences:
    """Return windows spread evenly over the genome of phage lambda (NC_001416.1, 48,502 bp), from its start to its end.

    Windows overlap where ``count * length`` exceeds the genome. Their names are half-open, 0-based ranges.

    Raises
    ------
    SequenceError
        The length does not lie in [1, 48,502], or the count is less than 1.
    """
    with as_file(files("attribution_bench.sequences") / "data" / "lambda_phage.fa.gz") as path:
        genome = read_fasta(path).strings[0]
    if not 1 <= length <= len(genome):
        raise SequenceError(f"the phage lambda genome has windows of 1 to {len(genome)} letters, not {length}")
    if count < 1:
        raise SequenceError(f"the number of windows must be at least 1, not {count}")
    starts = [(len(genome) - length) * index // max(count - 1, 1) for index in range(count)]
    return Sequences(
        tuple(f"{ACCESSION}:{start}-{start + length}" for start in starts),
        tuple(genome[start : start + length] for start in starts),
        f"phage lambda ({ACCESSION}), {count} windows of {length} bp",
        intervals=tuple(Interval(ACCESSION, start, start + length, "+") for start in starts),
    )
