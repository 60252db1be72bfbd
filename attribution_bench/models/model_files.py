"""Model files read without running what is in them: nothing is unpickled, no code in them is evaluated."""

import ast
import contextlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attribution_bench.errors import MissingDependencyError, ModelError, install_command
from attribution_bench.models.keras_start import import_keras, import_keras_2

PYTHON_CODE = frozenset({"Lambda", "__lambda__"})
"""Classes in a Keras file that stand for Python code."""
SIZE_FUNCTIONS = frozenset(
    """
    Symbol Integer Rational Float Add Mul Pow Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv ModularIndexing
    IntTrueDiv FloatTrueDiv ToFloat TruncToInt CeilToInt FloorToInt RoundToInt Where And Or Not
    Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan Eq Ne Lt Le Gt Ge
    """.split()  # noqa: SIM905 - a list of words reads better so
)
"""What sizes in a torch.export file are made of; PyTorch evaluates their text as Python."""
SIZE_NODES = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


def read_keras(path: Path) -> Any:
    """Read a Keras model file without its training state; one that holds Python code (a Lambda layer) is refused.

    A file of Keras 2 that Keras 3 cannot read is read by tf_keras where that is installed.
    """
    try:
        keras = import_keras()
    except ImportError as error:
        raise MissingDependencyError.of("keras", "tensorflow", f"reading {path}") from error
    try:
        if _class_names(_keras_config(path)) & PYTHON_CODE:
            raise ModelError(
                f"{path} holds a Lambda layer, that is, Python code that would run; build the model in a function and "
                "name it as package.module:callable"
            )
    except ModelError:
        raise
    except Exception as error:  # a damaged file fails in many ways; the failure is named and re-raised
        raise ModelError(f"{path} cannot be read as a Keras model: {_first_line(error)}") from error
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of Keras 2, or damaged after all
        return _read_keras_2(path, error)


def _read_keras_2(path: Path, failure: Exception) -> Any:
    """Read what Keras 3 failed to read."""
    try:
        tf_keras = import_keras_2()
    except ImportError as error:
        raise ModelError(
            f"{path} cannot be read as a Keras model: {_first_line(failure)}; if it was written by Keras 2, install "
            f"tf_keras, which reads such files ({install_command('tf-keras')})"
        ) from error
    try:
        return tf_keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file fails in many ways; the failure is named and re-raised
        raise ModelError(
            f"{path} cannot be read as a Keras model: {_first_line(failure)}; nor by tf_keras, as one of Keras 2: "
            f"{_first_line(error)}"
        ) from error


def read_exported(path: Path) -> Any:
    """Read a torch.export file (.pt2); one with pickled objects, compiled code or strange expressions is refused."""
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError.of("torch", "torch", f"reading {path}") from error
    from attribution_bench.models.exported import ExportedModel

    try:
        data = path.read_bytes()
        _refuse_code(path, data)
        with _weights_only():
            return ExportedModel(torch.export.load(io.BytesIO(data)).module())
    except ModelError:
        raise
    except Exception as error:  # a damaged file fails in many ways; the failure is named and re-raised
        raise ModelError(f"{path} cannot be read as a torch.export file: {_first_line(error)}") from error


def _refuse_code(path: Path, data: bytes) -> None:
    """Look for what PyTorch would unpickle, load as machine code or evaluate as Python while reading the archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            # A whole component of the path, since the archive's own name may be anything.
            if "aotinductor" in name.split("/") or re.search(r"/(custom_obj|opaque_obj)_\d+$", name):
                raise ModelError(f"{path} holds {name}, which is code or a pickled object; export the model without it")
            if name.endswith(".json"):
                for text in _expressions(json.loads(archive.read(name))):
                    if not _is_size(text):
                        raise ModelError(f"{path} holds the expression {text!r}, which is no size; it is not evaluated")


def _is_size(text: str) -> bool:
    """Whether a text is a size, such as ``Add(Symbol('s0', integer=True), Integer(1))``, and nothing else."""
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError):
        return False
    for node in nodes:
        if not isinstance(node, SIZE_NODES):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in SIZE_FUNCTIONS):
            return False
        if isinstance(node, ast.Name) and not (node.id in SIZE_FUNCTIONS or re.fullmatch(r"[a-z]\w{0,3}\d", node.id)):
            return False
        # A text inside would be evaluated in its turn; a bare word is a symbol.
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"\w+", node.value):
            return False
    return True


def _expressions(value: Any) -> Iterator[str]:
    """Yield every symbolic expression of a torch.export file."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "expr_str" and isinstance(inner, str):
                yield inner
            else:
                yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """Make every torch.load within refuse objects: torch.export.load would fall back to unpickling otherwise."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    former = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if former is None:
            del os.environ[name]
        else:
            os.environ[name] = former


def _keras_config(path: Path) -> Any:
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ModelError(f"{path} holds weights without a model; save the whole model, to a .keras file")
        return json.loads(file.attrs["model_config"])


def _class_names(config: Any) -> set[str]:
    if isinstance(config, dict):
        own = {config["class_name"]} if isinstance(config.get("class_name"), str) else set()
        return own.union(*(_class_names(value) for value in config.values()))
    if isinstance(config, list):
        return set().union(*(_class_names(value) for value in config))
    return set()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
