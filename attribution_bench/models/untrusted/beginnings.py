"""Beginnings of files: what a file is that is not of the kind that its name says."""

import zlib
from pathlib import Path

from attribution_bench.models.untrusted.refused import Damaged, Refused

ARCHIVE, EMPTY_ARCHIVE = b"PK\x03\x04", b"PK\x05\x06"
GZIP = b"\x1f\x8b"
HDF5 = b"\x89HDF\r\n\x1a\n"
AS_ARCHIVES = "a zip archive, as .keras, .pt2 and .pt files are; give it the suffix that it was written with"
OTHERS = {
    ARCHIVE: AS_ARCHIVES,
    EMPTY_ARCHIVE: AS_ARCHIVES,
    HDF5: "an HDF5 file, as .h5 files are; give it that suffix",
    b"version https://git-lfs": "a pointer of Git LFS in the place of the file; fetch the file with: git lfs pull",
    b"<": "a page of HTML or XML, as servers send in the place of a file; download the file itself",
    GZIP: "compressed by gzip; unpack it with: gunzip",
}
"""Beginning -> what such a file is, and what would do."""
LONGEST = max(map(len, OTHERS))
"""Bytes of a file that tell what it is."""
TAR, TAR_OFFSET, TAR_HEADER = b"ustar", 257, 512
"""What the first header of an archive of tar holds, where, and how many bytes the header has."""


def other_kind(beginning: bytes) -> Refused | None:
    """Return the error that says what a file is by its first `LONGEST` bytes; None where that is not known."""
    if not beginning:
        return Damaged("it is empty")
    found = next((what for signature, what in OTHERS.items() if beginning.startswith(signature)), None)
    return None if found is None else Refused(f"it is {found}")


def is_tar(path: Path) -> bool:
    """Tell whether a file is an archive of tar, as it is or compressed by gzip, by its first header alone."""
    with path.open("rb") as file:
        header = file.read(2 * TAR_HEADER)  # what does not become smaller takes some bytes more
    if header.startswith(GZIP):
        try:
            header = zlib.decompressobj(wbits=31).decompress(header, TAR_HEADER)
        except zlib.error:
            return False
    return header.startswith(TAR, TAR_OFFSET)
