"""A corpus of hostile stored results: archives and folders that run code, write outside, or take all memory.

``python tests/helpers/hostile_results.py FOLDER`` writes it. Each maker is told a marker, which nothing may write.
"""

import io
import json
import os
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import stored_results

SIZE = 17_000_000
"""Values of the arrays of a bomb."""
Members = dict[str, bytes]


@dataclass(frozen=True)
class Hostile:
    """One file or folder of the corpus."""

    kind: str
    """``npz``, ``comparison`` or ``benchmark``: what it pretends to be."""
    make: Callable[[Path, Path], Path]
    """Called with an empty folder and the marker; returns the path to read."""


class Calling:
    """An object whose pickle writes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def npy(values: Any) -> bytes:
    """Return an array as NumPy stores it, objects as pickles."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def header(text: str, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a member with a header of any text, and the length of it that is stated."""
    content = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", (length or len(content)) & 0xFFFF) + content + data


def shaped(shape: str, descr: str = "'<f4'", data: bytes = b"") -> bytes:
    """Return a member of a stated type and shape."""
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", data)


def members() -> Members:
    """Return what a right file holds."""
    return {
        "one_hot": npy(stored_results.scalar("deepshap").one_hot),
        "positions": npy(np.arange(6)),
        "scores": npy(np.ones((3, 4, 6))),
        "metadata": npy(np.array(json.dumps(dict(stored_results.scalar("deepshap").metadata)))),
        "format_version": npy(np.array(2)),
    }


def archive(path: Path, content: Members, packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write members as an archive."""
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in content.items():
            file.writestr(f"{name}.npy", data)
    return path


def changed(**changes: bytes | None) -> Callable[[Path, Path], Path]:
    """Return a maker of an archive with members changed, added (``/`` written as ``__``), or taken away by None."""

    def make(folder: Path, marker: Path) -> Path:
        content = {**members(), **{name.replace("__", "/"): data for name, data in changes.items()}}
        return archive(folder / "a.npz", {name: data for name, data in content.items() if data is not None})

    return make


def pickled(where: str) -> Callable[[Path, Path], Path]:
    """Return a maker of an archive with a pickle that writes the marker."""

    def make(folder: Path, marker: Path) -> Path:
        objects = np.array([Calling(marker)], dtype=object)
        return archive(folder / "a.npz", {**members(), where: npy(objects)})

    return make


def bare_pickle(folder: Path, marker: Path) -> Path:
    """Write a pickle under the name of an archive."""
    path = folder / "a.npz"
    path.write_bytes(npy(np.array([Calling(marker)], dtype=object))[128:])
    return path


def metadata(**changes: Any) -> Callable[[Path, Path], Path]:
    """Return a maker of an archive with other metadata."""
    facts = {**stored_results.scalar("deepshap").metadata, **changes}
    return changed(metadata=npy(np.array(json.dumps(facts))))


def bomb(folder: Path, marker: Path) -> Path:
    """Write a megabyte that unpacks to hundreds, in arrays that all fit together."""
    path = folder / "a.npz"
    length = SIZE // 4
    content = members() | {"metadata": npy(np.array(json.dumps({"method": "x", "alphabet": "ACGT", "outputs": []})))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            if name in ("metadata", "format_version"):
                file.writestr(f"{name}.npy", data)
                continue
            shape = f"({length},)" if name == "positions" else f"(1, 4, {length})"
            descr, width = ("'<i8'", 8 * length) if name == "positions" else ("'<f8'", 32 * length)
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(shaped(shape, descr))
                for start in range(0, width, 2**24):
                    member.write(bytes(min(2**24, width - start)))
    return path


def doubled(folder: Path, marker: Path) -> Path:
    """Write an archive with two members of one name."""
    path = archive(folder / "a.npz", members())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("scores.npy", npy(np.zeros((3, 4, 6))))
    return path


def renamed(name: str) -> Callable[[Path, Path], Path]:
    """Return a maker of an archive with a further member of any name."""
    return lambda folder, marker: archive(folder / "a.npz", {**members(), name: npy(np.arange(3))})


def crowded(folder: Path, marker: Path) -> Path:
    """Write an archive of very many members."""
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        for index in range(3000):
            file.writestr(f"{index}.npy", b"")
    return path


def packed(method: int) -> Callable[[Path, Path], Path]:
    """Return a maker of an archive that NumPy does not write."""
    return lambda folder, marker: archive(folder / "a.npz", members(), method)


def edited(signature: bytes, offset: int, value: bytes) -> Callable[[Path, Path], Path]:
    """Return a maker of an archive in which bytes after every such signature are others."""

    def make(folder: Path, marker: Path) -> Path:
        path = archive(folder / "a.npz", members(), zipfile.ZIP_STORED)
        content, at = bytearray(path.read_bytes()), -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + offset : at + offset + len(value)] = value
        path.write_bytes(content)
        return path

    return make


def special(make: Callable[[Path], None]) -> Callable[[Path, Path], Path]:
    """Return a maker of something that is no file."""

    def made(folder: Path, marker: Path) -> Path:
        make(folder / "a.npz")
        return folder / "a.npz"

    return made


def evaluated(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], Path]:
    """Return a maker of a comparison's folder whose evaluation was changed in place, or replaced by text or bytes."""

    def make(folder: Path, marker: Path) -> Path:
        path = stored_results.comparison_folder(folder) / "evaluation.json"
        stored = json.loads(path.read_text())
        content = change(stored)
        text = content if isinstance(content, bytes | str) else json.dumps(stored)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return make


def named(name: str) -> Callable[[Path, Path], Path]:
    """Return a maker of a comparison one of whose methods has a name that must become no path."""

    def change(stored: dict[str, Any]) -> None:
        stored["methods"][1]["method"] = stored["agreements"][0]["second"] = name

    def make(folder: Path, marker: Path) -> Path:
        shutil.copy(stored_results.scalar("deepshap").save(folder / "x"), folder.parent / f"{folder.name}_outside.npz")
        return evaluated(change)(folder, marker)

    return make


def scored(change: Callable[[Path], Any]) -> Callable[[Path, Path], Path]:
    """Return a maker of a comparison's folder whose scores were changed."""

    def make(folder: Path, marker: Path) -> Path:
        change(stored_results.comparison_folder(folder) / "scores")
        return folder

    return make


def recorded(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], Path]:
    """Return a maker of a benchmark's folder one of whose records was changed in place, or replaced by text."""

    def make(folder: Path, marker: Path) -> Path:
        path = sorted((stored_results.benchmark_folder(folder) / "records").iterdir())[0]
        stored = json.loads(path.read_text())
        content = change(stored)
        path.write_text(content if isinstance(content, str) else json.dumps(stored))
        return folder

    return make


