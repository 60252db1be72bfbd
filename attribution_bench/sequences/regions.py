"""Regions of a genome as sequences of one length: BED, narrowPeak, or one locus, read a stretch at a time."""

import hashlib
import os
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from attribution_bench.errors import InvalidInputError, SequenceError
from attribution_bench.sequences.alphabet import DNA, Alphabet
from attribution_bench.sequences.bed import KIND, LONGEST_LINE, BedLine, bed_lines, read_bed
from attribution_bench.sequences.genome import UNKNOWN, Genome
from attribution_bench.sequences.interval import Strand
from attribution_bench.sequences.narrow_peak import SummitsPassedOver, is_named_narrow_peak, summit_of
from attribution_bench.sequences.source import Reason, SourceRecord
from attribution_bench.sequences.text_files import stream_lines

Anchor = Literal["centre", "summit"]
Overhang = Literal["drop", "pad"]
STDIN = "-"
LOCUS = re.compile(r"(?P<contig>.+):(?P<start>[0-9,]+)(-(?P<end>[0-9,]+))?")
COMPLEMENTS = str.maketrans("ACGTN", "TGCAN")


@dataclass(frozen=True)
class Region:
    """A stretch of a genome that a user names, 0-based and half-open as in BED; it may be one that cannot be read."""

    contig: str
    start: int
    end: int
    name: str = ""
    strand: Strand = "."
    summit: int | None = None
    """Position on the contig; None where none was called."""


