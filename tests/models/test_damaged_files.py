"""Model files that are damaged, or are not what their names say: the message says what is wrong, and what would do."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attribution_bench.errors import ModelError
from attribution_bench.models.loading import model_source
from attribution_bench.models.model_files import read_exported, read_keras
from attribution_bench.models.weight_files import load_weights

keras = pytest.importorskip("keras")
safetensors = pytest.importorskip("safetensors.torch")

PAGE, POINTER = b"<!DOCTYPE html><html></html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"
AGAIN = "copy or download the file again, or write it anew with "
WRITTEN_BY = {
    ".keras": "model.save()",
    ".h5": "model.save()",
    ".pt2": "torch.export.save()",
    ".safetensors": "safetensors.torch.save_file(model.state_dict(), FILE)",
    ".pt": "torch.save(model.state_dict(), FILE)",
    ".weights.h5": "model.save_weights()",
}
ARCHIVES, HDF5 = (".keras", ".pt2", ".pt"), (".h5", ".weights.h5")
Change = Callable[[dict[str, bytes]], object]


def built() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv1d(4, 3, 5), torch.nn.Flatten(), torch.nn.Linear(48, 1)).eval()


def built_in_keras() -> "keras.Model":
    layers = keras.layers
    return keras.Sequential([keras.Input((20, 4)), layers.Conv1D(3, 5), layers.Flatten(), layers.Dense(1)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files as they are written, by their suffixes."""
    folder, module, model = tmp_path_factory.mktemp("whole"), built(), built_in_keras()
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    model.save_weights(folder / "model.weights.h5")
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.zeros(2, 4, 20),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "model.pt2")
    safetensors.save_file(module.state_dict(), folder / "model.safetensors")
    torch.save(module.state_dict(), folder / "model.pt")
    return {suffix: (folder / f"model{suffix}").read_bytes() for suffix in WRITTEN_BY}


READERS: dict[str, Callable[[Path], object]] = {
    ".keras": read_keras,
    ".h5": read_keras,
    ".pt2": read_exported,
    ".safetensors": lambda path: load_weights(built(), path),
    ".pt": lambda path: load_weights(built(), path),
    ".weights.h5": lambda path: load_weights(built_in_keras(), path),
}


def said_of(folder: Path, suffix: str, content: bytes) -> str:
    """Return what the reader of a suffix says of a file that it must refuse."""
    path = folder / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        READERS[suffix](path)
    said = str(caught.value)
    assert said.startswith(f"{path} cannot be read as ")
    return said


