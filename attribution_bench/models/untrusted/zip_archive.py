"""Zip archives of stored members, read with nothing left to interpretation."""

import io
import re
import zipfile
import zlib
from typing import BinaryIO

from attribution_bench.models.untrusted.beginnings import ARCHIVE, EMPTY_ARCHIVE, LONGEST, other_kind
from attribution_bench.models.untrusted.refused import Damaged, Refused, shown

MEMBERS = 200_000
"""Members that an archive may have."""
ENCRYPTED = 0x1
END, END_SIGNATURE = 22, b"PK\x05\x06"
"""Bytes of the record that ends an archive without a comment, and what it begins with."""
UNREADABLE = (zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
STRANGE = (LookupError, OverflowError, UnicodeError)
"""What zipfile raises on damaged headers, without words of its own."""
NO_ARCHIVE = (zipfile.BadZipFile, *UNREADABLE, *STRANGE)
"""All that zipfile raises on files that are no archives, or damaged ones."""


def read_members(file: BinaryIO) -> dict[str, bytes]:
    """Return the contents of an archive by the names of its members, which the caller compares with those it knows.

    Parameters
    ----------
    file
        The archive, open for reading. Members may take no more room than the archive itself: they are stored, as
        PyTorch and Keras store them, so that nothing can grow while it is unpacked.

    Raises
    ------
    Refused
        The archive is damaged, or holds something that two readers might read in two ways.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    beginning = file.read(LONGEST)
    if not beginning.startswith((ARCHIVE, EMPTY_ARCHIVE)):
        raise other_kind(beginning) or Damaged("it is no zip archive, which it has to be")
    try:
        file.seek(max(0, size - END))
        ends = file.read(len(END_SIGNATURE)) == END_SIGNATURE
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            # zipfile finds an archive within a file as well, such as one that is a member of another.
            if not ends or min((member.header_offset for member in members), default=0):
                raise Damaged("it is an archive that is cut off, or with something before or after it")
            _check(members, size)
            return {member.filename: _content(archive, member) for member in members}
    except zipfile.BadZipFile as error:
        raise Damaged(
            "it is a zip archive that is cut off or damaged: the list of its members, which ends it, cannot be read"
        ) from error
    except UNREADABLE as error:
        raise Damaged(f"it is no archive that can be read: {error}") from error
    except STRANGE as error:
        raise Damaged(f"it is no archive that can be read: {type(error).__name__}") from error


def folder_of(names: dict[str, bytes]) -> str:
    """Return the one folder, with its slash, that holds all members of an archive of PyTorch.

    Raises
    ------
    Refused
        There is none, or it has a strange name.
    """
    folders = {name.partition("/")[0] for name in names}
    if len(folders) != 1 or any("/" not in name for name in names):
        raise Refused("its members do not lie in one folder")
    (folder,) = folders
    if not re.fullmatch(r"[^\x00-\x1f\x7f/\\:]{1,255}", folder) or folder in (".", ".."):
        raise Refused(f"its members lie in a folder named {shown(folder)}")
    return f"{folder}/"


def write_members(members: dict[str, bytes]) -> bytes:
    """Return an archive of stored members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return what a member holds."""
    try:
        return archive.read(member)
    except zipfile.BadZipFile as error:  # its header or its checksum is another than the archive says
        raise Damaged(
            f"its member {shown(member.filename)} is not what was packed: bytes of it have changed"
        ) from error


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what is compressed, encrypted, named twice, or larger than the archive."""
    if len(members) > MEMBERS:
        raise Refused(f"it holds {len(members)} members; {MEMBERS} are the most that are read")
    seen: dict[str, str] = {}  # by the names in one case
    for member in members:
        name = member.filename
        # zipfile cuts names at a NUL, where other readers need not.
        if name != member.orig_filename:
            raise Refused(f"it holds a member with the name {shown(member.orig_filename)}")
        if name.casefold() in seen:
            raise Refused(
                f"it holds {shown(seen[name.casefold()])} and {shown(name)}, which may be read one for the other"
            )
        seen[name.casefold()] = name
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise Refused(
                f"its member {shown(name)} is compressed; PyTorch and Keras store members as they "
                "are: unpack it, and pack what is in it with: zip -0"
            )
        if member.flag_bits & ENCRYPTED:
            raise Refused(f"its member {shown(name)} is encrypted")
    total = sum(member.file_size for member in members)
    if total > size:
        raise Refused(f"its members claim {total} bytes in a file of {size}")
