"""Sequences: alphabets and one-hot coding, FASTA, genomic intervals, shuffles, and the bundled lambda phage windows."""

from attribution_bench.sequences.alphabet import ALPHABETS, DNA, PROTEIN, RNA, Alphabet
from attribution_bench.sequences.fasta import Sequences, read_fasta, write_fasta
from attribution_bench.sequences.genes import Genes
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.interval import Interval
from attribution_bench.sequences.lambda_phage import lambda_windows
from attribution_bench.sequences.shuffle import dinucleotide_shuffle
from attribution_bench.sequences.tracks import Tracks

__all__ = [
    "ALPHABETS",
    "DNA",
    "PROTEIN",
    "RNA",
    "Alphabet",
    "Genes",
    "Genome",
    "Interval",
    "Sequences",
    "Tracks",
    "dinucleotide_shuffle",
    "lambda_windows",
    "read_fasta",
    "write_fasta",
]
