"""HDF5 files as Keras writes them, read without the HDF5 library, which crashes on damaged files.

Known is the classic layout of files, which that library writes unless it is told otherwise: groups with symbol tables,
values stored in one piece, attributes beside them. What the layout offers beyond is refused: links to other places or
files, values that lie in other files, compression, types of the file's own. Sizes are compared with the file before
anything is read. The format: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.models.untrusted.beginnings import HDF5, LONGEST, other_kind
from attribution_bench.models.untrusted.refused import Damaged, Refused, shown

UNDEFINED = (1 << 64) - 1
DEEPEST = 40
"""Groups within groups that are followed."""
OBJECTS = 200_000
"""Groups and datasets that a file may have."""
NIL, DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS, ATTRIBUTE, CONTINUATION, SYMBOLS = 0, 1, 3, 7, 8, 11, 12, 16, 17
IGNORED = frozenset({NIL, 4, 5, 0x12, 0x13, 0x0E, 0x0D})
"""Messages without meaning here: fill values, times, comments and the like."""
SHARED = 0x2
COMPACT, CONTIGUOUS = 0, 1


@dataclass
class Group:
    """A group of an HDF5 file: attributes, groups and arrays by their names."""

    attributes: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, "Group"] = field(default_factory=dict)
    arrays: dict[str, "Array"] = field(default_factory=dict)

    def values(self) -> int:
        """Return the number of values in all arrays within."""
        return sum(array.values.size for _, array in self.every_array())

    def every_array(self, prefix: str = "") -> "Iterator[tuple[str, Array]]":
        """Yield the arrays within, with their paths."""
        yield from ((prefix + name, array) for name, array in self.arrays.items())
        for name, group in self.groups.items():
            yield from group.every_array(f"{prefix}{name}/")


@dataclass
class Array:
    """A dataset of an HDF5 file, with its attributes."""

    values: NDArray[Any]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Text:
    """Type of texts that lie elsewhere in the file."""

    size: int = 16


@dataclass(frozen=True)
class Message:
    """One entry of an object's header."""

    kind: int
    content: memoryview


def read_hdf5(content: bytes) -> Group:
    """Return everything in an HDF5 file.

    Raises
    ------
    Refused
        It is damaged, or has something that Keras does not write.
    """
    try:
        return _File(memoryview(content)).root()
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"it is a damaged HDF5 file: {type(error).__name__}") from error


