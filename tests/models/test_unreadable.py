"""What is said of files that no reader takes: the way in that works is in the message."""

import dis
import gzip
import io
import json
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from attribution_bench.errors import ModelError
from attribution_bench.models.loading import model_source
from attribution_bench.models.untrusted.refused import Damaged
from attribution_bench.models.untrusted.zip_archive import NO_ARCHIVE, read_members

keras = pytest.importorskip("keras")


def long_name() -> bytes:
    """Return the header of a member of tar whose name claims eight gigabytes."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 8**11 - 1
    return header.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


LONG_NAME = long_name()
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
TAR = tarfile.TarInfo("model.h5").tobuf() + bytes(1024)
RANDOM = np.random.default_rng(0).bytes(2000)
CUT_OFF = len(HEADER).to_bytes(8, "little") + HEADER + bytes(8)


def written(tmp_path: Path, name: str, content: bytes = b"") -> str:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def small(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((20, 4)), *layers, keras.layers.Flatten(), keras.layers.Dense(1)])


def test_a_folder_of_folds_names_a_file_of_it(tmp_path: Path) -> None:
    folder = Path(written(tmp_path, "folds/fold_1.pt2")).parent
    written(tmp_path, "folds/fold_0.keras")
    with pytest.raises(ModelError, match=r"is a folder; give a model file, such as .*fold_0\.keras .*--fold"):
        model_source(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("weights.safetensors", b"", r"holds weights and no model.*my_models:build\?weights="),
        ("model.onnx", b"", r"is an ONNX model.*onnx2torch.*my_models:build: def build.*torchvision"),
        ("nomodel.zip", b"PK\x03\x04", "names no model: it is a zip archive of something else"),
        ("cut.safetensors", CUT_OFF, "holds weights and no model, and is cut off"),
        (
            "model.h5.gz",
            gzip.compress(b"model", mtime=0),
            "names no model: it is compressed by gzip; unpack it with: gunzip",
        ),
        ("model.tar.gz", gzip.compress(bytes(TAR), mtime=0), "names no model: it is an archive of tar; unpack it"),
        ("stored.tgz", gzip.compress(bytes(TAR), 0, mtime=0), "names no model: it is an archive of tar; unpack it"),
        ("cut.tar.gz", gzip.compress(RANDOM, mtime=0)[:400], "names no model: it is compressed by gzip"),
        ("broken.tar.gz", b"\x1f\x8b\x08" + bytes(20), "names no model: it is compressed by gzip"),
        ("model.tar", TAR, "names no model: it is an archive of tar; unpack it"),
        ("hostile", LONG_NAME, "names no model: it is an archive of tar; unpack it"),
        ("hostile.gz", gzip.compress(LONG_NAME, mtime=0), "names no model: it is an archive of tar; unpack it"),
        ("zeros", bytes(4096), "names no model: it is a file of another kind"),
        (
            "model.hdf",
            b"\x89HDF\r\n\x1a\n",
            "names no model: it is an HDF5 file, as .h5 files are; give it that suffix",
        ),
        ("model.xml", b"<?xml version='1.0'?><net/>", "is XML, as OpenVINO writes models, which is not read here"),
        (
            "run/best.data-00000-of-00001",
            b"",
            r"run/best is a checkpoint of TensorFlow.*tf_keras.*load_weights\('.*run/best'\)",
        ),
        ("genome.index", b"letters", "names no model: it is a file of another kind"),
        ("model.empty", b"", "names no model: it is empty"),
        ("model.tflite", b"", "is a TensorFlow Lite model"),
        ("model.pt", b"", r"unpickled.*my_models:build\?weights=.*torch\.export\.save"),
        ("model.joblib", b"", "unpickled.*my_models:build$"),
        ("architecture.json", b'{"class_name": "Sequential"}', "without its weights.*import keras;.*load_weights"),
        (
            "architecture.json",
            b'{"class_name": "Sequential", "keras_version": "2.11.0"}',
            r"without its weights.*import tf_keras;.*tf_keras\.models\.model_from_json",
        ),
        ("saved_model/saved_model.pb", b"", "is a TensorFlow SavedModel.*TFSMLayer"),
        ("other.json", b'{"a": 1}', "names no model"),
        ("damaged.json", b"{", "names no model"),
    ],
)
def test_a_file_says_how_its_model_gets_in(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        model_source(written(tmp_path, name, content))


@pytest.mark.parametrize("name", ["model.onnx", "with 'quotes'.ONNX"])
def test_what_is_said_of_onnx_is_code_that_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, name)
    with pytest.raises(ModelError) as caught:
        model_source(path)
    code = str(caught.value).partition("my_models:build: ")[2].partition(". onnx2torch imports torchvision")[0]
    monkeypatch.setitem(sys.modules, "onnx2torch", SimpleNamespace(convert=lambda given: [given]))
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["build"]() == [path]


def test_folders_are_told_apart(tmp_path: Path) -> None:
    written(tmp_path, "tensorflow/saved_model.pb")
    written(tmp_path, "transformers/config.json", b"{}")
    written(tmp_path, "else/notes.txt")
    with pytest.raises(ModelError, match=r"TensorFlow SavedModel.*TFSMLayer"):
        model_source(str(tmp_path / "tensorflow"))
    with pytest.raises(ModelError, match=r"Hugging Face.*from_pretrained.*docs/models\.md"):
        model_source(str(tmp_path / "transformers"))
    with pytest.raises(ModelError, match="names no model"):
        model_source(str(tmp_path / "else"))


def test_a_checkpoint_of_torch_with_another_suffix_is_told_and_its_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 1))
    for name in ("model_best.pth.tar", "model.weights"):
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / name)
        with pytest.raises(ModelError, match=r"would have to be unpickled.*my_models?:build"):
            model_source(str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    Path("of_a_tar.py").write_text(
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(40, 1))\n"
    )
    opened = model_source("of_a_tar:build?weights=model_best.pth.tar").open()
    assert torch.equal(opened.model[1].weight, model[1].weight)


@pytest.mark.parametrize("name", ["old.pth.tar", "old.tar", "old.pth", "old.pkl"])
def test_what_torch_saved_before_1_6_is_a_pickle_whatever_its_suffix(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    torch.save({"state_dict": torch.nn.Linear(2, 1).state_dict()}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"would have to be unpickled.*my_models?:build"):
        model_source(str(path))


@pytest.mark.parametrize("error", NO_ARCHIVE)
def test_whatever_a_damaged_archive_makes_zipfile_raise_it_is_told_what_it_is(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: Any) -> None:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "") if error is UnicodeError else error("damaged")

    monkeypatch.setattr("zipfile.ZipFile.__init__", failing)
    with pytest.raises(ModelError, match="names no model: it is a zip archive of something else"):
        model_source(written(tmp_path, "weights.zip", b"PK\x03\x04"))
    with pytest.raises(Damaged):
        read_members(io.BytesIO(b"PK\x03\x04" + b"PK\x05\x06" + bytes(18)))


def test_a_folder_with_a_model_further_down_names_it(tmp_path: Path) -> None:
    written(tmp_path, "mlflow/MLmodel")
    written(tmp_path, "mlflow/data/model.pth")
    with pytest.raises(ModelError, match=r"is a folder; give a model file, such as .*mlflow/data/model\.pth"):
        model_source(str(tmp_path / "mlflow"))
    written(tmp_path, "checkpoints/checkpoint")
    for name in ("a[1].index", "a[1].data-00000-of-00001", "b.index", "b.data-00000-of-00001", "genome.index"):
        written(tmp_path, f"checkpoints/{name}")
    with pytest.raises(ModelError, match="checkpoints/b is a checkpoint of TensorFlow"):
        model_source(str(tmp_path / "checkpoints"))
    with pytest.raises(ModelError, match=r"checkpoints/a\[1\] is a checkpoint of TensorFlow"):
        model_source(str(tmp_path / "checkpoints/a[1].index"))
    written(tmp_path, "checkpoints/best.keras")
    with pytest.raises(ModelError, match=r"give a model file, such as .*checkpoints/best\.keras"):
        model_source(str(tmp_path / "checkpoints"))


def test_torchscript_is_not_called_a_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.trace(torch.nn.Flatten(), torch.zeros(2, 4, 5)).save(str(path))
    with pytest.raises(ModelError, match=r"is a TorchScript file.*torch\.jit\.load"):
        model_source(str(path))


class Gate(keras.layers.Layer):  # type: ignore[misc, name-defined]
    """A layer that Keras does not have."""

    def call(self, x: Any) -> Any:
        return x * keras.ops.sigmoid(x)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_layer_of_ones_own_is_named_with_its_class(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"own{suffix}"
    small(Gate(name="the_gate")).save(path)
    source = model_source(str(path))
    with pytest.raises(ModelError, match=r"its layer 'the_gate' is a '.*Gate'.*custom_objects=\{'Gate': Gate\}"):
        source.open()


def test_files_of_keras_1_are_called_so(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "old.h5"
    small().save(path)
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "1.2.2"
    with pytest.raises(ModelError, match=r"Keras '1\.2\.2' wrote it.*builds the model anew.*my_models:build\?weights="):
        model_source(str(path)).open()


def test_what_keras_3_wrote_is_never_called_a_file_of_keras_2(tmp_path: Path) -> None:
    import zipfile

    path, changed = tmp_path / "model.keras", tmp_path / "changed.keras"
    small(keras.layers.Conv1D(3, 5)).save(path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(changed, "w") as other:
        for member in archive.namelist():
            content = archive.read(member)
            if member == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["kernel_size"] = [7]  # not that of the weights
                content = json.dumps(config).encode()
            other.writestr(member, content)
    with pytest.raises(ModelError) as caught:
        model_source(str(changed)).open()
    assert "Keras 2" not in str(caught.value)
    assert "tf_keras" not in str(caught.value)


def test_a_program_exported_for_one_row_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "one.pt2"
    module = torch.nn.Sequential(torch.nn.Conv1d(4, 2, 3), torch.nn.Flatten()).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 4, 9),)), path)
    model = model_source(str(path)).open()
    with pytest.raises(ModelError, match=r"takes batches of 1 and no others.*torch\.export\.Dim"):
        model.predict(np.zeros((2, 4, 9), np.float32))


def test_why_keras_refuses_a_length_is_said() -> None:
    import attribution_bench as ab

    model = ab.as_sequence_model(small(keras.layers.Conv1D(3, 5)))
    with pytest.raises(ModelError) as caught:
        model.outputs(21)
    said = str(caught.value)
    assert "Exception encountered" not in said
    assert "\x1b" not in said
    assert "48" in said.partition("letters): ")[2]  # what the dense layer takes


def test_the_functions_that_messages_give_are_complete(tmp_path: Path) -> None:
    """What `def build()` of a message reads is imported by it, or is in capitals for the user to fill in."""
    torch.jit.trace(torch.nn.Flatten(), torch.zeros(2, 4, 5)).save(str(tmp_path / "script.pt"))
    small(keras.layers.Lambda(lambda x: x)).save(tmp_path / "code.keras")
    small(Gate(name="the_gate")).save(tmp_path / "own.keras")
    written(tmp_path, "saved/saved_model.pb")
    written(tmp_path, "architecture.json", b'{"class_name": "Sequential"}')
    for name in ("script.pt", "code.keras", "own.keras", "saved", "architecture.json"):
        with pytest.raises(ModelError) as caught:
            model_source(str(tmp_path / name)).open()
        _, found, text = str(caught.value).partition("def build()")
        assert found, name
        namespace: dict[str, Any] = {}
        exec(found + text, namespace)
        read = {one.argval for one in dis.get_instructions(namespace["build"]) if one.opname == "LOAD_GLOBAL"}
        assert all(word.isupper() or word in ("open", "Gate") for word in read), read