@dataclass(frozen=True)
class Windows:
    """How regions become sequences of one length.

    Raises
    ------
    InvalidInputError
        The length is less than 1, a choice is none of those that there are, or the share does not lie in [0, 1].
    """

    length: int
    """Letters of each sequence, those that the model takes."""
    anchor: Anchor | None = None
    """What stands in the middle: the region's centre, or its summit where one was called; None for the summit in files
    named ``.narrowPeak``, and the centre elsewhere. The letter at the anchor has ``length // 2`` letters before it."""
    overhang: Overhang = "drop"
    """What happens to a sequence that reaches beyond its contig: it is set aside, or filled with N."""
    stranded: bool = False
    """Whether regions on the strand ``-`` give the reverse complement; else every sequence is of the strand ``+``."""
    largest_unknown_share: float = 0.5
    """Share of N, among the letters that the genome has, beyond which a sequence is set aside."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InvalidInputError(f"the length of sequences must be at least 1, not {self.length}")
        for name, value, known in (("anchor", self.anchor, Anchor), ("overhang", self.overhang, Overhang)):
            if value is not None and value not in get_args(known):
                raise InvalidInputError(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")
        if not 0 <= self.largest_unknown_share <= 1:
            raise InvalidInputError(
                f"the largest share of unknown letters must lie in [0, 1], not {self.largest_unknown_share}"
            )


class RegionSource:
    """Regions of a genome, resized to one length: a `SequenceSource` for jobs.

    Coordinates of all regions are held, and no letters. A region that gives no sequence keeps its place, with the
    reason. Regions that give the same sequence as one before are kept, and counted.

    Parameters
    ----------
    regions
        The regions, in their order; taken in at once.
    genome
        Where their letters come from.
    windows
        How they are resized.
    label
        Origin of the regions, in words for a report.
    alphabet
        Of the sequences: DNA, or RNA, where T is U.

    Raises
    ------
    InvalidInputError
        The alphabet is that of proteins.
    """

    def __init__(
        self, regions: Iterable[Region], genome: Genome, windows: Windows, *, label: str, alphabet: Alphabet = DNA
    ) -> None:
        self._to_alphabet = _translation(alphabet)
        self.alphabet, self.genome, self.label = alphabet, genome, label
        self.windows = replace(windows, anchor=windows.anchor or "centre")
        self.assumptions: tuple[str, ...] = ()
        """What was taken for granted of the regions, in words that a job tells."""
        self._regions = _Columns()
        digest, seen = hashlib.sha256(), set()
        for region in regions:
            self._regions.append(region)
            digest.update(repr(region).encode("utf-8", "surrogateescape"))
            start, strand = self._start(region), self._strand(region)
            seen.add(hash((region.contig, start, strand)))
        self.duplicates = len(self._regions) - len(seen)
        """Regions that give the same stretch and strand as one before."""
        self._digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._regions)

    @property
    def length(self) -> int:
        """Letters of every sequence that is not set aside."""
        return self.windows.length

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides the records, as `SequenceSource.description` asks for it."""
        contigs = "\n".join(f"{name}\t{length}" for name, length in self.genome.contigs.items())
        return {
            "kind": "regions of a genome",
            "regions": len(self),
            "duplicate regions": self.duplicates,
            "digest of the regions": self._digest,
            "genome": self.genome.path.name,
            "digest of the genome's contigs": hashlib.sha256(contigs.encode()).hexdigest(),
            "length": self.windows.length,
            "resized about": self.windows.anchor,
            "beyond the contig": self.windows.overhang,
            "strand respected": self.windows.stranded,
            "largest share of unknown letters": self.windows.largest_unknown_share,
            "alphabet": self.alphabet.letters,
        }

    def read(self, start: int, stop: int) -> list[SourceRecord]:
        """Return the records [start, stop); raises SequenceError where the genome cannot be read."""
        return [self._record(region) for region in self._regions.between(start, stop)]

    def _start(self, region: Region) -> int:
        """Return where a region's sequence starts; negative where that is beyond its contig."""
        middle = (region.start + region.end) // 2
        if self.windows.anchor == "summit" and region.summit is not None:
            middle = region.summit
        return middle - self.windows.length // 2

    def _strand(self, region: Region) -> Strand:
        return "-" if self.windows.stranded and region.strand == "-" else "+"

    def _record(self, region: Region) -> SourceRecord:
        start, strand = self._start(region), self._strand(region)
        end = start + self.length
        name = region.name or f"{region.contig}:{region.start}-{region.end}"
        contig_length = self.genome.contigs.get(region.contig, 0)
        reason, detail, letters = self._read(region, start, end)
        if strand == "-":
            letters = letters.translate(COMPLEMENTS)[::-1]
        sequence = None if reason is not None else letters.translate(self._to_alphabet)
        return SourceRecord(name, sequence, region.contig, start, end, strand, reason, detail, contig_length)

    def _read(self, region: Region, start: int, end: int) -> tuple[Reason | None, str, str]:
        """Return why a region gives no sequence, what is wrong with it, and the letters of the strand ``+``."""
        if region.end <= region.start:
            return Reason.BAD_INTERVAL, f"{region.start} to {region.end}", ""
        if region.summit is not None and not region.start <= region.summit < region.end:
            return Reason.BAD_INTERVAL, f"{region.start} to {region.end}, with its summit at {region.summit}", ""
        if region.contig not in self.genome.contigs:
            return Reason.NO_CONTIG, self.genome.without(region.contig), ""
        length = self.genome.contigs[region.contig]
        within = min(end, length) - max(start, 0)
        if within <= 0 or (within < self.length and self.windows.overhang == "drop"):
            return Reason.OFF_CONTIG, f"{start} to {end}, where {region.contig} has {length} letters", ""
        letters = self.genome.fetch_padded(region.contig, start, end)
        unknown = letters.count(UNKNOWN) - (self.length - within)
        if unknown == within:
            return Reason.ONLY_UNKNOWN, "", ""
        if unknown > self.windows.largest_unknown_share * within:
            return Reason.MOSTLY_UNKNOWN, f"{unknown} of {within} letters", ""
        return None, "", letters


