"""Rows of a table of effects: one for each allele, as tab-separated text."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution_bench.errors import OutputError
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason
from attribution_bench.variants.effects import Column
from attribution_bench.variants.score import VariantScore

ALLELE_COLUMNS = ("chromosome", "position", "id", "ref", "alt", "variant", "set_aside")
"""Position is 1-based; ``variant`` is the normal form, ``set_aside`` the reason where there are no effects."""
NOTHING, MISSING = ".", "NA"


@dataclass(frozen=True)
class Row:
    """One allele in a table."""

    variant: Variant
    normalised: str | None
    reason: VariantReason | None
    effects: tuple[str, ...]
    """Numbers as they are written; ``NA`` where one does not exist."""

    def score(self, columns: Sequence[Column]) -> VariantScore:
        """Return the row as the score that it was written from, which is written as the same text.

        Raises
        ------
        ValueError
            The row is none of these columns.
        """
        form = None
        if self.normalised is not None:
            contig, position, reference, alternative = self.normalised.rsplit(":", 3)
            form = Variant(contig, int(position) - 1, reference, alternative, self.variant.name)
        if self.reason is not None:
            return VariantScore(self.variant, form, {}, SetAside(self.reason))
        pairs = list(zip(columns, self.effects, strict=True))
        labels = {column.name: text for column, text in pairs if column.kind == "String"}
        numbers = {c.name: math.nan if text == MISSING else float(text) for c, text in pairs if c.name not in labels}
        return VariantScore(self.variant, form, numbers, labels=labels)


def header_line(columns: Sequence[Column]) -> str:
    """Return the first line of a table, with its end."""
    return "\t".join((*ALLELE_COLUMNS, *(column.name for column in columns))) + "\n"


def is_table(path: Path) -> bool:
    """Tell whether a file begins as a table of effects does, of whatever effects; an empty one may become a table."""
    fixed = "\t".join(ALLELE_COLUMNS).encode()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.read(len(fixed))
    return fixed.startswith(first)


def row_line(score: VariantScore, columns: Sequence[Column]) -> str:
    """Return the line of an allele, with its end."""
    variant = score.variant
    fixed = (
        variant.contig,
        str(variant.position + 1),
        variant.name or NOTHING,
        variant.reference,
        variant.alternative,
        NOTHING if score.normalised is None else str(score.normalised),
        NOTHING if score.set_aside is None else score.set_aside.reason.value,
    )
    if score.set_aside is not None:
        return "\t".join((*fixed, *[MISSING] * len(columns))) + "\n"
    texts = (
        score.labels[column.name] if column.kind == "String" else number_text(score.effects[column.name], column)
        for column in columns
    )
    return "\t".join((*fixed, *texts)) + "\n"


def number_text(value: float, column: Column) -> str:
    """Return a number as tables write it: every digit, ``NA`` where there is none."""
    if not math.isfinite(value):
        return MISSING
    return str(int(value)) if column.kind == "Integer" else repr(value)


def parsed_row(line: str) -> Row:
    """Return a line of a table; raises ValueError where it is none."""
    if not line.endswith("\n"):
        raise ValueError("its last line has no end")
    contig, position, name, reference, alternative, form, reason, *effects = line[:-1].split("\t")
    variant = Variant(contig, int(position) - 1, reference, alternative, "" if name == NOTHING else name)
    return Row(
        variant,
        None if form == NOTHING else form,
        None if reason == NOTHING else VariantReason(reason),
        tuple(effects),
    )


def read_effects(path: Path) -> Iterator[Row]:
    """Yield the rows of a table of effects.

    Raises
    ------
    OutputError
        The file cannot be read or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            next(file, None)
            for line in file:
                yield parsed_row(line)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot read {path} as a table of effects: {error}") from error
