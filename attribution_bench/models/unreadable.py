"""What to do with model files that no reader here takes: said by kind, so that a newcomer gets the model running."""

import glob
import json
import zipfile
from pathlib import Path, PurePath

from attribution_bench.models.untrusted.zip_archive import NO_ARCHIVE
from attribution_bench.models.weight_files import PICKLED, SAFETENSORS

FUNCTION = "write a function that builds the model in a file, say my_models.py, and name it as my_models:build"
CONVERT = "convert the model to PyTorch or Keras with the tools of its format, or " + FUNCTION
ONNX = ".onnx"
OTHER_FORMATS = {
    ONNX: "an ONNX model",
    ".tflite": "a TensorFlow Lite model",
    ".mlmodel": "a Core ML model",
    ".mlpackage": "a Core ML model",
    ".pb": "a TensorFlow graph",
    ".xml": "XML, as OpenVINO writes models",
    ".npz": "a NumPy archive",
    ".npy": "a NumPy array",
    ".rds": "an R object",
}
"""Suffix -> what such a file is."""
PYTHON = ".py"
CHECKPOINT, CHECKPOINT_DATA = ".index", ".data-"
"""Suffix of a file of a TensorFlow checkpoint, and the beginning of that of the others."""
PICKLES = (*PICKLED, ".pkl", ".pickle", ".joblib")
"""Suffixes of files that hold pickles, those of torch.save and others."""
MODELS = (".pt2", ".keras", ".h5", ".hdf5")
"""Suffixes of files that are read."""
MOST_BYTES = 1 << 24
"""Bytes of a text that are looked at."""


def advice(path: Path) -> str | None:
    """Return what a file or folder is and how its model gets in, as a sentence; None for one of no known kind.

    Nothing of it is loaded.
    """
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if path.name == "saved_model.pb":
        return saved_model(path.parent)
    if suffix == SAFETENSORS:
        return weights_alone(path)
    if suffix == PYTHON:
        return python_code(path, "build")
    if suffix == ".json":
        return _json(path)
    if suffix == ONNX:
        return onnx(path)
    if suffix in OTHER_FORMATS:
        return f"{path} is {OTHER_FORMATS[suffix]}, which is not read here; {CONVERT}"
    if suffix.startswith(CHECKPOINT_DATA) or (suffix == CHECKPOINT and _has_data(path)):
        return checkpoint(path.with_suffix(""))
    # Opening a pipe would wait for whoever writes into it.
    if path.is_file() and any(PurePath(name).name == "data.pkl" for name in _members(path)):
        return pickled(path)
    return None


def checkpoint(prefix: Path) -> str:
    """Say how a checkpoint of TensorFlow gets in, of which the files' names begin with a path."""
    return (
        f"{prefix} is a checkpoint of TensorFlow, which holds weights without a model; {FUNCTION}: it builds the model "
        f"with tf_keras, as Keras 3 reads no such file, calls model.load_weights({str(prefix)!r}) and returns it"
    )


def onnx(path: Path) -> str:
    """Say how an ONNX model gets in."""
    return (
        f"{path} is an ONNX model, which is not read here; with the package onnx2torch, {FUNCTION}: "
        f"def build(): import onnx2torch; return onnx2torch.convert({str(path)!r}). onnx2torch imports torchvision, "
        "which has to be of PyTorch's own version and build: on CPUs alone, pip install torchvision --index-url "
        "https://download.pytorch.org/whl/cpu"
    )


def weights_alone(path: Path) -> str:
    """Say how a file that holds weights, and no model, is used, and whether it is cut off."""
    damage = ", and is cut off: copy or download it again" if _is_cut_off(path) else ""
    return (
        f"{path} holds weights and no model{damage}; name what builds the model and give it the weights: "
        f"my_models:build?weights={path}, where my_models.py has a function build() that returns the torch.nn.Module"
    )


