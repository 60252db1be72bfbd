"""Beginnings of files: what a file is that is not of the kind that its name says."""

from attribution_bench.models.untrusted.refused import Damaged, Refused

ARCHIVE, EMPTY_ARCHIVE = b"PK\x03\x04", b"PK\x05\x06"
HDF5 = b"\x89HDF\r\n\x1a\n"
AS_ARCHIVES = "a zip archive, as .keras, .pt2 and .pt files are; give it the suffix that it was written with"
OTHERS = {
    ARCHIVE: AS_ARCHIVES,
    EMPTY_ARCHIVE: AS_ARCHIVES,
    HDF5: "an HDF5 file, as .h5 files are; give it that suffix",
    b"version https://git-lfs": "a pointer of Git LFS in the place of the file; fetch the file with: git lfs pull",
    b"<": "a page of HTML or XML, as servers send in the place of a file; download the file itself",
    b"\x1f\x8b": "compressed by gzip; unpack it with: gunzip",
}
"""Beginning -> what such a file is, and what would do."""
LONGEST = max(map(len, OTHERS))
"""Bytes of a file that tell what it is."""


def other_kind(beginning: bytes) -> Refused | None:
    """Return the error that says what a file is by its first `LONGEST` bytes; None where that is not known."""
    if not beginning:
        return Damaged("it is empty")
    found = next((what for signature, what in OTHERS.items() if beginning.startswith(signature)), None)
    return None if found is None else Refused(f"it is {found}")
