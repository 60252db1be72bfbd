"""Digests of models: what tells one set of weights from another."""

import hashlib

import numpy as np

from attribution_bench.described import digest_of_described
from attribution_bench.models.sequence_model import SequenceModel
from attribution_bench.own_code import class_name


def weights_digest(model: SequenceModel) -> str:
    """Return the SHA-256 of a model's parameters and buffers: names, types, shapes and bytes, and the model's class."""
    kind = type(model.model)
    digest = hashlib.sha256(f"{kind.__module__}.{class_name(kind)}\n".encode())
    for name, array in model.weights():
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def structure_digest(model: SequenceModel) -> str:
    """Return the SHA-256 of what a model does with its weights, as far as its parts tell.

    That is the classes of its parts, with the code of those that no installed package defines and what it reads, their
    settings, but for what their calls write, and how the layers of functional Keras models are connected.
    """
    return digest_of_described(list(model.structure()))