class _File:
    """Reads one file; the bytes that it has returned are counted, so that nothing is read again and again."""

    def __init__(self, content: memoryview) -> None:
        self.content = content
        self.left = 4 * len(content) + (1 << 16)
        self.objects: set[int] = set()
        self.texts: dict[int, dict[int, memoryview]] = {}

    def root(self) -> Group:
        """Return the group that holds all others."""
        beginning = bytes(self.content[:LONGEST])
        if not beginning.startswith(HDF5):
            raise other_kind(beginning) or Damaged("it is no HDF5 file, which it has to be")
        version, sizes = self.take(8, 1)[0], bytes(self.take(13, 2))
        if version > 1 or sizes != b"\x08\x08":
            raise Refused(OTHER_LAYOUT)
        start = 24 + 4 * version
        (base, _, end, _, _, header) = struct.unpack("<6Q", self.take(start, 48))
        if base:
            raise Refused("it is an HDF5 file that lies within another")
        if end > len(self.content):
            raise Damaged(f"it is an HDF5 file that is cut off: {len(self.content):,} of {end:,} bytes are there")
        found = self.object(header, DEEPEST)
        if not isinstance(found, Group):
            raise Refused("it is an HDF5 file without groups")
        return found

    def take(self, address: int, count: int) -> memoryview:
        """Return bytes of the file."""
        if not 0 <= address <= len(self.content) - count or count < 0:
            raise Damaged("it is a damaged HDF5 file: it refers to bytes beyond its end")
        self.left -= count
        if self.left < 0:
            raise Damaged("it is a damaged HDF5 file: its parts refer to the same bytes many times")
        return self.content[address : address + count]

    def object(self, address: int, depth: int) -> "Group | Array":
        """Return the group or the dataset whose header lies at an address."""
        if depth == 0 or len(self.objects) == OBJECTS:
            raise Refused("its groups are nested too deeply, or too many")
        if address in self.objects:
            raise Refused("two of its names stand for one object")
        self.objects.add(address)
        messages = list(self.messages(address))
        attributes: dict[str, Any] = {}
        for message in messages:
            if message.kind == ATTRIBUTE:
                name, value = self.attribute(message.content)
                if name in attributes:
                    raise Refused(f"it holds the attribute {shown(name)} twice")
                attributes[name] = value
        single = {message.kind: message.content for message in messages if message.kind != ATTRIBUTE}
        if SYMBOLS in single:
            tree, heap = struct.unpack("<2Q", single[SYMBOLS][:16])
            return self.group(tree, heap, attributes, depth)
        if {DATASPACE, DATATYPE, LAYOUT} <= single.keys():
            values = self.dataset(single[DATASPACE], single[DATATYPE], single[LAYOUT])
            return Array(values, attributes)
        raise Refused("it holds an object that is neither a plain group nor a plain array")

    def messages(self, address: int) -> Iterator[Message]:
        """Yield the messages of an object's header."""
        version, _, count, _, size = struct.unpack("<BBHII", self.take(address, 12))
        if version != 1:
            raise Refused(OTHER_LAYOUT)
        blocks = [(address + 16, size)]
        while blocks:
            start, size = blocks.pop(0)
            block = self.take(start, size)
            place = 0
            while place + 8 <= size and count:
                kind, length, flags = struct.unpack("<HHB", block[place : place + 5])
                content = block[place + 8 : place + 8 + length]
                if len(content) != length:
                    raise Damaged("it is a damaged HDF5 file: a header is cut off")
                place, count = place + 8 + length, count - 1
                if kind == CONTINUATION:
                    blocks.append(struct.unpack("<2Q", content[:16]))
                    continue
                if kind in IGNORED:
                    continue
                if kind not in (DATASPACE, DATATYPE, LAYOUT, ATTRIBUTE, SYMBOLS) or flags & SHARED:
                    raise Refused(UNKNOWN.get(kind, f"it uses a part of HDF5 that Keras does not ({kind})"))
                yield Message(kind, content)

    def group(self, tree: int, heap: int, attributes: dict[str, Any], depth: int) -> Group:
        """Return a group by the addresses of its names."""
        signature, _, size, _, start = struct.unpack("<4s4sQQQ", self.take(heap, 32))
        if signature != b"HEAP":
            raise Damaged("it is a damaged HDF5 file: a group has no names")
        names = bytes(self.take(start, size))
        group = Group(attributes)
        for entry in self.entries(tree, DEEPEST):
            place, header, kind = struct.unpack("<QQI", entry[:20])
            name = names[place : max(names.find(b"\0", place), place)].decode("utf-8") if place < size else ""
            if kind == 2:
                raise Refused(f"its name {shown(name)} is a link to another place")
            if not name or "/" in name or name in (".", "..") or name in group.groups or name in group.arrays:
                raise Refused(f"it holds the name {shown(name)}, empty, strange or twice")
            found = self.object(header, depth - 1)
            if isinstance(found, Group):
                group.groups[name] = found
            else:
                group.arrays[name] = found
        return group

    def entries(self, tree: int, depth: int) -> Iterator[memoryview]:
        """Yield the entries of a group, 40 bytes each."""
        signature, kind, level, count = struct.unpack("<4sBBH", self.take(tree, 8))
        if signature != b"TREE" or kind != 0 or depth == 0:
            raise Damaged("it is a damaged HDF5 file: the entries of a group are no tree")
        children = struct.unpack(f"<{2 * count}Q", self.take(tree + 32, 16 * count))[::2]
        for child in children:
            if level:
                yield from self.entries(child, depth - 1)
                continue
            signature, _, count = struct.unpack("<4sHH", self.take(child, 8))
            if signature != b"SNOD":
                raise Damaged("it is a damaged HDF5 file: the entries of a group are missing")
            block = self.take(child + 8, 40 * count)
            yield from (block[40 * i : 40 * i + 40] for i in range(count))

    def dataset(self, space: memoryview, kind: memoryview, layout: memoryview) -> NDArray[Any]:
        """Return the values of a dataset."""
        shape, dtype = _shape(space), _type(kind)
        if isinstance(dtype, Text):
            raise Refused("it holds texts where arrays of numbers should be")
        version, storage = layout[0], layout[1]
        if version not in (3, 4) or storage not in (COMPACT, CONTIGUOUS):
            raise Refused("it holds values in pieces, compressed or of other files; Keras stores them in one piece")
        size = _count(shape) * dtype.itemsize
        if storage == COMPACT:
            (stored,) = struct.unpack("<H", layout[2:4])
            content = layout[4 : 4 + stored]
        else:
            address, stored = struct.unpack("<2Q", layout[2:18])
            content = self.take(address, stored) if stored and address != UNDEFINED else layout[:0]
        if len(content) != size:
            raise Refused(f"it states an array of {size} bytes where {len(content)} are stored")
        return _array(content, shape, dtype)

    def attribute(self, content: memoryview) -> tuple[str, Any]:
        """Return the name and the value of an attribute: a number, a text, or an array of either."""
        version, flags, *sizes = struct.unpack("<BBHHH", content[:8])
        if version not in (1, 2, 3) or (version > 1 and flags):
            raise Refused("it holds an attribute of a form that Keras does not write")
        place = 9 if version == 3 else 8
        parts = []
        for size in sizes:
            parts.append(content[place : place + size])
            place += (size + 7) // 8 * 8 if version == 1 else size
        name = bytes(parts[0]).rstrip(b"\0").decode("utf-8")
        dtype, shape = _type(parts[1]), _shape(parts[2])
        count = _count(shape)
        if isinstance(dtype, Text):
            places = content[place : place + count * dtype.size]
            texts = [self.text(places[dtype.size * i : dtype.size * (i + 1)]) for i in range(count)]
            return name, texts if shape else texts[0]
        values = _array(content[place : place + count * dtype.itemsize], shape, dtype)
        return name, values if shape else values[()]

    def text(self, place: memoryview) -> str:
        """Return a text that lies among others of its kind."""
        length, address, index = struct.unpack("<IQI", place)
        if not length:
            return ""
        if address not in self.texts:
            self.texts[address] = dict(self.collection(address))
        stored = self.texts[address].get(index)
        if stored is None or len(stored) < length:
            raise Damaged("it is a damaged HDF5 file: a text is missing")
        text = bytes(stored[:length])
        if b"\0" in text:
            raise Refused("it holds a text with a NUL")
        return text.decode("utf-8")

    def collection(self, address: int) -> Iterator[tuple[int, memoryview]]:
        """Yield the texts that lie together, by their numbers."""
        signature, _, size = struct.unpack("<4s4sQ", self.take(address, 16))
        if signature != b"GCOL":
            raise Damaged("it is a damaged HDF5 file: a text is missing")
        block = self.take(address, size)
        at = 16
        while at + 16 <= size:
            index, _, _, stored = struct.unpack("<HHIQ", block[at : at + 16])
            if not index:
                return
            yield index, block[at + 16 : at + 16 + stored]
            at += 16 + (stored + 7) // 8 * 8


