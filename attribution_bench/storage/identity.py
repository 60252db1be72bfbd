"""Which job a store is of: it is known by the digest of its manifest."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from attribution_bench.errors import OutputError
from attribution_bench.storage.durable import file_digest, reading
from attribution_bench.storage.places import is_remote

MANIFEST = "manifest.json"
MARK = 16
"""Digits of the digest that tell what was written for one job from what was written for another."""


def manifest_digest(store: Path) -> str:
    """Return the SHA-256 of the manifest in a folder, which tells one job there from another; empty without one.

    Raises
    ------
    OutputError
        It cannot be read.
    """
    with reading(store / MANIFEST):
        try:
            return file_digest(store / MANIFEST)
        except FileNotFoundError:
            return ""


class StoreIdentity:
    """The job of a store, and whether the store at its path is still of that job.

    Parameters
    ----------
    store
        Folder of the store.
    digest
        SHA-256 of the job's manifest; by default of the one that is there when it is first asked for.
    """

    def __init__(self, store: Path, digest: str | None = None) -> None:
        self._store, self._given = store, digest
        self._seen: object = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the job's manifest; empty of a store without one. Raises OutputError."""
        return manifest_digest(self._store) if self._given is None else self._given

    @property
    def mark(self) -> str:
        """What tells files that were written for this job from those of others. Raises OutputError."""
        return self.digest[:MARK]

    def check(self) -> None:
        """Check that the store at the path is of this job, before something is written there.

        Raises
        ------
        OutputError
            It was removed or begun anew since, or its manifest cannot be read.
        """
        wanted, file = self.digest, self._version()
        if file is not None and file == self._seen:
            return
        found = manifest_digest(self._store)
        if found != wanted:
            raise OutputError(
                f"{self._store} was begun anew by another run while this one wrote into it: this one writes nothing "
                "more there"
                if found
                else f"{self._store / MANIFEST} is not seen any more: nothing is written there without it"
            )
        self._seen = file

    def _version(self) -> object:
        """Return what tells the manifest's file from every other, so that it need not be read; None without that.

        It is opened, since a network's file system may know less of a name than of an open file. Of an object it is
        the tag that object stores give to its bytes.
        """
        place: Any = self._store / MANIFEST
        try:
            if is_remote(place):
                facts = place.fs.info(place.path)
                return facts.get("ETag") or facts.get("etag")
            with place.open("rb") as file:
                found = os.fstat(file.fileno())
        except Exception:  # its reading says what is wrong
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
