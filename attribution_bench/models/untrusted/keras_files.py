"""Files of Keras models: read whole, checked, and written anew for Keras."""

import io
import json
from collections.abc import Collection, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from attribution_bench.models.untrusted.grammar import always, matching, parsed, record
from attribution_bench.models.untrusted.hdf5 import Group, read_hdf5
from attribution_bench.models.untrusted.keras_config import checked_config
from attribution_bench.models.untrusted.refused import Damaged, Refused, part, shown
from attribution_bench.models.untrusted.zip_archive import read_members, write_members

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
VERSIONS = record({}, {"keras_version": matching(r"[\w.\-+]{1,50}", "version of Keras"), "date_saved": always("")})


@dataclass(frozen=True)
class CheckedModel:
    """A model whose file has been checked."""

    archive: bool
    """Whether it is written as an archive (.keras) rather than as one HDF5 file."""
    config: Any
    versions: dict[str, str]
    weights: Group

    @property
    def of_keras_3(self) -> bool:
        """Whether Keras 3 wrote it, as the file says; an archive that does not say comes from there, too."""
        version = self.versions.get("keras_version")
        return self.archive if version is None else not version.startswith("2.")

    def write(self, folder: Path) -> Path:
        """Write the model into a folder, for Keras to load; returns the path."""
        if self.archive:
            weights = io.BytesIO()
            _write_hdf5(self.weights, weights)
            path = folder / "model.keras"
            path.write_bytes(
                write_members({
                    METADATA: json.dumps(self.versions).encode(),
                    CONFIG: json.dumps(self.config).encode(),
                    WEIGHTS: weights.getvalue(),
                })
            )  # fmt: skip
            return path
        path = folder / "model.h5"
        attributes = {"model_config": json.dumps(self.config), **self.versions}
        with path.open("w+b") as file:
            _write_hdf5(Group(attributes, {"model_weights": self.weights}), file)
        return path


def read_archive(file: BinaryIO, registered: Container[str]) -> CheckedModel:
    """Return the model in an archive of Keras 3 (.keras).

    Raises
    ------
    Refused
        It is damaged, or holds something that is not known to be harmless.
    """
    members = read_members(file)
    _check_parts(members)
    with part(METADATA):
        versions = VERSIONS(parsed(members.get(METADATA, b"{}")))
    with part(CONFIG):
        config = checked_config(members[CONFIG], registered)
    with part(WEIGHTS):
        return CheckedModel(True, config, versions, read_hdf5(members[WEIGHTS]))


def _check_parts(names: Collection[str]) -> None:
    """Refuse an archive that has other members than those of a model, or not all of them."""
    if CONFIG not in names and WEIGHTS not in names:
        folder = next((name.removesuffix(CONFIG) for name in names if name.endswith(f"/{CONFIG}")), None)
        if folder is not None:
            raise Refused(f"its {CONFIG} lies in the folder {shown(folder)}; pack what is in that folder with: zip -0")
        raise Refused(f"it is a zip archive of something else: it has neither {CONFIG} nor {WEIGHTS}")
    unknown = set(names) - {CONFIG, METADATA, WEIGHTS}
    if unknown:
        raise Refused(f"it holds {shown(min(unknown))}, which this reader does not know")
    if CONFIG not in names:
        raise Damaged(
            f"it lacks {CONFIG}, which holds the layers; its {WEIGHTS}, unpacked, goes into a function that builds the "
            f"model, my_models:build?weights={WEIGHTS}"
        )
    if WEIGHTS not in names:
        raise Damaged(f"it lacks {WEIGHTS}, which holds the weights")


def read_single(content: bytes, registered: Container[str]) -> CheckedModel:
    """Return the model in one HDF5 file (.h5), as `read_archive` does."""
    root = read_hdf5(content)
    config = root.attributes.get("model_config")
    if config is None:
        raise Refused(
            "it holds weights without a model; write a function that builds the keras.Model in a file, say "
            "my_models.py, and give it the weights, my_models:build?weights=FILE, or write the whole model with "
            "model.save() to a .keras file"
        )
    text = config.encode() if isinstance(config, str) else config
    if not isinstance(text, bytes) or "model_weights" not in root.groups:
        raise Refused("it holds no model, or no weights, where Keras writes them")
    versions = {
        key: value.decode() if isinstance(value, bytes) else value
        for key in ("keras_version", "backend")
        if isinstance(value := root.attributes.get(key), str | bytes)
    }
    if versions.get("keras_version", "").startswith("1."):
        raise Refused(
            f"Keras {shown(versions['keras_version'])} wrote it, whose layers have other arguments than today's: "
            "write a function that builds the model anew in a file, say my_models.py, and give it the weights of the "
            "file: my_models:build?weights=FILE"
        )
    return CheckedModel(False, checked_config(text, registered), versions, root.groups["model_weights"])


def read_weights_alone(content: bytes) -> Group:
    """Return the weights in a file that a Keras model's save_weights() or save() wrote.

    Raises
    ------
    Refused
        It is damaged, or holds something that is not known to be harmless.
    """
    root = read_hdf5(content)
    return root.groups.get("model_weights", root) if "model_config" in root.attributes else root


def write_weights(weights: Group, path: Path) -> None:
    """Write weights into a file, for a Keras model to load."""
    with path.open("w+b") as file:
        _write_hdf5(weights, file)


def _write_hdf5(group: Group, file: BinaryIO) -> None:
    """Write groups and arrays as an HDF5 file."""
    import h5py  # type: ignore[import-untyped]

    def fill(place: Any, group: Group) -> None:
        place.attrs.update(group.attributes)
        for name, array in group.arrays.items():
            place.create_dataset(name, data=array.values).attrs.update(array.attributes)
        for name, inner in group.groups.items():
            fill(place.create_group(name), inner)

    try:
        with h5py.File(file, "w") as opened:
            fill(opened, group)
    except (ValueError, TypeError, RuntimeError) as error:  # attributes or names that HDF5 does not take
        raise Refused(f"its weights cannot be written anew: {shown(str(error))}") from error
