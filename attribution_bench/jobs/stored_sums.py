"""Sums of a store: what the first models make of shards whose other models are still to come.

    STORE/sums/<shard>-<models>-<job>.npz

Each file is written once and never changed, so that a process that was given up and comes to its end late writes the
same bytes once more, and destroys nothing: one of another job, whose store was at the same path, has another name. The
file of more models replaces those of fewer, which are removed.
"""

import errno
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from attribution_bench.errors import OutputError
from attribution_bench.jobs.sums import Sums
from attribution_bench.npz_files import NpzFile
from attribution_bench.storage.durable import PARTIAL, durable_file, writing
from attribution_bench.storage.identity import StoreIdentity
from attribution_bench.storage.places import is_remote, remove_tree

FOLDER = "sums"
LOST = (FileNotFoundError, OutputError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""Errors of files that are missing, or do not hold what they should."""


class LostSumsError(OutputError):
    """Sums that are missing or damaged, so that their models are to be added up anew."""


class StoredSums:
    """The sums of one store.

    Parameters
    ----------
    store
        Folder of the store, or its address.
    identity
        SHA-256 of the manifest of its job; by default of the one that is there.
    """

    def __init__(self, store: Path, identity: str | None = None) -> None:
        self._folder, self._identity = store / FOLDER, StoreIdentity(store, identity)

    def counts(self, shard: int) -> list[int]:
        """Return how many models are in each of the files of a shard, ascending; they are not looked into."""
        return sorted(count for _, count, _ in self._files(shard))

    def read(self, shard: int, count: int) -> Sums:
        """Return the sums over the first models of a shard; those over none are empty.

        Raises
        ------
        LostSumsError
            They are not there, or damaged.
        OutputError
            They cannot be read at the moment.
        """
        if not count:
            return Sums()
        path = self._path(shard, count)
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                found = NpzFile(archive)
                sums = Sums.unpacked({name: found.array(name) for name in found.headers})
        except (OSError, *LOST) as error:
            # A damaged archive also sends its reader to places before its beginning.
            is_lost = isinstance(error, LOST) or getattr(error, "errno", None) == errno.EINVAL
            if not is_lost:
                raise OutputError(
                    f"cannot read {path}: {getattr(error, 'strerror', None) or error}; the same command goes on once "
                    "it can be read, or adds the models up anew where it is removed"
                ) from error
            raise LostSumsError(
                f"the sums of shard {shard} over {count} models are missing or damaged ({error}); the same command "
                "adds its models up anew"
            ) from error
        if sums.count != count:
            raise LostSumsError(f"{path} holds the sums over {sums.count} models; the same command adds them up anew")
        return sums

    def write(self, shard: int, sums: Sums) -> None:
        """Write sums, whole or not at all, and remove those over fewer models; raises OutputError.

        The folder of the store has to be there: one that was removed is not made anew for them.
        """
        with writing(self._folder):
            if not is_remote(self._folder):
                self._folder.mkdir(exist_ok=True)
            with durable_file(self._path(shard, sums.count)) as file:
                np.savez(file, **sums.packed())  # type: ignore[arg-type]
        self.remove(shard, fewer_than=sums.count)

    def remove(self, shard: int, fewer_than: int | None = None) -> None:
        """Remove the sums of a shard, those over fewer models than some or all; raises OutputError."""
        with writing(self._folder):
            for path, count, _ in self._files(shard):
                if fewer_than is None or count < fewer_than:
                    path.unlink(missing_ok=True)

    def begun(self, shards: Collection[int]) -> dict[int, int]:
        """Return how many models are added up of each of some shards, where any are.

        Whatever is of no use is removed: sums of other shards and jobs, damaged ones, those over fewer models, and
        what killed processes left half written.

        Raises
        ------
        OutputError
            Some cannot be read at the moment, and all are kept; or they cannot be removed.
        """
        found: dict[int, int] = {}
        useless: list[Path] = []
        with writing(self._folder):
            for path, count, shard in sorted(self._all_files(), key=lambda file: -file[1]):
                is_own = path.name == self._path(shard, count).name
                if is_own and shard in shards and shard not in found and self._is_intact(shard, count):
                    found[shard] = count
                else:
                    useless.append(path)
            for path in [*useless, *self._folder.glob(f"*{PARTIAL}")]:
                path.unlink(missing_ok=True)
        if not found:
            self.clear()
        return found

    def clear(self) -> None:
        """Remove all of them; raises OutputError."""
        with writing(self._folder):
            remove_tree(self._folder)

    def _is_intact(self, shard: int, count: int) -> bool:
        try:
            self.read(shard, count)
        except LostSumsError:
            return False
        return True

    def _path(self, shard: int, count: int) -> Path:
        mark = self._identity.mark
        return self._folder / f"{shard:06d}-{count:06d}{f'-{mark}' if mark else ''}.npz"

    def _files(self, shard: int) -> Iterator[tuple[Path, int, int]]:
        """Yield file, models and shard of the sums that there are of one shard."""
        for path, count, index in self._all_files(f"{shard:06d}-*.npz"):
            if path.name == self._path(index, count).name:
                yield path, count, index

    def _all_files(self, pattern: str = "*.npz") -> Iterator[tuple[Path, int, int]]:
        """Yield file, models and shard of the sums that there are, those of other jobs too."""
        for path in list(self._folder.glob(pattern)):
            shard, models, *_ = *path.stem.split("-"), ""
            if shard.isdecimal() and models.isdecimal():
                yield path, int(models), int(shard)
