"""Damaged text for the fuzzer: pieces or bytes changed, packed or not.

What is taken must be what a simple reader of a few lines finds in the file.
"""

import gzip
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attribution_bench.errors import AttributionBenchError
from attribution_bench.sequences import DNA, PROTEIN, RNA, Alphabet, Sequences, read_fasta
from attribution_bench.sequences.bed import read_bed
from attribution_bench.sequences.sites import read_sites
from fuzz import changed_files

SHORT = 1000
"""Cases of the short run: they are quick."""

PIECES = (
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\t", b" ", b"\x0b", b"\x0c", b"\x1c", b"\x1e", b"\x85", b"\xc2\x85", b"\xa0"),
    *(b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3", b"\xe9", b"\0", b"\x1b[31m"),
    *(b">", b"> ", b">a", b">\n", b";", b"#", b"@", b"track", b"track ", b"browser", b"track7", b".", b"-", b"+", b"*"),
    *(b"A", b"ACGT", b"acgtn", b"N", b"U", b"R", b"\xc4\xb1", b"\xc5\xbf", b"\xc3\x9f", b"X" * 300, b"A" * 70_000),
    *(
        b"0",
        b"5",
        b"-1",
        b"1e3",
        b"0x1",
        b"1_0",
        b"9" * 18,
        b"9" * 19,
        b"9" * 5000,
        b"nan",
        b"inf",
        b"1.5",
        b"\xd9\xa1",
    ),
)
"""What real files hold in odd places."""
NAMES = ("a", "b", "track7", "browser", "#c", "caf\xe9", "a:0-100")
GIVEN = Sequences(NAMES, ("A" * 100,) * len(NAMES), "given")
FASTA = {
    "wrapped.fa": b">a first\nACGT\nAC\n>b\nNNGTAC\n>c\nACGTAC\n",
    "windows.fa": b"\xef\xbb\xbf>a\r\nacg tac\r\n\r\n>b caf\xe9\r\nGATTAC\r\n",
    "mac.fa": b">a\rACGTAC\r>b\rACGTAC",
}
BED = {
    "full.bed": b"#comment\ntrack name=x\na\t0\t5\tX\t1\t+\nb\t5\t9\tY\t-1\t-\n#c\t1\t2\ntrack7\t3\t10\tZ\t.\t.\n",
    "blanks.bed": b"browser hide all\r\na 0 5\r\nbrowser 1 7 name 2.5 +\r\n\r\n",
    "narrow.bed": b"a\t1\t90\tpeak\t500\t.\t5.5\t-1\t-1\t40\ncaf\xc3\xa9\t0\t100\tcaf\xe9\t0\t.\t1\t1\t1\t-1\n",
}


def fasta(alphabet: Alphabet) -> Callable[[Path], object]:
    """Return a reader of FASTA that checks what was read."""

    def read(path: Path) -> object:
        found = read_fasta(path, alphabet)
        records = [text for text in simple_lines(path) if text.strip(b" \t\v\f")]
        assert records[0].strip(b" \t\v\f").startswith(b">")
        strings: list[bytes] = []
        for line in records:
            if line.strip(b" \t\v\f").startswith(b">"):
                strings.append(b"")
            else:
                strings[-1] += b"".join(line.strip(b"\v\f \t").split(b" ")).replace(b"\t", b"").upper()
        assert [string.encode() for string in found.strings] == strings
        assert len(set(map(len, found.strings))) == 1
        assert set("".join(found.strings)) <= set(alphabet.letters + alphabet.unknown)
        assert all(name and not set(name) & set(" \t\r\n\v\f\0") for name in found.names)
        found.one_hot()
        return found

    return read


def bed(path: Path) -> object:
    """Read the features of a BED file, and check them."""
    found = list(read_bed(path))
    simple = [positions for line in simple_lines(path) if (positions := simple_positions(line)) is not None]
    assert [(line.chromosome.encode(), line.start, line.end) for line in found] == simple
    for line in found:
        # An interval may be reversed: its reader tells what becomes of it.
        assert min(line.start, line.end) >= 0
        for column in ("score", "strand"):
            with suppress(AttributionBenchError):
                getattr(line, column)
        with suppress(AttributionBenchError):
            line.whole_number(10, "summit")
        "\t".join(line.columns).encode()
    return found


def sites(path: Path) -> object:
    """Read the sites of given sequences; none of them may be passed over."""
    found = read_sites(path, GIVEN)
    named = [site for site in found if 0 <= site.start < site.stop <= GIVEN.length]
    assert named == list(found)
    names = {name.encode() for name in NAMES}
    lines = [simple_positions(line, names) for line in simple_lines(path)]
    assert len(found) == sum(line is not None for line in lines)
    return found


def simple_lines(path: Path) -> list[bytes]:
    """Return the lines of a file, plain or gzipped, that is known to be readable."""
    content = path.read_bytes()
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    return re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))


