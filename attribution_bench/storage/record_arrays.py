"""Names of a store's arrays: those that hold the records themselves, and those of the methods."""

import re

NAME, CHROMOSOME, START, END, STRAND = "sequence_name", "chromosome", "start", "end", "strand"
CONTIG_LENGTH = "contig_length"
SET_ASIDE, DETAIL, LETTERS = "set_aside", "set_aside_detail", "sequence_letters"
COORDINATES = (NAME, CHROMOSOME, START, END, STRAND, CONTIG_LENGTH, SET_ASIDE, DETAIL)
PENDING = "not scored yet"
"""The reason of a record whose shard is not done."""


def array_name(method: str, what: str) -> str:
    """Return the name of a method's array, in characters that a path takes: ``fastism_scores``."""
    return re.sub(r"[^\w.+-]", "_", f"{method}_{what}")