def beside(make: Callable[[Path], Any]) -> Callable[[Path, Path], Path]:
    """Return a maker of a benchmark's folder with something more in it."""

    def made(folder: Path, marker: Path) -> Path:
        make(stored_results.benchmark_folder(folder))
        return folder

    return made


def profiled(text: str) -> Callable[[Path, Path], Path]:
    """Return a maker of an engine benchmark's folder with another profile."""

    def make(folder: Path, marker: Path) -> Path:
        next((stored_results.engine_folder(folder) / "profiles").iterdir()).write_text(text)
        return folder

    return make


def logos(**changes: Any) -> Callable[[Path, Path], Path]:
    """Return a maker of a benchmark's folder with other logo scores."""

    def change(folder: Path) -> None:
        path = folder / "logos-torch.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return beside(change)


def gigantic(path: Path) -> None:
    """Make a file of 8 GB that takes no space."""
    with path.open("wb") as file:
        file.truncate(8 * 2**30)


def _set(*place: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of the value at a place; the last entry is the value."""
    *keys, last, value = place

    def change(stored: Any) -> None:
        for key in keys:
            stored = stored[key]
        stored[last] = value

    return change


DEEP = "[" * 100_000 + "]" * 100_000
ONE_BIG = "9" * 5000
OUTSIDE = "../../marker"

CORPUS: Mapping[str, Hostile] = {
    **{
        name: Hostile("npz", make)
        for name, make in {
            "pickle as scores": pickled("scores"),
            "pickle as metadata": pickled("metadata"),
            "pickle as an unknown member": pickled("more"),
            "bare pickle": bare_pickle,
            "structured objects": changed(scores=shaped("(1,)", "[('a', 'O')]", bytes(8))),
            "header that is an expression": changed(scores=header("__import__('os').system('touch marker')")),
            "header of brackets": changed(scores=header("(" * 30_000 + ")" * 30_000)),
            "header longer than the member": changed(scores=header("{", length=65_535)),
            "terabytes declared": changed(scores=shaped("(3, 4, 1000000000000)")),
            "more than memory can count": changed(scores=shaped(f"({10**30},)")),
            "many axes": changed(scores=shaped(f"({'1, ' * 70})", data=bytes(4))),
            "nothing of a huge shape": changed(scores=shaped(f"(0, {10**14}, {10**14})")),
            "bomb": bomb,
            "bomb in one member": changed(more=shaped(f"({SIZE},)", data=bytes(4 * SIZE))),
            "two members of one name": doubled,
            "member outside": renamed(OUTSIDE),
            "member with a null": renamed("scores.npy\0more"),
            "very many members": crowded,
            "unknown packing": packed(zipfile.ZIP_LZMA),
            "encrypted": edited(b"PK\x01\x02", 8, b"\x01"),
            "sizes that are not true": edited(b"PK\x01\x02", 24, struct.pack("<I", 2**31)),
            "list of members elsewhere": edited(b"PK\x05\x06", 12, struct.pack("<2I", 2**31, 7)),
            "deep metadata": changed(metadata=npy(np.array(DEEP))),
            "metadata of one number": changed(metadata=npy(np.array('{"length": ' + ONE_BIG + "}"))),
            "text that is no Unicode": changed(
                names=shaped("(3,)", "'<U1'", b"\xff" * 12),
            ),
            "complex scores": changed(scores=npy(np.full((3, 4, 6), 1j))),
            "scores that are not finite": changed(scores=npy(np.full((3, 4, 6), np.nan))),
            "method that is a path": metadata(method=[OUTSIDE]),
            "outputs without end": metadata(outputs=[{"name": "y", "shape": [10**9] * 60}]),
            "pipe": special(os.mkfifo),
            "folder": special(os.mkdir),
            "gigantic": special(gigantic),
            "device": special(lambda path: path.symlink_to("/dev/zero")),
        }.items()
    },
    **{
        name: Hostile("comparison", make)
        for name, make in {
            "method outside": named(OUTSIDE),
            "method in a folder": named("a/b"),
            "method elsewhere": named("/tmp/marker"),
            "method with a null": named("deepshap\0"),
            "method that is a device": named("con"),
            "method of another case": named("FastISM"),
            "method without an end": named("m" * 5000),
            "deep evaluation": evaluated(lambda stored: DEEP),
            "evaluation of one number": evaluated(lambda stored: ONE_BIG),
            "evaluation of very many lists": evaluated(lambda stored: "[" + "0," * 21_000_000 + "0]"),
            "evaluation twice over": evaluated(lambda stored: '{"format": 1, "format": 1}'),
            "evaluation in no encoding": evaluated(lambda stored: b'{"format": "\xff"}'),
            "evaluation with infinity": evaluated(_set("predictions", 0, float("inf"))),
            "scripts and formulas as names": evaluated(
                lambda stored: (
                    _set("sites", 0, "name", "</script><script>alert(1)</script>")(stored),
                    _set("methods", 0, "label", r"$\frac{$ </script><script>alert(1)</script>")(stored),
                )
            ),
            "label without an end": evaluated(_set("methods", 0, "label", "x" * 10**6)),
            "very many methods": evaluated(
                lambda stored: stored["methods"].extend({"method": f"m{i}", "reason": "it failed"} for i in range(9999))
            ),
            "other sequences": evaluated(_set("strings", ["ACGTAA"] * 3)),
            "shorter sequences": evaluated(_set("strings", ["ACG"] * 3)),
            "another method's scores": scored(
                lambda scores: shutil.copy(scores / "deepshap.npz", scores / "fastism.npz"),
            ),
            "pickle among the scores": scored(
                lambda scores: (scores / "fastism.npz").write_bytes(npy(np.array([{}], dtype=object)))
            ),
            "gigantic evaluation": scored(lambda scores: gigantic(scores.parent / "evaluation.json")),
        }.items()
    },
    **{
        name: Hostile("benchmark", make)
        for name, make in {
            "deep record": recorded(lambda stored: '{"schema": 1, "settings": ' + DEEP + "}"),
            "deep settings": recorded(_set("settings", json.loads("[" * 500 + "]" * 500))),
            "record with NaN": recorded(_set("durations", [float("nan")])),
            "record without units": recorded(lambda stored: stored["done"].pop("outputs")),
            "budget of text": recorded(_set("settings", "budget", "forever")),
            "cores of text": recorded(_set("machine", "cores", "many")),
            "seconds without measure": recorded(_set("durations", [1e300])),
            "count without measure": recorded(_set("asked", "positions", 10**400)),
            "negative work": recorded(_set("done", {"sequences": -2, "positions": -1000, "outputs": 1})),
            "markup and formulas as names": recorded(
                lambda stored: (
                    _set("workload", "architecture", r"$\undefined{")(stored),
                    _set("label", "Fast |<b>&\n# heading")(stored),
                )
            ),
            "gigantic record": beside(lambda folder: gigantic(folder / "records" / "x.json")),
            "pipe among the records": beside(lambda folder: os.mkfifo(folder / "records" / "x.json")),
            "device among the records": beside(lambda folder: (folder / "records" / "x.json").symlink_to("/dev/zero")),
            "logos outside": logos(framework=OUTSIDE),
            "logos of another shape": logos(alphabet="ACGTN"),
            "logos without an end": logos(letters="A" * 10**6, length=10**7),
            "profile of nothing": profiled("[[]]"),
            "deep profile": profiled(DEEP),
        }.items()
    },
}
"""Name -> file or folder."""


def write_corpus(folder: Path) -> dict[str, Path]:
    """Write the corpus, a folder each; returns the path to read of each."""
    written = {}
    for index, (name, hostile) in enumerate(CORPUS.items()):
        place = folder / f"{index:02d}"
        place.mkdir(parents=True)
        written[name] = hostile.make(place, folder / "marker")
    return written


if __name__ == "__main__":
    for case, made in write_corpus(Path(sys.argv[1])).items():
        print(f"{case}: {made}")
