"""Importing Keras without the notes that TensorFlow's native code writes to stderr before any setting can stop it."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

STDERR = 2


def import_keras() -> Any:
    """Import Keras and its backend; returns the module. What goes wrong comes as an exception all the same."""
    return _import("keras")


def import_keras_2() -> Any:
    """Import tf_keras, which runs models of Keras 2; otherwise as `import_keras`."""
    return _import("tf_keras")


def _import(name: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    with _native_stderr_closed():
        return importlib.import_module(name)


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Send what is written to file descriptor 2 nowhere, Python's own stderr included."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # the process has no stderr
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
