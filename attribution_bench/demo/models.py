"""Two small trained networks whose truth is known: a classifier like Basset, and a profile model like BPNet."""

import importlib
from collections.abc import Callable
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, TypeVar

from attribution_bench.demo.backgrounds import LENGTH
from attribution_bench.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from torch import nn

    from attribution_bench.demo.models_torch import Classifier, Profile

Module = TypeVar("Module", bound="nn.Module")


def build_classifier(length: int = LENGTH, *, framework: str = "torch") -> "Classifier":
    """Return the trained classifier, a torch.nn.Module (N, 4, 256) to ``{"accessible": (N, 1)}``, a logit.

    Convolutions with batch normalisation, ReLU and max pools, then dense layers, as in Basset (Kelley et al., Genome
    Research 2016), smaller. ``attribution_bench.demo.truth`` says what it learned.

    Parameters
    ----------
    length
        Letters of a sequence; the weights are for 256.
    framework
        ``torch``.

    Raises
    ------
    InvalidInputError
        Another length or framework.
    MissingDependencyError
        PyTorch or safetensors is not installed.
    """
    _check("demo_classifier", length, framework)
    from attribution_bench.demo.models_torch import Classifier

    return _with_weights(Classifier, "classifier.safetensors")


def build_profile(length: int = LENGTH, *, framework: str = "torch") -> "Profile":
    """Return the trained profile model, (N, 4, 256) to ``{"profile": (N, 256), "count": (N, 1)}``.

    ``profile`` holds logits of where the reads fall, ``count`` the natural logarithm of 1 + their number. A convolution
    and dilated residual blocks, as in BPNet (Avsec et al., Nature Genetics 2021), smaller. Parameters and errors are
    those of `build_classifier`.
    """
    _check("demo_profile", length, framework)
    from attribution_bench.demo.models_torch import Profile

    return _with_weights(Profile, "profile.safetensors")


def _check(model: str, length: int, framework: str) -> None:
    if framework != "torch":
        raise InvalidInputError(f"{model} has trained weights for framework 'torch' only, not {framework!r}")
    if length != LENGTH:
        raise InvalidInputError(f"{model} has trained weights for sequences of {LENGTH} letters only, not {length}")
    for package in ("torch", "safetensors"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingDependencyError.of(error.name or package, "torch", model) from error


def _with_weights(build: Callable[[], Module], name: str) -> Module:
    """Build a module, give it the weights of a file, and put it in inference mode."""
    import torch
    from safetensors.torch import load_file

    with torch.random.fork_rng(devices=[]):
        model = build()
    with as_file(files("attribution_bench.demo") / "weights" / name) as path:
        model.load_state_dict(load_file(path))
    return model.eval()