def simple_positions(line: bytes, names: set[bytes] = frozenset()) -> tuple[bytes, int, int] | None:  # type: ignore[assignment]
    """Return the first three columns of a line of a BED file that is known to be readable; None for any other line."""
    for blank in (rb" *\t *", rb"[ \t]+"):
        columns = re.split(blank, line.strip(b" ") if blank.startswith(rb" ") else line.strip(b" \t"))
        if len(columns) >= 3 and re.fullmatch(rb"[0-9]+", columns[1]) and re.fullmatch(rb"[0-9]+", columns[2]):
            if line.startswith(b"#") and columns[0] not in names:
                return None
            return columns[0], int(columns[1]), int(columns[2])
    return None


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return contents with a few pieces put in, taken out, doubled or moved."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        place, length, what = chance.randrange(len(data) + 1), chance.choice([1, 2, 4, 10]), chance.randrange(7)
        if what < 3:
            data[place : place + chance.choice([0, 0, 1, 3])] = chance.choice(PIECES)
        elif what == 3:
            del data[place : place + length]
        elif what == 4:
            other = chance.randrange(len(data) + 1)
            data[other:other] = data[place : place + length] * chance.choice([1, 2, 50])
        elif what == 5 and place < len(data):
            data[place] = chance.randrange(256)
        elif what == 6:
            lines = re.split(rb"(\r\n|\r|\n)", bytes(data))
            chance.shuffle(lines)
            data = bytearray(b"".join(lines))
    return bytes(data)


def packed(content: bytes, chance: random.Random) -> bytes:
    """Return contents as they are, gzipped in one or two members, or gzipped and damaged."""
    what = chance.randrange(6)
    if what < 3:
        return content
    place = chance.randrange(len(content) + 1)
    whole = gzip.compress(content[:place], 1, mtime=0) + gzip.compress(content[place:], 1, mtime=0)
    if what == 3:
        return whole + bytes(chance.choice([0, 1, 100]))
    if what == 4:
        return gzip.compress(content, 1, mtime=0)
    return changed(whole, chance)


def changed_and_packed(content: bytes, chance: random.Random) -> bytes:
    """Return contents changed, and then gzipped or not."""
    return packed(changed(content, chance), chance)


RNA_FILES = {name: data.replace(b"T", b"U").replace(b"t", b"u") for name, data in FASTA.items()}
PROTEIN_FILES = {name: data.replace(b"N", b"X").replace(b"n", b"x") for name, data in FASTA.items()}
TARGETS = {
    "fasta": changed_files(lambda: FASTA, changed_and_packed, fasta(DNA), SHORT),
    "fasta_rna": changed_files(lambda: RNA_FILES, changed_and_packed, fasta(RNA), SHORT),
    "fasta_protein": changed_files(lambda: PROTEIN_FILES, changed_and_packed, fasta(PROTEIN), SHORT),
    "bed": changed_files(lambda: BED, changed_and_packed, bed, SHORT),
    "sites": changed_files(lambda: BED, changed_and_packed, sites, SHORT),
}
"""Readers by their names."""