OTHER_LAYOUT = (
    "it is an HDF5 file of another layout than Keras writes, as one with links to other files is; if it has none, "
    "write it again with h5py's defaults"
)
UNKNOWN = {
    EXTERNAL: "its values lie in other files, which are not read",
    FILTERS: "its values are compressed; Keras stores them as they are",
    2: OTHER_LAYOUT,
    6: OTHER_LAYOUT,
    0x15: OTHER_LAYOUT,
}
"""Reasons by the kind of a message, or by that of a type that is shared."""


def _shape(space: memoryview) -> tuple[int, ...]:
    """Return the dimensions that a dataspace states."""
    version, rank, flags, kind = struct.unpack("<4B", space[:4])
    if version not in (1, 2) or (version == 2 and kind > 1) or rank > 32 or flags & ~1:
        raise Refused("it holds an array whose dimensions are of a form that Keras does not write")
    start = 8 if version == 1 else 4
    return struct.unpack(f"<{rank}Q", space[start : start + 8 * rank])


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    if count > 1 << 48:
        raise Refused("it states an array that is larger than any file")
    return count


def _type(content: memoryview) -> "np.dtype[Any] | Text":
    """Return the type of values: a whole number, a floating-point number, a text of fixed or of any length."""
    kind, version, bits = content[0] & 15, content[0] >> 4, content[1]
    (size,) = struct.unpack("<I", content[4:8])
    order = ">" if bits & 1 else "<"
    if version in (1, 2, 3):
        if kind == 0 and size in (1, 2, 4, 8):
            return np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}")
        if kind == 1 and size in (2, 4, 8) and _is_standard(content, size):
            return np.dtype(f"{order}f{size}")
        if kind == 3 and 1 <= size <= 1 << 16:
            return np.dtype(f"S{size}")
        if kind == 8 and size == 1:
            return np.dtype(bool)
        if kind == 9 and bits & 15 == 1 and size == 16:
            return Text()
    raise Refused("it holds values of a type that Keras does not write")


def _is_standard(content: memoryview, size: int) -> bool:
    """Whether a floating-point type is that of the processor, and not one of the file's own."""
    precision, exponent, mantissa = struct.unpack("<HxBxB", content[10:16])
    return bool((precision, exponent, mantissa) == {2: (16, 5, 10), 4: (32, 8, 23), 8: (64, 11, 52)}[size])


def _array(content: memoryview, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """Return values in the byte order of the processor."""
    if len(content) != _count(shape) * dtype.itemsize:
        raise Damaged("it is a damaged HDF5 file: values are missing")
    values = np.frombuffer(bytes(content), dtype=np.uint8 if dtype.kind == "b" else dtype)
    return values.reshape(shape).astype(dtype.newbyteorder("="))
