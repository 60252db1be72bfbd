"""The manifest of a job: everything that decides its numbers, stored beside them and compared when it is resumed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.jobs.differences import differences
from attribution_bench.storage.durable import durable_text, write_text_durable, writing
from attribution_bench.storage.identity import MANIFEST
from attribution_bench.storage.places import make_folder

FILE = MANIFEST
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What a job is. Everything but `machine` and the models' labels has to agree for a job to be resumed."""

    models: tuple[Mapping[str, Any], ...]
    """Of each model: its label, framework, and digests of its weights, its structure, and the file or the callable with
    its options that it comes from."""
    sequences: Mapping[str, Any]
    """Description of the source, see `SequenceSource.description`."""
    further_inputs: Mapping[str, Any]
    """Digests and shapes of the model's further inputs."""
    methods: Mapping[str, Mapping[str, Any]]
    """Method -> the options that the caller gave."""
    settings: Mapping[str, Any]
    """Target, score convention, strands, stored arrays, their type, batch size, shard size, device, precision."""
    shards: tuple[str, ...]
    """SHA-256 of each shard's records."""
    versions: Mapping[str, str]
    """Package -> version of what computes."""
    machine: Mapping[str, Any]
    """What the first run took from its machine, and every later run takes from here: threads, the device, and options
    of methods whose defaults follow the free memory. They decide the rounding of numbers."""

    def write(self, store: Path) -> None:
        """Write the manifest into a store's folder, whole or not at all. Raises OutputError."""
        with writing(store):
            make_folder(store)
            write_text_durable(store / FILE, self._text())

    def digest(self) -> str:
        """Return the SHA-256 of the file that `write` writes."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def _text(self) -> str:
        return durable_text({"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, store: Path) -> "Manifest | None":
        """Return the manifest in a folder; None where there is none.

        Raises
        ------
        OutputError
            It cannot be read, or is of a newer release.
        """
        path = store / FILE
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            version = stored.pop("format")
            if version > FORMAT:
                raise OutputError(
                    f"{path} has format {version}, but this release of attribution-bench reads formats up to {FORMAT}; "
                    "upgrade attribution-bench to go on with it"
                )
            return cls(**{**stored, "models": tuple(stored["models"]), "shards": tuple(stored["shards"])})
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OutputError:
            raise
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise OutputError(f"{path} is no manifest that can be read ({error}); begin anew with --restart") from error


def check_same(stored: Manifest, asked: Manifest, store: Path) -> None:
    """Check that a job asked for is the one that a store holds.

    Raises
    ------
    InvalidInputError
        They differ; the message shows each difference, the one in the store first.
    """
    there, here = asdict(stored), asdict(asked)
    for manifest in (there, here):
        del manifest["machine"]
    # A model is known by its digests, under whatever name it is given; the name is told where it is another one.
    for before, now in zip(there["models"], here["models"], strict=False):
        if {**before, "label": ""} == {**now, "label": ""}:
            before["label"] = now["label"]
    shown = differences(there, here, "store")
    if shown:
        raise InvalidInputError(
            f"{store} holds another job: {shown}. Give the same command to go on with it, another --output, or "
            "--restart to begin anew (the old store is kept under another name)"
        )