def python_code(path: Path, function: str) -> str:
    """Say how a function in a file of Python code is named."""
    where = "" if path.parent == Path() else f", in the folder {path.parent}"
    return (
        f"{path} is Python code; name the function that builds the model, and its module without {PYTHON}: "
        f"{path.stem}:{function}{where}"
    )


def _is_cut_off(path: Path) -> bool:
    """Whether a file of safetensors is shorter than its header says; False where no header can be read."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > MOST_BYTES:
            return False
        try:
            header = json.loads(file.read(header_bytes))
            ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
            return path.stat().st_size < 8 + header_bytes + max(ends, default=0)
        except (ValueError, RecursionError, TypeError, LookupError, AttributeError):
            return False


def pickled(path: Path) -> str:
    """Say what to do with a file of torch.save or another pickle, by what it holds."""
    refused = f"{path} would have to be unpickled, which can run any code in it"
    names = _members(path)
    if any("/code/" in name for name in names):
        return (
            f"{path} is a TorchScript file, which can run any operator; if you trust it, {FUNCTION}: "
            "def build(): import torch; return torch.jit.load(PATH)"
        )
    if path.suffix.lower() not in PICKLED:
        return f"{refused}; {FUNCTION}"
    return (
        f"{refused}; if it holds weights alone (a state_dict), name what builds the model and give it the weights, "
        f"my_models:build?weights={path}; if it holds the model, write that with torch.export.save() to a .pt2 file, "
        f"or {FUNCTION}"
    )


def saved_model(folder: Path) -> str:
    """Say how a TensorFlow SavedModel gets in."""
    return (
        f"{folder} is a TensorFlow SavedModel, a graph without layers; {FUNCTION}: "
        "def build(): import keras; x = keras.Input((LENGTH, 4)); "
        f'return keras.Model(x, keras.layers.TFSMLayer("{folder}", '
        'call_endpoint="serving_default")(x))'
    )


def _folder(path: Path) -> str | None:
    if (path / "saved_model.pb").is_file():
        return saved_model(path)
    if (path / "config.json").is_file():
        return (
            f"{path} is a folder of Hugging Face's transformers, whose models take tokens; {FUNCTION}: it loads the "
            "model with from_pretrained and wraps it so that it takes one-hot letters; docs/models.md has the lines"
        )
    inside = sorted(path.iterdir())
    files = [*inside, *sorted(path.glob("*/*"))]
    models = [file for file in files if file.suffix.lower() in MODELS]
    checkpoints = [file for file in inside if file.suffix == CHECKPOINT and _has_data(file)]
    if checkpoints and not models:
        return checkpoint(checkpoints[-1].with_suffix(""))
    models = models or [file for file in files if file.suffix.lower() in PICKLED]
    if models:
        return (
            f"{path} is a folder; give a model file, such as {models[0]} (`attribute` and `variants` take each further "
            "one of an ensemble by --fold)"
        )
    return None


def _has_data(index: Path) -> bool:
    """Tell whether the weights of a checkpoint of TensorFlow lie beside an index; others write such files too."""
    return any(index.parent.glob(f"{glob.escape(index.stem)}{CHECKPOINT_DATA}*"))


def _json(path: Path) -> str | None:
    """Tell a Keras architecture from other JSON files."""
    if path.stat().st_size > MOST_BYTES:
        return None
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or "class_name" not in found:
        return None
    # Keras 3 reads no architecture that Keras 2 wrote.
    library = "tf_keras" if str(found.get("keras_version", "")).startswith("2.") else "keras"
    return (
        f"{path} holds the architecture of a Keras model without its weights; {FUNCTION}: "
        f"def build(): import {library}; model = {library}.models.model_from_json(open({str(path)!r}).read()); "
        "model.load_weights(WEIGHTS); return model"
    )


def _members(path: Path) -> list[str]:
    """Return the names in an archive; none for what is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except NO_ARCHIVE:
        return []
