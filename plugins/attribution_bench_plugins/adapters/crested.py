"""CREsted: trained Keras models of its repository or one's own, with the layers that the package registers."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.keras_start import import_keras
from attribution_bench.models.model_files import read_keras


class CREsted(Adapter):
    """Files of models that CREsted trained or downloaded; nothing is downloaded here."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return [
            ModelCard(
                name="crested",
                summary="accessibility or topics of cell types, as the model that is opened was trained",
                package="crested",
                length=None,
                fixed=False,
                outputs="(classes) of most; (bins, tracks) of Enformer and Borzoi",
                licence="academic and non-commercial use, of the package and of its models",
                citation="Kempynck et al., CREsted, doi:10.5281/zenodo.13320756",
                options={
                    "weights": "a .keras file that CREsted wrote",
                    "model": "a model that crested.get_model() has downloaded, such as DeepBICCN2",
                },
            )
        ]

    def open(
        self,
        name: str,
        *,
        length: int | None = None,
        weights: Path | None = None,
        model: str | None = None,
    ) -> Any:
        """Return a keras.Model, (N, length, 4) to what it was trained for.

        Raises
        ------
        ModelError
            Not one of `weights` and `model` is given, the model is not downloaded, or the file cannot be read.
        """
        if (weights is None) == (model is None):
            raise ModelError(f"{name} needs one of weights=FILE.keras and model=NAME")
        path = weights if weights is not None else _downloaded(str(model))
        import_keras()
        import crested.tl.zoo  # noqa: F401 - registers its layers and functions with Keras

        return read_keras(path)


def _downloaded(model: str) -> Path:
    """Return the file of a model in CREsted's folder of downloads."""
    folder = os.environ.get("CRESTED_DATA_DIR")
    if folder is None:
        import pooch

        folder = str(pooch.os_cache("crested"))
    found = [path for path in Path(folder).glob("models/**/*.keras") if path.stem.lower() == model.lower()]
    if len(found) != 1:
        raise ModelError(
            f"{folder} has {len(found) or 'no'} files {model}.keras; download the model with "
            f"crested.get_model({model!r}), and give the path that it returns as weights=FILE"
        )
    return found[0]
