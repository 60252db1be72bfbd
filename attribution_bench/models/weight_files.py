"""Files of weights alone, read without unpickling anything, into a model that code has built."""

import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attribution_bench.errors import MissingDependencyError, ModelError
from attribution_bench.models.model_files import opened_file, refusals

if TYPE_CHECKING:
    import torch

    from attribution_bench.models.untrusted.hdf5 import Group

SAFETENSORS = ".safetensors"
PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".tar")
WEIGHT_FILES = (SAFETENSORS, *PICKLED)
KERAS_WEIGHTS = ".h5"
LAYERS = "layer_names"
"""Attribute of weights in the layout of Keras 2."""
"""Suffix of the files that a Keras model's save_weights() writes: Keras 3 wants ``.weights.h5``."""
INSIDE = ("state_dict", "model_state_dict", "model", "module", "weights")
"""Keys under which training programs write the weights beside other things."""
TRAINING = ("optimizer", "metrics")
"""Groups of a file of a Keras model's weights that hold states of its training."""
NAMED = 3
"""Names that a message lists."""


def load_weights(model: Any, path: Path) -> None:
    """Give a PyTorch module or a Keras model the weights of a file, all of them or none.

    A Keras model takes what its save_weights() wrote. Of names for a module, a first part that all have and the
    module's lack, such as ``module.`` or ``model.``, is left out.

    Raises
    ------
    ModelError
        The file cannot be read, holds more than weights, or its names and shapes are not the model's.
    MissingDependencyError
        safetensors is not installed.
    """
    keras = [sys.modules.get(name) for name in ("keras", "tf_keras")]
    if any(module is not None and isinstance(model, module.Model) for module in keras):
        _load_keras_weights(model, path)
        return
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"weights of {path} go into a torch.nn.Module or a keras.Model, not a {type(model).__name__}")
    give_weights(model, read_weights(path), path)


def _load_keras_weights(model: Any, path: Path) -> None:
    """Give a Keras model the weights of a file that its save_weights() wrote."""
    from attribution_bench.models.untrusted.keras_files import read_weights_alone, write_weights

    if path.suffix.lower() != KERAS_WEIGHTS:
        raise ModelError(
            f"a Keras model takes weights of a .weights.h5 file, not {path.name}; write one with model.save_weights()"
        )
    with refusals(path, "weights", "model.save_weights()"), opened_file(path) as file:
        weights = read_weights_alone(file.read())
    before = model.get_weights()
    with tempfile.TemporaryDirectory(prefix="attribution-bench-") as folder:
        # Keras takes the layout of a file from its name: Keras 2 and whole models list layers, Keras 3 nests them.
        copy = Path(folder) / ("model.h5" if LAYERS in weights.attributes else "model.weights.h5")
        with refusals(path, "weights", "model.save_weights()"):
            write_weights(weights, copy)
        try:
            with warnings.catch_warnings(action="ignore"):  # what they say of is compared below
                model.load_weights(copy)
            _check_taken(model, weights)
        except Exception as error:  # those of another model fail in many ways; the failure is named and re-raised
            model.set_weights(before)
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ModelError(f"the weights of {path} are not those of the model: {first}") from error


def _check_taken(model: Any, weights: "Group") -> None:
    """Raise ValueError unless a Keras model holds every array of a file and no other: Keras passes over some."""

    def key(values: Any) -> tuple[Any, ...]:
        array = np.ascontiguousarray(values, np.float32)
        return array.shape, array.tobytes()

    arrays = {name: array.values for name, array in weights.every_array() if not name.startswith(TRAINING)}
    in_file = {key(values): name for name, values in arrays.items() if np.issubdtype(values.dtype, np.floating)}
    own = {key(weight) for weight in model.get_weights() if np.issubdtype(weight.dtype, np.floating)}
    left = [name for found, name in in_file.items() if found not in own]
    if left:
        raise ValueError(f"it has, and the model has not, {_listed(left)}")
    if not own <= in_file.keys():
        shapes = [str(shape) for shape, _ in own - in_file.keys()]
        raise ValueError(f"it lacks weights of the shapes {_listed(sorted(shapes))}")


