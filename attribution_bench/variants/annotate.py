"""VCF files annotated with effects: what a table says of each allele, in the records' INFO and FILTER."""

import itertools
import os
import re
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.sequences.variants import VariantReason, variants_of
from attribution_bench.variants.effects import Column
from attribution_bench.variants.rows import MISSING, NOTHING, Row
from attribution_bench.variants.vcf import VcfFile

PREFIX = "AB_"
"""Of the names of everything that is added to a file."""
SOURCE = 'Source="attribution-bench"'
"""In the header's lines of what is added, so that a later annotation replaces it, and nothing of other programs."""
NAMED = re.compile(rf"##(?:INFO|FILTER)=<ID=({PREFIX}[^,>]*)[,>]")
SET_ASIDE = f"{PREFIX}set_aside"
SUFFIXES = (".vcf", ".vcf.gz")
FILTER, INFO = 6, 7
"""Columns of a record, 0-based."""


def check_annotated_path(path: Path) -> None:
    """Check that a file's name says in which form it is to be written; raises InvalidInputError."""
    if not path.name.endswith(SUFFIXES):
        raise InvalidInputError(f"an annotated file is {' or '.join(SUFFIXES)} (bgzip), not {path.name}")


def annotate(vcf: VcfFile, rows: Iterable[Row], columns: Sequence[Column], path: Path) -> None:
    """Write the records of a VCF file with the effects of their alleles, whole or not at all.

    Each column is a field of INFO with a number for each alternative allele. ``AB_set_aside`` names the reason where an
    allele has none; a record whose alleles are all set aside has their reasons in FILTER. Fields and filters of an
    earlier annotation are replaced; those of other programs stay, unless they have the very names that are written.

    Parameters
    ----------
    vcf
        The records, with their samples.
    rows
        Rows of the table for each allele of each record, in order.
    columns
        The numbers of each row.
    path
        ``.vcf``, or ``.vcf.gz`` for bgzip.

    Raises
    ------
    InvalidInputError
        The name says neither.
    SequenceError
        The records cannot be read.
    OutputError
        The file cannot be written, or the rows are those of other records.
    """
    check_annotated_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".annotated-") as folder:
            partial = Path(folder) / path.name
            with _opened(partial) as file:
                replaced = _replaced(vcf.header, columns)
                file.write(_header(vcf.header, columns, replaced).encode())
                for line in _lines(vcf, iter(rows), columns, replaced):
                    file.write(line.encode())
            os.replace(partial, path)
    except (InvalidInputError, OutputError):
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write") from error


def _opened(path: Path) -> Any:
    """Open a file for bytes, compressed with bgzip where its name says so."""
    import pysam

    return pysam.BGZFile(str(path), "wb", None) if path.name.endswith(".gz") else path.open("wb")


def _replaced(header: str, columns: Sequence[Column]) -> frozenset[str]:
    """Return the names of fields and filters that are written, or that an earlier annotation has written."""
    earlier = (NAMED.match(line) for line in header.splitlines() if SOURCE in line)
    own = (column.name for column in columns), (reason.name for reason in VariantReason)
    return frozenset(
        [SET_ASIDE, *(f"{PREFIX}{name}" for names in own for name in names), *(found[1] for found in earlier if found)]
    )


def _header(header: str, columns: Sequence[Column], replaced: Container[str]) -> str:
    """Return the header with a line for each field and filter that is added."""
    lines = ((line, NAMED.match(line)) for line in header.rstrip("\n").split("\n"))
    kept = [line for line, found in lines if found is None or found[1] not in replaced]
    described = {
        **{column.name: (column.kind, column.description) for column in columns},
        SET_ASIDE.removeprefix(PREFIX): ("String", "Why an allele was set aside and has no effects"),
    }
    added = [
        *(
            f'##INFO=<ID={PREFIX}{name},Number=A,Type={kind},Description="{description}",{SOURCE}>'
            for name, (kind, description) in described.items()
        ),
        *(
            f'##FILTER=<ID={PREFIX}{reason.name},Description="Not scored: {reason}",{SOURCE}>'
            for reason in VariantReason
        ),
    ]
    return "".join(f"{line}\n" for line in (*kept[:-1], *added, kept[-1]))


def _lines(vcf: VcfFile, rows: Iterator[Row], columns: Sequence[Column], replaced: Container[str]) -> Iterator[str]:
    """Yield the annotated records."""
    names = {f"{PREFIX}{column.name}": _label if column.kind == "String" else _number for column in columns}
    for record in vcf.records():
        variants = list(variants_of(record))
        of_record = list(itertools.islice(rows, len(variants)))
        if [row.variant for row in of_record] != variants:
            raise OutputError(f"the effects are not those of the records of {vcf.name}: they differ at {variants[0]}")
        yield _annotated(vcf.line(record), of_record, names, replaced)
    extra = next(rows, None)
    if extra is not None:
        raise OutputError(f"the effects are not those of the records of {vcf.name}, which has no {extra.variant}")


def _annotated(
    line: str, rows: Sequence[Row], names: Mapping[str, Callable[[str], str]], replaced: Container[str]
) -> str:
    """Return a record's line with what the rows say."""
    fields = line.rstrip("\n").split("\t")
    entries = (entry for entry in fields[INFO].split(";") if entry not in (NOTHING, ""))
    info = [entry for entry in entries if entry.partition("=")[0] not in replaced]
    if any(row.reason is None for row in rows):
        for place, (name, written) in enumerate(names.items()):
            info.append(f"{name}={','.join(written(row.effects[place]) for row in rows)}")
    if any(row.reason is not None for row in rows):
        info.append(f"{SET_ASIDE}={','.join(NOTHING if row.reason is None else row.reason.name for row in rows)}")
    filters = [name for name in fields[FILTER].split(";") if name not in replaced]
    if all(row.reason is not None for row in rows):
        reasons = dict.fromkeys(f"{PREFIX}{row.reason.name}" for row in rows if row.reason is not None)
        filters = [*(name for name in filters if name not in (NOTHING, "PASS")), *reasons]
    fields[INFO], fields[FILTER] = ";".join(info) or NOTHING, ";".join(filters) or NOTHING
    return "\t".join(fields) + "\n"


def _label(text: str) -> str:
    """Return a name of a table as VCF files hold it, without what divides fields."""
    return NOTHING if text == MISSING else re.sub(r"[\s,;=%]", "_", text)


def _number(text: str) -> str:
    """Return a number of a table as VCF files hold it, in single precision."""
    return NOTHING if text == MISSING else text if text.lstrip("-").isdecimal() else f"{float(text):.7g}"
