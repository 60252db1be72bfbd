"""The store of a job: one Zarr group whose chunks are the job's shards, each proved by a marker file.

    STORE/
      zarr.json                   the group: attributes, and the metadata of all arrays
      <array>/c/<shard>/...       one file a shard and array, or of each model's own values one a shard and model
      markers/<shard>.json        digests of those files and of the manifest, and facts on the shard
      sums/                       of ensembles, while models are being added (`attribution_bench.jobs.stored_sums`)
      manifest.json, .lock        of the job (`attribution_bench.jobs`)

A chunk on disk proves nothing, since a crash may leave a part of it, or a name without its bytes: a shard counts once
its marker is there and the digests in it agree with the files and the manifest. The same holds at an address (``s3://``),
where one put is whole or not at all, and nothing is renamed.
"""

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import OutputError
from attribution_bench.storage.durable import (
    PARTIAL,
    durable_file,
    file_digest,
    is_partial,
    is_unreached,
    reading,
    sync_file,
    write_durable,
    writing,
)
from attribution_bench.storage.identity import StoreIdentity
from attribution_bench.storage.places import is_remote, make_folder, zarr_place
from attribution_bench.storage.sink import ArraySpec
from attribution_bench.storage.zarr_layout import import_zarr, layout_files

if TYPE_CHECKING:
    import zarr

GROUP, MARKERS = "zarr.json", "markers"
FORMAT = 1
WRITTEN = {MARKERS: "*.json", "sums": "*.npz"}
"""Folder -> names in it of what is written for shards once the layout is complete."""
NO_NAME = (errno.ENAMETOOLONG, errno.EINVAL)
"""Errors of what is the name of no file, such as an architecture's with options."""


