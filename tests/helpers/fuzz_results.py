"""Damaged stored results, for the fuzzer: right ones with values, arrays, members or bytes changed."""

import contextlib
import copy
import io
import json
import random
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import stored_results
from attribution_bench.errors import AttributionBenchError
from fuzz import Target
from result_readers import Reader, attributions, benchmark, comparison, drawn_attributions, mutations, panels, report

SHORT = 25
"""Cases of the short run."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 3.5, -0.0, 5e-324, 1e-13, 1e12, 1e149, 1e308, float("nan"), float("inf"), 2**31,
    2**53, 2**64, 10**160, "", " ", "x", "fastism", "FastISM", "ACGT", "AC", "../x", "a/b", "con", "a\0b", "\ud800",
    "é", "\u202e", "\n", "$\\frac{", "</script>", "<b>|&", "x" * 400, [], {}, [[]], [None], {"x": 1}, [1, 2, 3],
    [1.0, "x"], {"name": "y", "shape": [2]}, "ok", "failed", "2", "1e5", "centred", "l2", "-", ".",
)  # fmt: skip
DTYPES = ("<f4", ">f8", "<f2", "<i8", ">i4", "|u1", "<u8", "|b1", "<c8", "<U3", ">U1", "|S4", "<M8[s]", "O", "<f8,<i4")


def _places(data: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every value inside plain data."""
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = [(*place, key) for key, _ in entries]
    return [*found, *(deeper for key, value in list(entries) for deeper in _places(value, (*place, key)))]


def damaged_data(random: random.Random, data: Any) -> Any:
    """Return plain data with a few values replaced, removed, added, moved or repeated."""
    data = copy.deepcopy(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = _places(data)
        if not places:
            return random.choice(VALUES)
        *keys, last = random.choice(places)
        inside = data
        for key in keys:
            inside = inside[key]
        kind = random.random()
        if kind < 0.5:
            inside[last] = copy.deepcopy(random.choice(VALUES))
        elif kind < 0.6:
            del inside[last]
        elif kind < 0.7 and isinstance(inside, list):
            inside.insert(last, copy.deepcopy(random.choice([*VALUES, *inside])))
        elif kind < 0.8 and isinstance(inside, dict):
            inside[random.choice(("x", "schema", "format", "label", "sequences", ""))] = random.choice(VALUES)
        elif kind < 0.9:
            other = random.choice(places)
            value = data
            for key in other:
                value = value[key] if isinstance(value, dict | list) and _has(value, key) else value
            inside[last] = copy.deepcopy(value)
        elif isinstance(inside[last], int | float) and not isinstance(inside[last], bool):
            inside[last] = inside[last] * random.choice((-1, 0, 2, 0.5, 1e6, 1e-9)) + random.choice((0, 0, 1, -1))
    return data


def _has(data: Any, key: Any) -> bool:
    return key in data if isinstance(data, dict) else isinstance(key, int) and key < len(data)


def damaged_bytes(random: random.Random, content: bytes) -> bytes:
    """Return bytes with some changed, cut out or repeated."""
    damaged = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(damaged) + 1)
        kind = random.random()
        if kind < 0.6 and at < len(damaged):
            damaged[at] = random.randrange(256)
        elif kind < 0.7:
            del damaged[at:]
        elif kind < 0.85:
            del damaged[at : at + random.randrange(1, 20)]
        else:
            damaged[at:at] = damaged[at : at + random.randrange(1, 50)]
        if not damaged:
            break
    return bytes(damaged)


def damage_json(random: random.Random, path: Path) -> None:
    """Damage a JSON file, mostly as data, else as text."""
    content = path.read_bytes()
    if random.random() < 0.85:
        content = json.dumps(damaged_data(random, json.loads(content))).encode()
    else:
        content = damaged_bytes(random, content)
    path.write_bytes(content)


def damage_npz(random: random.Random, path: Path) -> None:
    """Damage an archive: its bytes, its members' bytes, its arrays or its metadata."""
    kind = random.random()
    if kind < 0.15:
        path.write_bytes(damaged_bytes(random, path.read_bytes()))
        return
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    if kind < 0.3:
        name = random.choice(list(members))
        head, rest = members[name][:128], members[name][128:]
        members[name] = (
            damaged_bytes(random, head) + rest if random.random() < 0.8 else damaged_bytes(random, head + rest)
        )
    else:
        for _ in range(random.choice((1, 1, 2))):
            # Some changes are none that an array can have, or follow one after which nothing is left to change.
            with (
                contextlib.suppress(ValueError, TypeError, IndexError, OverflowError, EOFError),
                np.errstate(all="ignore"),
            ):
                _damage_member(random, members)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", random.choice((0, 8, 8))) as file:
        warnings.simplefilter("ignore")
        for name, data in members.items():
            file.writestr(name, data)


