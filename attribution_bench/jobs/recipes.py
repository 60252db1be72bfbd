"""Recipes of models: how another process opens the model that this one has."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attribution_bench.models import SequenceModel
from attribution_bench.models.loading import ModelSource


@dataclass(frozen=True)
class Recipe:
    """Where a model comes from, and how it was opened."""

    source: ModelSource
    settings: Mapping[str, Any]
    """Arguments of `ModelSource.open`."""
    folder: str
    """Folder in which names of files are looked up, and modules too."""

    def open(self) -> SequenceModel:
        """Open the model; raises as `ModelSource.open`."""
        with self._there():
            return self.source.open(**self.settings)

    def prepare(self) -> None:
        """Import what opening takes, as far as that is known beforehand; raises as `ModelSource.prepare`."""
        with self._there():
            self.source.prepare(self.settings["framework"])

    def _there(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.chdir(self.folder) if os.path.isdir(self.folder) else contextlib.nullcontext()