@pytest.mark.parametrize("suffix", WRITTEN_BY)
def test_what_is_no_model_is_told_by_its_beginning(suffix: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    assert said_of(tmp_path, suffix, b"").endswith(f"it is empty; {AGAIN}{WRITTEN_BY[suffix]}")
    assert "a page of HTML or XML" in said_of(tmp_path, suffix, PAGE)
    assert said_of(tmp_path, suffix, POINTER).endswith("git lfs pull")
    other = whole[".h5"] if suffix not in HDF5 else whole[".keras"]
    assert f"it is {'an HDF5 file' if suffix not in HDF5 else 'a zip archive'}, as" in said_of(tmp_path, suffix, other)


@pytest.mark.parametrize("suffix", WRITTEN_BY)
@pytest.mark.parametrize("left", [0.5, 0.99])
def test_files_that_are_cut_off_are_called_so(
    suffix: str, left: float, whole: dict[str, bytes], tmp_path: Path
) -> None:
    size = int(left * len(whole[suffix]))
    said = said_of(tmp_path, suffix, whole[suffix][:size])
    assert said.endswith(f"; {AGAIN}{WRITTEN_BY[suffix]}")
    assert "cut off" in said
    if suffix in HDF5:
        assert f"{size:,} of {len(whole[suffix]):,} bytes are there" in said


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".pt2", ".weights.h5"])
def test_noise_is_said_to_be_of_another_form(suffix: str, tmp_path: Path) -> None:
    said = said_of(tmp_path, suffix, bytes(range(1, 200)))
    assert f"it is no {'HDF5 file' if suffix in HDF5 else 'zip archive'}, which it has to be; {AGAIN}" in said


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_a_member_whose_bytes_have_changed_is_named(suffix: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    content = bytearray(whole[suffix])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    # A member begins after a header of 30 bytes, its name, and the padding by which PyTorch aligns tensors.
    content[largest.header_offset + 30 + len(largest.filename) + largest.file_size // 2 + 64] ^= 255
    said = said_of(tmp_path, suffix, bytes(content))
    assert f"its member {largest.filename!r} is not what was packed: bytes of it have changed; {AGAIN}" in said


def changed(content: bytes, change: Change) -> bytes:
    """Return an archive whose members were changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


CONFIG, WEIGHTS, PROGRAM, TENSOR = (
    "config.json", "model.weights.h5", "model/models/model.json", "model/data/weights/weight_0",
)  # fmt: skip
PARTS: dict[str, tuple[str, Change, str]] = {
    "no layers": (".keras", lambda m: m.pop(CONFIG), f"it lacks {CONFIG}, which holds the layers; its {WEIGHTS}, unpa"),
    "no weights": (".keras", lambda m: m.pop(WEIGHTS), f"it lacks {WEIGHTS}, which holds the weights; {AGAIN}"),
    "empty": (
        ".keras",
        lambda m: m.update({CONFIG: b""}),
        f"its {CONFIG} is damaged: nothing stands where JSON should",
    ),
    "no JSON": (
        ".keras",
        lambda m: m.update({CONFIG: b"{1"}),
        f"its {CONFIG} is damaged: no JSON can be read in it (Ex",
    ),
    "no text": (".keras", lambda m: m.update({CONFIG: b"\xff"}), f"be read in it (UnicodeDecodeError); {AGAIN}"),
    "weights cut off": (
        ".keras",
        lambda m: m.update({WEIGHTS: m[WEIGHTS][:900]}),
        f"its {WEIGHTS} is damaged: it is an HDF5 file that is cut off: 900 of",
    ),
    "folder": (
        ".keras",
        lambda m: [m.update({f"a/{name}": m.pop(name)}) for name in list(m)],
        f"its {CONFIG} lies in the folder 'a/'; pack what is in that folder with: zip -0",
    ),
    "something else": (
        ".keras",
        lambda m: (m.clear(), m.update({"notes.txt": b""})),
        f"it is a zip archive of something else: it has neither {CONFIG} nor {WEIGHTS}",
    ),
    "no program": (".pt2", lambda m: m.pop(PROGRAM), f"it lacks models/model.json; {AGAIN}torch.export.save()"),
    "program cut off": (
        ".pt2",
        lambda m: m.update({PROGRAM: m[PROGRAM][:500]}),
        "its models/model.json is damaged: no JSON can be read in it",
    ),
    "a tensor cut off": (
        ".pt2",
        lambda m: m.update({TENSOR: b""}),
        f"its data/weights/weight_0 is damaged: it states a tensor that ends at value 60 of 0; {AGAIN}",
    ),
}
"""Suffix, what is done to the members, and what is said."""


@pytest.mark.parametrize(("suffix", "change", "words"), PARTS.values(), ids=PARTS)
def test_what_is_wrong_with_a_part_is_said_with_its_name(
    suffix: str, change: Change, words: str, whole: dict[str, bytes], tmp_path: Path
) -> None:
    assert words in said_of(tmp_path, suffix, changed(whole[suffix], change))


def test_a_file_of_torch_save_is_no_exported_program(whole: dict[str, bytes], tmp_path: Path) -> None:
    said = said_of(tmp_path, ".pt2", whole[".pt"])
    assert "torch.save wrote it, and not torch.export.save" in said
    assert "my_models:build?weights=FILE" in said


def test_the_whole_files_are_read(whole: dict[str, bytes], tmp_path: Path) -> None:
    for suffix in (".keras", ".h5", ".pt2"):
        (tmp_path / f"model{suffix}").write_bytes(whole[suffix])
        model_source(str(tmp_path / f"model{suffix}")).open()