def _damage_member(random: random.Random, members: dict[str, bytes]) -> None:
    name = random.choice(list(members))
    kind = random.random()
    if kind < 0.1:
        del members[name]
    elif kind < 0.2:
        members[random.choice(("x.npy", "scores.npy", "predictions/x.npy", "../y.npy", "names.npy", name))] = members[
            name
        ]
    elif kind < 0.3:
        members[name] = members[random.choice(list(members))]
    elif kind < 0.55 and "metadata.npy" in members:
        metadata = json.loads(str(np.load(io.BytesIO(members["metadata.npy"]))))
        text = json.dumps(damaged_data(random, metadata)).replace("\\ud800", "?")
        members["metadata.npy"] = _npy(np.array(text))
    else:
        values = np.load(io.BytesIO(members[name]))
        members[name] = _npy(_damaged_array(random, values))


def _damaged_array(random: random.Random, values: Any) -> Any:
    kind = random.random()
    if kind < 0.3:
        return values.astype(random.choice(DTYPES))
    if kind < 0.5 and values.ndim:
        axis = random.randrange(values.ndim)
        return np.take(values, random.choices(range(values.shape[axis]), k=random.randrange(6)), axis=axis)
    if kind < 0.6:
        return random.choice((values[None], values.T, values.ravel(), np.asfortranarray(values), values[..., None]))
    values = values.copy()
    if values.size:
        place = np.unravel_index(random.randrange(values.size), values.shape)
        values[place] = random.choice((np.nan, np.inf, 0, 1, -1, 2, 1e300, 3e38, 2**62, -(2**63), "x", "\u202e", 0.5))
    return values


def _npy(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def _archive(make: Callable[[Path], Path], read: Reader) -> Target:
    def damaged(random: random.Random, folder: Path) -> Path:
        path = make(folder / "a")
        damage_npz(random, path)
        return path

    return Target(lambda folder: [make(folder / "a")], damaged, read, SHORT)


def _folder(make: Callable[[Path], Path], read: Reader, short: int, only: str | None = None) -> Target:
    """Return a target that damages one file of a folder, which is made once and copied."""

    @cache
    def made() -> dict[Path, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            return {path.relative_to(folder): path.read_bytes() for path in paths}

    def honest(folder: Path) -> list[Path]:
        for name, content in made().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return [folder]

    def damaged(random: random.Random, folder: Path) -> Path:
        honest(folder)
        name = random.choice([name for name in made() if name.suffix in (".json", ".npz")])
        name = name if only is None else Path(only)
        (damage_npz if name.suffix == ".npz" else damage_json)(random, folder / name)
        return folder

    return Target(honest, damaged, read, short)


def all_attributions(path: Path) -> None:
    """Read an attribution result in every way."""
    for reader in (attributions, drawn_attributions, panels):
        with contextlib.suppress(AttributionBenchError):
            reader(path)
    attributions(path)


comparison_folder, benchmark_folder = stored_results.comparison_folder, stored_results.benchmark_folder
TARGETS = {
    "predictions": _archive(lambda path: stored_results.attribution().save(path), all_attributions),
    "scores": _archive(lambda path: stored_results.attribution("deepshap", False).save(path), all_attributions),
    "mutations": _archive(lambda path: stored_results.mutations().save(path), mutations),
    "evaluation": _folder(comparison_folder, comparison, SHORT, "evaluation.json"),
    "comparison": _folder(comparison_folder, comparison, SHORT),
    "records": _folder(benchmark_folder, benchmark, SHORT),
    "profiles": _folder(stored_results.engine_folder, benchmark, SHORT),
    "comparison_report": _folder(comparison_folder, report, 0),
    "benchmark_report": _folder(benchmark_folder, report, 0),
    "engine_report": _folder(stored_results.engine_folder, report, 0),
}
"""Readers by their names; whole reports with figures take a second each, and have no short run."""
