"""HDF5 files without the HDF5 library: the same values as h5py reads, and one error for everything else."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from attribution_bench.models.untrusted.hdf5 import Group, read_hdf5
from attribution_bench.models.untrusted.refused import Refused


def written(fill: Callable[[Any], None], **options: Any) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as opened:
        fill(opened)
    return file.getvalue()


def everything(file: Any) -> None:
    file.attrs["text"] = "grün " * 20_000
    file.attrs["bytes"] = np.bytes_(b"2.3.1")
    file.attrs["texts"] = ["a", "", "longer than others"]
    file.attrs["names"] = np.array([b"conv1d", b"dense"])
    file.attrs["number"], file.attrs["real"], file.attrs["flag"] = 3, np.float32(0.5), True
    file.attrs["grid"] = np.arange(6).reshape(2, 3)
    for i in range(70):
        group = file.create_group(f"layers/layer_{i}/vars")
        for j in range(30 if i == 3 else 2):
            group.attrs[f"attribute_{j}"] = j
        for kind in ("f2", "f4", "f8", "i1", "u2", "i4", "u8", ">f4", "?"):
            group.create_dataset(kind.replace(">", "big_"), data=np.arange(i + 2).astype(kind))
        group.create_dataset("one", data=np.float64(i))
        group.create_dataset("none", data=np.zeros((0, 3), "f4"))
        group.create_dataset("kernel", data=np.random.default_rng(i).random((5, 4, 3), "f4"))
        file.create_group(f"empty_{i}")


def assert_same(theirs: Any, ours: Group) -> None:
    assert set(theirs) == set(ours.groups) | set(ours.arrays)
    pairs = [(theirs.attrs, ours.attributes)]
    for name, part in theirs.items():
        if isinstance(part, h5py.Group):
            assert_same(part, ours.groups[name])
        else:
            values = ours.arrays[name].values
            assert values.dtype == part.dtype.newbyteorder("=")
            assert np.array_equal(values, part[()])
            pairs.append((part.attrs, ours.arrays[name].attributes))
    for expected, found in pairs:
        assert set(expected) == set(found)
        for name, value in expected.items():
            assert np.array_equal(np.asarray(value), np.asarray(found[name]))


def test_values_are_those_of_h5py() -> None:
    content = written(everything)
    ours = read_hdf5(content)
    with h5py.File(io.BytesIO(content)) as theirs:
        assert_same(theirs, ours)
    assert ours.values() == sum(9 * (i + 2) + 1 + 60 for i in range(70))


def links(file: Any) -> None:
    file["soft"] = h5py.SoftLink("/elsewhere")


def twice(file: Any) -> None:
    file["a"] = file.create_dataset("b", data=[1.0])


def circle(file: Any) -> None:
    group = file.create_group("a/b")
    group["c"] = file["a"]


def texts(file: Any) -> None:
    file["a"] = ["text"]


def named_type(file: Any) -> None:
    file["kind"] = np.dtype("f8")
    file.create_dataset("a", data=[1.0], dtype=file["kind"])


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "compressed": (lambda file: file.create_dataset("a", data=np.zeros(9), compression="gzip"), "compressed"),
    "shuffled": (lambda file: file.create_dataset("a", data=np.zeros(9), shuffle=True), "compressed"),
    "in pieces": (lambda file: file.create_dataset("a", data=np.zeros(9), chunks=(3,)), "one piece"),
    "unwritten": (lambda file: file.create_dataset("a", (1 << 40,), "f8"), "0 are stored"),
    "outside": (lambda file: file.create_dataset("a", (4,), "f4", external=[("/etc/passwd", 0, 16)]), "other files"),
    "soft link": (links, "link"),
    "two names": (twice, "two of its names"),
    "circle": (circle, "two of its names"),
    "texts": (texts, "texts"),
    "records": (lambda file: file.create_dataset("a", data=np.zeros(3, "f4,i4")), "type"),
    "complex": (lambda file: file.create_dataset("a", data=np.zeros(3, "c8")), "type"),
    "opaque": (lambda file: file.create_dataset("a", data=np.zeros(3, "V5")), "type"),
    "named type": (named_type, "."),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_keras_does_not_write_is_refused(kind: str) -> None:
    fill, reason = REFUSED[kind]
    with pytest.raises(Refused, match=reason):
        read_hdf5(written(fill))


@pytest.mark.parametrize("options", [{"libver": "latest"}, {"userblock_size": 512}, {"track_order": True}])
def test_other_layouts_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"another layout|no HDF5 file"):
        read_hdf5(written(everything, **options))


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    content = written(lambda file: file.create_dataset("a/b", data=np.arange(50.0)))
    read_hdf5(content)
    for size in range(0, len(content), 37):
        with pytest.raises(Refused):
            read_hdf5(content[:size])