class ZarrStore:
    """A store with its arrays; `create` lays it out and `open` finds one that is there.

    Parameters
    ----------
    path
        Folder of the store.
    group
        Its Zarr group.
    identity
        SHA-256 of the manifest of the job that it is of, or None for the one that is there: no other job's store at
        the same path is written, and no other job's shards count as finished.
    """

    def __init__(self, path: Path, group: "zarr.Group", identity: str | None = None) -> None:
        self.path, self._group, self.identity = path, group, StoreIdentity(path, identity)
        self.attributes: dict[str, Any] = dict(group.attrs)
        # A chunk of fill values is a file like any other, so that its absence means that it is missing.
        self._arrays: dict[str, zarr.Array[Any]] = {
            name: array.with_config({"write_empty_chunks": True}) for name, array in group.arrays()
        }

    @classmethod
    def create(
        cls,
        path: Path,
        specs: Sequence[ArraySpec],
        *,
        sequences: int,
        shard_size: int,
        coordinates: Mapping[str, tuple[str, NDArray[Any]]],
        attributes: Mapping[str, Any],
        identity: str | None = None,
    ) -> "ZarrStore":
        """Lay out a store in a folder, and leave alone what is not of it.

        Every file is written whole or not at all, and one that is there already with the same bytes is left: a process
        that was given up and comes to its end late destroys nothing.

        Parameters
        ----------
        path
            The folder; it may exist.
        specs
            Arrays of the shards.
        sequences, shard_size
            Sequences in all and in a shard; the last shard may have fewer.
        coordinates
            Name -> (dimension, values): one-dimensional arrays that do not go by sequence.
        attributes
            JSON-able words on the whole.
        identity
            As of the class.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        described = {"format": FORMAT, "sequences": sequences, "shard_size": shard_size, **attributes}
        files = layout_files(specs, sequences, shard_size, coordinates, described)
        with writing(path):
            make_folder(path / MARKERS)
            # The description of the whole is the last thing written: `open` knows a complete layout by it.
            for name in sorted(files, key=lambda name: name == GROUP):
                file = path / name
                if not _holds(file, files[name]):
                    make_folder(file.parent)
                    with durable_file(file) as target:
                        target.write(files[name])
        return cls.open(path, identity)

    @classmethod
    def open(cls, path: Path, identity: str | None = None) -> "ZarrStore":
        """Open a store to read it or to write more shards; the parameters are those of the class.

        Raises
        ------
        OutputError
            There is no complete store in that folder.
        """
        zarr = import_zarr()
        if not is_store(path):
            raise OutputError(f"{path} holds no store of attributions; give a folder that `attribute` wrote")
        try:
            group = zarr.open_consolidated(zarr_place(path), mode="r+", zarr_format=3)
            version = group.attrs["format"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(f"{path} is damaged and cannot be read: {error}") from error
        except Exception as error:
            if not is_unreached(error, path):
                raise
            raise OutputError(f"cannot read {path}: {error}; the same command goes on once it can be read") from error
        if not isinstance(version, int) or version > FORMAT:
            raise OutputError(
                f"{path} has format {version}, but this release of attribution-bench reads formats up to {FORMAT}; "
                "upgrade attribution-bench to read it"
            )
        return cls(path, group, identity)

    @property
    def sequences(self) -> int:
        """Sequences in all, finished or not."""
        return int(self.attributes["sequences"])

    @property
    def shard_size(self) -> int:
        """Sequences of a shard."""
        return int(self.attributes["shard_size"])

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.sequences // self.shard_size)

    def specs(self) -> dict[str, ArraySpec]:
        """Return the arrays of the shards by name."""
        return {
            name: ArraySpec(
                name,
                dimensions_of(array)[1:],
                tuple(array.shape[1:]),
                _dtype_name(array.dtype),
                array.fill_value,
                dict(array.attrs),
                tuple(array.chunks[1:]),
            )
            for name, array in self._sharded()
        }

    def finished(self) -> frozenset[int]:
        """Return the shards whose marker is there and agrees with their files; see `Sink`."""
        return frozenset(shard for shard in self.marked() if self._intact(shard))

    def is_finished(self, shard: int) -> bool:
        """Tell whether a shard's marker is there and agrees with its files."""
        return self._intact(shard)

    def marked(self) -> list[int]:
        """Return the shards that have a marker, in order; their files are not looked at."""
        with reading(self.path):
            names = [path.stem for path in (self.path / MARKERS).glob("*.json")]
        return sorted(int(name) for name in names if name.isdecimal() and int(name) < self.shards)

    def write(self, shard: int, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Write one shard; see `Sink`. Arrays that are not given were written by `write_part`."""
        start = shard * self.shard_size
        digests: dict[str, str] = {}
        with writing(self.path):
            for name, array in self._sharded():
                if name in arrays:
                    self.check_there()
                    array[start : start + len(arrays[name])] = arrays[name]
                for file in self._files(name, shard):
                    sync_file(file)
                digests[name] = self._digest(name, shard)
            self.check_there()
            content = {**facts, "shard": shard, "sha256": digests, "manifest": self.identity.mark}
            write_durable(self._marker(shard), content)
            self._clear_up(shard)

    def _clear_up(self, shard: int) -> None:
        """Remove temporary files of a shard that is finished, of runs that were killed while they wrote it.

        Another process may be writing one of them. It fails then, and finds the shard finished.
        """
        if is_remote(self.path):
            return
        for name, _ in self._sharded():
            for file in self._files(name, shard):
                for partial in file.parent.glob(f"{file.name}.*{PARTIAL}"):
                    partial.unlink(missing_ok=True)

    def write_part(self, name: str, rows: slice, place: int, values: NDArray[Any]) -> None:
        """Write some rows of one shard at one place of an array's second axis, before `write`.

        Parameters
        ----------
        name
            Of the array.
        rows
            Of its first axis.
        place
            On its second axis.
        values
            (rows, sizes of the axes after the second), or one number.

        Raises
        ------
        OutputError
            They cannot be written.
        """
        array = self._arrays[name]
        key = (rows.start // self.shard_size, place // array.chunks[1], *[0] * (array.ndim - 2))
        with writing(self.path):
            self.check_there()
            array[rows, place] = values
            sync_file(self.path / name / array.metadata.encode_chunk_key(key))

    def check_there(self) -> None:
        """Check that the store was not removed or begun anew since it was opened, before something of it is written.

        Zarr makes folders that are missing: what is left of a store that was removed is no store, and in the way of a
        new one. At addresses only the manifest is looked for.

        Raises
        ------
        OutputError
            It is gone, or of another job, or cannot be seen.
        """
        if not is_remote(self.path):
            with writing(self.path):
                (self.path / GROUP).stat()
        self.identity.check()

    def remove_partial(self) -> None:
        """Remove markers that killed processes left half written; raises OutputError."""
        with writing(self.path):
            for partial in list((self.path / MARKERS).glob(f"*{PARTIAL}")):
                partial.unlink(missing_ok=True)

    def facts(self, shards: Sequence[int]) -> Iterator[Mapping[str, Any]]:
        """Yield the markers' content; see `Sink`."""
        for shard in shards:
            with reading(self.path):
                text = self._marker(shard).read_text(encoding="utf-8")
            yield json.loads(text)

    def read(self, name: str, rows: slice) -> NDArray[Any]:
        """Return some rows of an array; raises OutputError where they cannot be read."""
        try:
            return np.asarray(self._arrays[name][rows])
        except KeyError as error:
            raise OutputError(f"{self.path} holds no array {name!r}; it has {', '.join(self._arrays)}") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise OutputError(f"{name!r} of {self.path} is damaged: {error}; run its job again") from error

    def _sharded(self) -> Iterator[tuple[str, "zarr.Array[Any]"]]:
        """Yield the arrays that go by sequence, in the order of their names."""
        for name, array in sorted(self._arrays.items()):
            if dimensions_of(array)[0] == "sequence":
                yield name, array

    def _marker(self, shard: int) -> Path:
        return self.path / MARKERS / f"{shard:06d}.json"

    def _files(self, name: str, shard: int) -> list[Path]:
        """Return the files of one shard of one array, in the order of its further axes."""
        array = self._arrays[name]
        counts = [-(-size // chunk) for size, chunk in zip(array.shape[1:], array.chunks[1:], strict=True)]
        keys = product([shard], *(range(max(1, count)) for count in counts))
        return [self.path / name / array.metadata.encode_chunk_key(key) for key in keys]

    def _digest(self, name: str, shard: int) -> str:
        """Return the SHA-256 of the file of one shard of one array, or of the digests of its files."""
        digests = [file_digest(file) for file in self._files(name, shard)]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def _intact(self, shard: int) -> bool:
        with reading(self.path):
            try:
                stored = json.loads(self._marker(shard).read_text(encoding="utf-8"))
                digests = stored["sha256"]
                return stored["manifest"] == self.identity.mark and all(
                    digests[name] == self._digest(name, shard) for name, _ in self._sharded()
                )
            except (OSError, ValueError, LookupError, TypeError):
                return False


def remove_partial_layout(path: Path) -> None:
    """Remove what processes left half written that were killed as they laid a store out; raises OutputError.

    No other process may lay it out meanwhile.
    """
    if not is_remote(path):
        with writing(path):
            for partial in list(path.rglob(f"*{PARTIAL}")):
                if is_partial(partial):
                    partial.unlink(missing_ok=True)


def _holds(path: Path, content: bytes) -> bool:
    """Tell whether a file is there with some bytes; raises OSError where that cannot be read."""
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def is_store(path: Path) -> bool:
    """Tell whether a folder holds a store whose layout is complete.

    Raises
    ------
    OutputError
        It cannot be told, or there are shards whose layout is gone.
    """
    try:
        if _is_laid_out(path):
            return True
        # Where another process completes the layout meanwhile, the shards come later.
        is_damaged = _holds_shards(path) and not _is_laid_out(path)
    except Exception as error:
        if not is_unreached(error, path):
            raise
        if getattr(error, "errno", None) in NO_NAME:
            return False
        raise OutputError(
            f"cannot read {path / GROUP}: {getattr(error, 'strerror', None) or error}; the same command goes on once "
            "it can be read, or begin anew with --restart"
        ) from error
    if is_damaged:
        raise OutputError(
            f"{path} holds shards, but {GROUP}, which describes them, is damaged or missing; put it back from a copy, "
            "or begin anew with --restart"
        )
    return False


def _is_laid_out(path: Path) -> bool:
    """Tell whether the layout of a store is there and complete; raises OSError where it cannot be read."""
    try:
        content = json.loads((path / GROUP).read_text(encoding="utf-8"))
        return "shard_size" in content["attributes"] and content.get("consolidated_metadata") is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (ValueError, LookupError, TypeError, AttributeError):  # damaged, or not written to its end
        return False


def _holds_shards(path: Path) -> bool:
    """Tell whether anything is there that is written once the layout is complete."""
    return any(next((path / folder).glob(names), None) is not None for folder, names in WRITTEN.items())


def dimensions_of(array: "zarr.Array[Any]") -> tuple[str, ...]:
    """Return the names of an array's axes."""
    names: tuple[str, ...] = getattr(array.metadata, "dimension_names", None) or ("",) * array.ndim
    return names


def _dtype_name(dtype: Any) -> str:
    return "str" if np.dtype(dtype).kind in "UTO" else str(np.dtype(dtype))