def give_weights(model: "torch.nn.Module", tensors: "dict[str, torch.Tensor]", path: Path) -> None:
    """Give a module tensors by name, as `load_weights` does; messages name the file that they come from."""
    own = model.state_dict()
    if not tensors.keys() & own.keys():
        tensors = _without_first_part(tensors)
    _check(path, tensors, own)
    model.load_state_dict(tensors)


def read_weights(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a file by name; raises as `load_weights` does."""
    if path.suffix.lower() == SAFETENSORS:
        return _read_safetensors(path)
    if path.suffix.lower() == KERAS_WEIGHTS:
        raise ModelError(f"{path} is a file of Keras' weights, which a keras.Model takes, and no torch.nn.Module")
    if path.suffix.lower() not in PICKLED:
        raise ModelError(f"{path} is no file of weights that can be read; give one of {', '.join(WEIGHT_FILES)}")
    return read_saved_tensors(path)


def read_saved_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors by name of a file that torch.save wrote, whatever its suffix; raises as `load_weights`."""
    from attribution_bench.models.untrusted.beginnings import ARCHIVE, LONGEST, other_kind
    from attribution_bench.models.untrusted.refused import Refused
    from attribution_bench.models.untrusted.tensor_pickle import read_tensors

    with refusals(path, "weights", "torch.save(model.state_dict(), FILE)"):
        with opened_file(path) as file:
            content = file.read()
        if not content.startswith(ARCHIVE):
            raise other_kind(content[:LONGEST]) or Refused(
                "torch.save wrote it before PyTorch 1.6, or something else did; write it anew by torch.save"
            )
        found = read_tensors(content)
        while isinstance(found, dict) and not _is_weights(found):
            inside = next((key for key in INSIDE if isinstance(found.get(key), dict)), None)
            if inside is None:
                raise Refused("it holds no dictionary of tensors by name, as model.state_dict() is")
            found = found[inside]
        if not isinstance(found, dict):
            raise Refused("it holds no dictionary of tensors by name, as model.state_dict() is")
        return found


def _read_safetensors(path: Path) -> "dict[str, torch.Tensor]":
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingDependencyError.of("safetensors", "torch", f"reading {path}") from error
    from attribution_bench.models.untrusted.beginnings import LONGEST, other_kind
    from attribution_bench.models.untrusted.refused import Damaged

    with refusals(path, "weights", "safetensors.torch.save_file(model.state_dict(), FILE)"):
        try:
            return load_file(path)
        except SafetensorError as error:
            with path.open("rb") as file:
                beginning = file.read(LONGEST)
            raise other_kind(beginning) or Damaged(
                f"it is no file of safetensors, cut off, or changed ({error})"
            ) from error


def _is_weights(found: dict[Any, Any]) -> bool:
    import torch

    return (
        bool(found)
        and all(isinstance(key, str) for key in found)
        and isinstance(next(iter(found.values())), torch.Tensor)
    )


def _without_first_part(tensors: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    first = {name.partition(".")[0] for name in tensors}
    if len(first) != 1 or any("." not in name for name in tensors):
        return tensors
    return {name.partition(".")[2]: tensor for name, tensor in tensors.items()}


def _check(path: Path, tensors: "dict[str, torch.Tensor]", own: "dict[str, torch.Tensor]") -> None:
    """Raise ModelError unless names and shapes are the model's."""
    import torch

    others = [name for name, tensor in tensors.items() if not isinstance(tensor, torch.Tensor)]
    faults = {
        "it lacks": [name for name in own if name not in tensors],
        "it has, and the model has not,": [name for name in tensors if name not in own],
        "of no tensor, but of something else, are": others,
        "of another shape are": [
            f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
            for name in own
            if name in tensors and name not in others and tensors[name].shape != own[name].shape
        ],
    }
    if any(faults.values()):
        said = "; ".join(f"{fault} {_listed(names)}" for fault, names in faults.items() if names)
        raise ModelError(f"the weights of {path} are not those of the model: {said}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
