"""``.npz`` files read strictly: what a file declares is checked before anything is unpacked, and nothing is executed.

Only what NumPy itself writes of plain numbers and text is taken: an archive of stored or deflated ``.npy`` members with
headers of one form. So no object, no pickle and no Python expression of a file is ever evaluated.
"""

import contextlib
import math
import os
import re
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from attribution_bench.files import regular_file

MOST_MEMBERS = 1000
LARGEST_DIRECTORY = 2**20
"""Bytes of the archive's list of members."""
LONGEST_HEADER = 4096
"""Bytes of a member's header; NumPy writes 118 for arrays of up to some six axes."""
MOST_AXES = 32
LARGE, INFLATED = 2**28, 250
"""An archive that unpacks to more bytes than this, and to that many times its own size, is taken for a bomb."""
CHUNK = 2**24
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    r"\{'descr': '([<>|=])([a-zA-Z])(\d{1,9})', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?)\), \} *\n"
)
KINDS = "biufcU"
"""Kinds of NumPy types that hold plain numbers and text."""
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


@dataclass(frozen=True)
class Header:
    """What a member says of its array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    """Whether the first axis runs fastest."""
    size: int
    """Bytes before the data."""


class NpzFile:
    """An open archive: headers of its arrays, which are unpacked one by one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {member.filename.removesuffix(".npy"): member for member in _members(archive)}
        self.headers: Mapping[str, Header] = {name: self._header(name) for name in self._members}
        """Name of each array, in the order of the file -> what it is."""

    def array(self, name: str) -> NDArray[Any]:
        """Return an array in the byte order of this machine.

        Raises
        ------
        ValueError, zipfile.BadZipFile, zlib.error, MemoryError
            The data are damaged, or do not fit into memory.
        """
        header = self.headers[name]
        values = np.empty(header.shape, header.dtype, order="F" if header.fortran else "C")
        with self._archive.open(self._members[name]) as member:
            _skipped(member, header.size)
            flat = values.reshape(-1, order="A").view(np.uint8) if values.nbytes else np.zeros(0, np.uint8)
            for start in range(0, len(flat), CHUNK):
                chunk = flat[start : start + CHUNK]
                data = member.read(len(chunk))
                if len(data) != len(chunk):
                    raise ValueError(f"its array {name!r} is cut short")
                chunk[:] = np.frombuffer(data, np.uint8)
            if member.read(1):
                raise ValueError(f"its array {name!r} is longer than it says")
        native = values.astype(header.dtype.newbyteorder("="), order="K", copy=False)
        if header.dtype.kind == "U":
            # NumPy hands out whatever stands there, and Python then crashes or makes text that no file can hold.
            codes = native.reshape(-1).view(np.uint32)
            if ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any():
                raise ValueError(f"its array {name!r} holds text that is no Unicode")
        return native

    def _header(self, name: str) -> Header:
        member = self._members[name]
        with self._archive.open(member) as file:
            start = file.read(len(MAGIC) + 2)
            if start[:-2] != MAGIC or len(start) != len(MAGIC) + 2:
                raise ValueError(f"its member {name!r} is no array of NumPy's format 1.0")
            (length,) = struct.unpack("<H", start[-2:])
            if length > LONGEST_HEADER:
                raise ValueError(f"the header of its array {name!r} is longer than {LONGEST_HEADER} bytes")
            text = file.read(length)
        header = _parsed(name, text.decode("latin-1"), len(start) + length)
        if member.file_size != header.size + math.prod(header.shape) * header.dtype.itemsize:
            raise ValueError(f"its array {name!r} has {member.file_size} bytes, which is not what {header.shape} takes")
        return header


@contextlib.contextmanager
def opened_npz(path: str | os.PathLike[str]) -> Iterator[NpzFile]:
    """Yield an archive whose list of members and headers have been checked.

    Raises
    ------
    OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error
        There is no such file, it is damaged, or it is none that NumPy writes of plain numbers and text.
    """
    with regular_file(path) as file:
        size = _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if inflated(total, size):
                raise ValueError(f"its {size:,} bytes unpack to {total:,}")
            yield NpzFile(archive)


def inflated(total: int, size: int) -> bool:
    """Whether an archive of that size unpacks to more than arrays that say something would."""
    return total > LARGE and total > INFLATED * size


def _check_directory(file: BinaryIO) -> int:
    """Return the size of an archive whose list of members is short; zipfile itself reads one of any length."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read()
    end = tail[-22:]
    if len(end) < 22 or not end.startswith(END):
        raise zipfile.BadZipFile("it is no archive, or is cut short")
    counts = struct.unpack("<4s4H2LH", end)
    entries, length, comment = counts[4], counts[5], counts[7]
    if tail[-42:-38] == LOCATOR_64:
        # Archives of more than 4 GiB have a longer record before the short one.
        if tail[:4] != END_64:
            raise zipfile.BadZipFile("its list of members is not where it should be")
        entries, length = struct.unpack("<2Q", tail[32:48])
    if comment:
        raise ValueError("it ends in a comment")
    if entries > MOST_MEMBERS or length > LARGEST_DIRECTORY:
        raise ValueError(f"it lists more than {MOST_MEMBERS} members")
    file.seek(0)
    return size


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members once they are arrays as NumPy stores them, each under a name of its own."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"it lists more than {MOST_MEMBERS} members")
    for member in members:
        if not member.filename.endswith(".npy") or member.filename != member.orig_filename:
            raise ValueError(f"its member {member.orig_filename[:100]!r} is no array")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its member {member.filename[:100]!r} is encrypted, or packed in an unknown way")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it holds two arrays of one name")
    return members


def _parsed(name: str, text: str, size: int) -> Header:
    found = HEADER.fullmatch(text)
    if found is None or found[2] not in KINDS:
        raise ValueError(f"its array {name!r} holds something other than plain numbers or text")
    order, kind, width, fortran, shape = found.groups()
    try:
        dtype = np.dtype(f"{order}{kind}{width}")
    except TypeError as error:
        raise ValueError(f"its array {name!r} is of an unknown type: {error}") from error
    axes = tuple(int(length) for length in shape.replace(" ", "").split(",") if length)
    if len(axes) > MOST_AXES or not dtype.itemsize:
        raise ValueError(f"its array {name!r} has {len(axes)} axes of {dtype}")
    return Header(dtype, axes, fortran == "True", size)


def _skipped(member: Any, size: int) -> None:
    if len(member.read(size)) != size:
        raise ValueError("a member is cut short")
