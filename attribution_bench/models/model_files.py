"""Model files read without running what is in them: what a file holds is checked, and a copy of that is loaded."""

import contextlib
import io
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from attribution_bench.errors import MissingDependencyError, ModelError, install_command
from attribution_bench.models.keras_start import import_keras, import_keras_2
from attribution_bench.models.untrusted.keras_files import CheckedModel, read_archive, read_single
from attribution_bench.models.untrusted.refused import Damaged, Refused

FILE_BYTES: Final = 1 << 34
"""Bytes that a model file may take."""
SPARE_VALUES: Final = 1 << 20
"""Values of weights that a Keras model may have beyond those in its file, such as the states of random generators."""
FAKE_TENSORS: Final = "torch._subclasses.fake_tensor"
"""PyTorch's logger of computations on shapes alone."""
_values_left: ContextVar[list[int] | None] = ContextVar("_values_left", default=None)


Layers = Callable[[Any], Mapping[str, type]]
"""Classes of layers by the names that a file has for them, made for the Keras or tf_keras module that is given."""


def no_layers(keras: Any) -> Mapping[str, type]:
    """Return no layers."""
    return {}


def read_keras(path: Path, layers: Layers = no_layers) -> Any:
    """Read a Keras model file (.keras, .h5) without its training state.

    Layers, functions and whatever else its configuration names are compared with what is known to compute and to do
    nothing else, or what the calling program has registered with Keras. A file of Keras 2 that Keras 3 cannot read is
    read by tf_keras where that is installed.

    Parameters
    ----------
    layers
        Classes that are known beside Keras' own and the registered ones.

    Raises
    ------
    ModelError
        The file is damaged, or holds something that is not known to be harmless, such as Python code.
    MissingDependencyError
        Keras is not installed.
    """
    try:
        keras = import_keras()
    except ImportError as error:
        raise MissingDependencyError.of("keras", "tensorflow", f"reading {path}") from error
    with refusals(path, "a Keras model", "model.save()"), opened_file(path) as file:
        registered = _registered(keras) | layers(keras).keys()
        archive = path.suffix.lower() == ".keras"
        model = read_archive(file, registered) if archive else read_single(file.read(), registered)
    with tempfile.TemporaryDirectory(prefix="attribution-bench-") as folder:
        with refusals(path, "a Keras model", "model.save()"):
            copy = model.write(Path(folder))
        try:
            return _loaded(keras, copy, model, layers)
        except Exception as error:  # of Keras 2, or of layers that do not fit together
            if model.of_keras_3:
                raise ModelError(f"{path} cannot be read as a Keras model: {_first_line(error)}") from error
            return _read_keras_2(path, copy, model, error, layers)


def _read_keras_2(path: Path, copy: Path, model: CheckedModel, failure: Exception, layers: Layers) -> Any:
    """Read what Keras 3 failed to read."""
    try:
        tf_keras = import_keras_2()
    except ImportError as error:
        raise ModelError(
            f"{path} cannot be read as a Keras model: {_first_line(failure)}; if it was written by Keras 2, install "
            f"tf_keras, which reads such files ({install_command('tf-keras')})"
        ) from error
    try:
        return _loaded(tf_keras, copy, model, layers)
    except Exception as error:  # a damaged file fails in many ways; the failure is named and re-raised
        raise ModelError(
            f"{path} cannot be read as a Keras model: {_first_line(failure)}; nor by tf_keras, as one of Keras 2: "
            f"{_first_line(error)}"
        ) from error


def _loaded(keras: Any, copy: Path, model: CheckedModel, layers: Layers) -> Any:
    with _bounded_weights(keras.layers.Layer, model.weights.values() + SPARE_VALUES):
        return keras.models.load_model(copy, custom_objects=dict(layers(keras)), compile=False, safe_mode=True)


@contextlib.contextmanager
def _bounded_weights(layer: Any, values: int) -> Iterator[None]:
    """Limit the values of the weights that layers of this thread make: a configuration may state any size."""
    add_weight: Callable[..., Any] = layer.add_weight

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        left = _values_left.get()
        shapes = [value for value in (*args, *kwargs.values()) if isinstance(value, list | tuple)]
        if left is not None:
            left[0] -= max((math.prod(n for n in shape if isinstance(n, int)) for shape in shapes), default=1)
            if left[0] < 0:
                raise ValueError("its layers have more weights than the file holds")
        return add_weight(self, *args, **kwargs)

    token = _values_left.set([values])
    layer.add_weight = counted
    try:
        yield
    finally:
        layer.add_weight = add_weight
        _values_left.reset(token)


def _registered(keras: Any) -> frozenset[str]:
    """Return the names that the user's own code has registered with Keras, and with tf_keras if that is in use."""
    found = [module.saving.get_custom_objects() for module in (keras, sys.modules.get("tf_keras")) if module]
    return frozenset(
        name
        for objects in found
        for name, value in objects.items()
        if value.__module__.partition(".")[0] not in ("keras", "tf_keras")
    )


def read_exported(path: Path) -> Any:
    """Read a torch.export file (.pt2).

    Its members, the operators of its graph and the expressions of its sizes are compared with what is known to
    compute and to do nothing else.

    Raises
    ------
    ModelError
        The file is damaged, or holds something that is not known to be harmless, such as pickled objects, compiled
        code or operators that read or write files.
    MissingDependencyError
        PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError.of("torch", "torch", f"reading {path}") from error
    from attribution_bench.models.exported import ExportedModel, refuse_large_tensors
    from attribution_bench.models.untrusted.exported_archive import checked_archive

    with refusals(path, "a torch.export file", "torch.export.save()"):
        with opened_file(path) as file:
            copy = checked_archive(file)
        with _collected_errors(logging.getLogger("torch.export")) as logged:
            try:
                program = torch.export.load(io.BytesIO(copy))
                module = program.module()
                # What fails there fails again where the model is run, and is told then.
                with _collected_errors(logging.getLogger(FAKE_TENSORS)), contextlib.redirect_stderr(io.StringIO()):
                    refuse_large_tensors(program, module)
                return ExportedModel(module)
            except Exception as error:  # parts that do not fit together fail in many ways; named and re-raised
                raise Refused(_first_line([*logged, error][0])) from error


@contextlib.contextmanager
def opened_file(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file of bounded size."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        if size > FILE_BYTES:
            raise Refused(f"it takes {size} bytes; {FILE_BYTES} are the most that are read")
        file.seek(0)
        yield file


@contextlib.contextmanager
def _collected_errors(logger: logging.Logger) -> Iterator[list[BaseException]]:
    """Yield a list of the errors that a logger is given meanwhile; nothing that it is given reaches a terminal."""
    errors: list[BaseException] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            errors.append(record.exc_info[1])
        return False

    logger.addFilter(collect)
    try:
        yield errors
    finally:
        logger.removeFilter(collect)


@contextlib.contextmanager
def refusals(path: Path, kind: str, written_by: str) -> Iterator[None]:
    """Name the file and its kind in whatever goes wrong with it, and what writes such files where one is damaged."""
    try:
        yield
    except Damaged as error:
        raise ModelError(
            f"{path} cannot be read as {kind}: {error}; copy or download the file again, or write it anew with "
            f"{written_by}"
        ) from error
    except Refused as error:
        raise ModelError(f"{path} cannot be read as {kind}: {error}") from error
    except MemoryError as error:
        raise ModelError(f"{path} cannot be read as {kind}: it takes more memory than there is") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


def _first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message, short and fit for a terminal."""
    lines = str(error).strip().splitlines()
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in (lines or [""])[0])
    return f"{type(error).__name__}: {text[:300]}"