def read_regions(
    path: str | os.PathLike[str], genome: Genome, windows: Windows, alphabet: Alphabet = DNA
) -> RegionSource:
    """Read the regions of a BED or narrowPeak file, plain or gzipped, or of standard input (``-``).

    With the anchor ``summit``, a line's tenth column is how far its summit lies behind its start, as in narrowPeak; -1
    stands for a summit that was not called, and the region's centre takes its place. Where no anchor is asked for and
    lines of narrowPeak come in a file of another name, `RegionSource.assumptions` says that centres were taken.

    Raises
    ------
    SequenceError
        The file cannot be read, holds no region, or a line is none; the message names it.
    """
    name = "standard input" if os.fspath(path) == STDIN else os.fspath(path)
    if os.fspath(path) == STDIN:
        lines = bed_lines(stream_lines(sys.stdin.buffer, name, KIND, longest_line=LONGEST_LINE), name)
    else:
        lines = read_bed(path)
    anchor, passed_over = windows.anchor or default_anchor(path), SummitsPassedOver()
    if windows.anchor is None and anchor == "centre":
        lines = passed_over.watched(lines)
    regions = (_region(line, anchor) for line in lines)
    label = f"regions of {Path(name).name}"
    source = RegionSource(regions, genome, replace(windows, anchor=anchor), label=label, alphabet=alphabet)
    if not len(source):
        raise SequenceError(f"{name} holds no region; give at least one line: chromosome, start, end")
    source.assumptions = passed_over.words(Path(name).name)
    return source


def default_anchor(path: str | os.PathLike[str]) -> Anchor:
    """Return what the middle of a file's regions is by its name: the summit for ``.narrowPeak``, else the centre."""
    return "summit" if is_named_narrow_peak(path) else "centre"


def parse_locus(text: str) -> Region:
    """Return a locus as genome browsers write it, ``chr1:1,001-2,000``: 1-based, with both ends.

    The region is 0-based and half-open, as everywhere else: 1000 to 2000. ``chr1:1000`` is one position.

    Raises
    ------
    SequenceError
        The text is no locus, or ends before it starts.
    """
    found = LOCUS.fullmatch(text.strip())
    numbers = (
        [] if found is None else [found["start"].replace(",", ""), (found["end"] or found["start"]).replace(",", "")]
    )
    if found is None or not all(number.isdecimal() and len(number) < 19 for number in numbers):
        raise SequenceError(f"{text!r} is no locus; write it as chr1:1000-2000, both ends included and 1-based")
    first, last = map(int, numbers)
    if not 1 <= first <= last:
        raise SequenceError(f"{text!r} must start at 1 or later, and not end before it starts")
    return Region(found["contig"], first - 1, last, text.strip())


def is_locus(text: str) -> bool:
    """Tell whether a text is written as a locus, rather than as the name of a file."""
    return LOCUS.fullmatch(text.strip()) is not None


class _Columns:
    """Regions as columns of plain numbers, which take a tenth of the memory of objects."""

    def __init__(self) -> None:
        self._contigs: dict[str, int] = {}
        self._numbers = array("q")
        self._names: list[str] = []
        self._strands = bytearray()

    def __len__(self) -> int:
        return len(self._names)

    def append(self, region: Region) -> None:
        contig = self._contigs.setdefault(region.contig, len(self._contigs))
        summit = -1 if region.summit is None else region.summit
        self._numbers.extend((contig, region.start, region.end, summit))
        self._names.append(region.name)
        self._strands += region.strand.encode()

    def between(self, start: int, stop: int) -> Iterator[Region]:
        contigs = list(self._contigs)
        for index in range(start, stop):
            contig, first, last, summit = self._numbers[4 * index : 4 * index + 4]
            strand: Strand = chr(self._strands[index])  # type: ignore[assignment]
            yield Region(contigs[contig], first, last, self._names[index], strand, None if summit < 0 else summit)


def _region(line: BedLine, anchor: Anchor) -> Region:
    summit = summit_of(line) if anchor == "summit" else None
    return Region(line.chromosome, line.start, line.end, line.name or "", line.strand, summit)


def _translation(alphabet: Alphabet) -> dict[int, int]:
    """Return what letters of DNA become in an alphabet of nucleotides."""
    if set("ACG") - set(alphabet.letters) or len(alphabet) != 4:
        raise InvalidInputError(f"a genome gives sequences of DNA or RNA, not of the {alphabet.name} alphabet")
    return str.maketrans("T", "U") if "U" in alphabet.letters else {}
