"""Sequences: alphabets and one-hot coding, FASTA, shuffles, and the bundled lambda phage windows."""

from attribution_bench.sequences.alphabet import ALPHABETS, DNA, PROTEIN, RNA, Alphabet

__all__ = ["ALPHABETS", "DNA", "PROTEIN", "RNA", "Alphabet"]
