"""Damaged model files, for the fuzzer: archives, documents and bytes with some values changed."""

import io
import json
import random
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import hostile_files
from fuzz import changed_files

NUMBERS = (0, 1, -1, 2, 127, 255, 65535, 1 << 31, 1 << 32, 1 << 62, 1 << 63, -(1 << 63), 10**30)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    0.5,
    None,
    True,
    [],
    {},
    "",
    "x",
    "relu",
    "../x",
    "\x00",
    "é\u2028",
    [[]],
    "1" * 5000,
)


def honest(*suffixes: str) -> Callable[[], Mapping[str, bytes]]:
    """Return what makes the honest files with these suffixes."""

    def samples() -> Mapping[str, bytes]:
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, maker in hostile_files.HONEST.items():
                if Path(name).suffix in suffixes:
                    maker(Path(folder) / name, Path(folder))
                    found[name] = (Path(folder) / name).read_bytes()
        return found

    return samples


def open_model(path: Path) -> None:
    """Open a model file; running it is another matter."""
    from attribution_bench.models.loading import model_source

    model_source(str(path)).open(device="cpu")


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return contents with one thing changed: within a member of an archive, a value of a document, or in bytes."""
    if content.startswith(b"PK") and chance.random() < 0.8:
        return _changed_archive(content, chance)
    if content[:1] in (b"{", b"[") and chance.random() < 0.9:
        with suppress(ValueError):
            return _changed_document(json.loads(content), chance)
    return _changed_bytes(bytearray(content), chance)


def _changed_archive(content: bytes, chance: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # damaged by an earlier change
        return _changed_bytes(bytearray(content), chance)
    place = chance.randrange(len(members))
    name, member = members[place]
    what = chance.randrange(12)
    if what == 0:
        del members[place]
    elif what == 1:
        members.append((chance.choice([name, name.upper(), f"{name}/x", f"./{name}", f"{name}\\x"]), member))
    elif what == 2:
        members[place] = (chance.choice(members)[0], member)
    else:
        members[place] = (name, changed(member, chance))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if chance.random() < 0.03 else zipfile.ZIP_STORED) as archive:
        for name, member in members:
            archive.NameToInfo.pop(name, None)  # zipfile warns of a name that it has
            archive.writestr(name, member)
    return file.getvalue()


def _changed_document(document: Any, chance: random.Random) -> bytes:
    places = list(_places(document))
    if places:
        holder, key = chance.choice(places)
        other_holder, other_key = chance.choice(places)
        what = chance.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1:
            holder[key] = other_holder[other_key]
        elif what == 2 and isinstance(holder, dict):
            holder[str(chance.choice(VALUES))[:50]] = holder.pop(key)
        elif what == 3 and isinstance(holder[key], str):
            text = holder[key]
            place = chance.randrange(len(text) + 1)
            holder[key] = (
                text[:place] + chance.choice(["'", '"', "(", "\n", ".", "_", "9", "\\", text[:20]]) + text[place:]
            )
        else:
            holder[key] = chance.choice(VALUES)
    with suppress(ValueError, RecursionError):  # a value that has come to hold itself
        return json.dumps(document).encode()
    return b"{}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a document: what holds it, and its key or index."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield value, key
        yield from _places(part)


def _changed_bytes(content: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        place, what = chance.randrange(len(content) + 1), chance.randrange(8)
        length = chance.choice([1, 2, 4, 8, 100])
        if what == 0:
            del content[place : place + length]
        elif what == 1:
            content[place:place] = content[place : place + length] * chance.choice([1, 2, 50])
        elif what == 2:
            content[place:place] = chance.randbytes(length)
        elif what == 3:
            size = chance.choice([2, 4, 8])
            number = chance.choice(NUMBERS) % (1 << 8 * size)
            content[place : place + size] = number.to_bytes(size, chance.choice(["little", "big"]))
        elif what == 4 and chance.random() < 0.2:
            del content[place:]
        elif place < len(content):
            content[place] = chance.choice([0, 1, 10, 13, 34, 127, 128, 255, chance.randrange(256)])
    return bytes(content)


def changed_repeatedly(content: bytes, chance: random.Random) -> bytes:
    """Return contents with one to three things changed."""
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        content = changed(content, chance)
    return content


TARGETS = {
    name: changed_files(honest(suffix), changed_repeatedly, open_model, short=40)
    for name, suffix in {"torch_export": ".pt2", "keras": ".keras", "keras_2": ".h5"}.items()
}
"""Readers by their names."""
