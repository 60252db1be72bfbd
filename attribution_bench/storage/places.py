"""Places of stores: folders of this machine, and addresses of others such as ``s3://bucket/scores.zarr``."""

import os
import re
import shutil
from pathlib import Path, PurePath
from typing import Any, cast

from attribution_bench.errors import InvalidInputError, MissingDependencyError

LOCAL = ("file://", "local://")
"""Addresses of this machine, which are paths in other words."""
ONE_SLASH = re.compile(r"([a-z][a-z0-9]+):/(?!/)")
"""Begin of an address with one slash where there are to be two; a drive of Windows has one letter."""


def store_path(place: str | os.PathLike[str]) -> Path:
    """Return the path of a store, or what behaves as one where it lies elsewhere.

    Parameters
    ----------
    place
        A path, or an address that fsspec knows: ``s3://``, ``gs://``, ``memory://`` and so on. Credentials and
        endpoints are those of fsspec's configuration, and of the environment.

    Raises
    ------
    MissingDependencyError
        What reads such addresses is not installed.
    InvalidInputError
        Nothing reads such addresses, or it would be taken for a folder of this machine by mistake.
    """
    if not isinstance(place, str) or "://" not in place:
        if isinstance(place, str) and not os.path.exists(place):
            place = _with_two_slashes(place)
        return cast(Path, place) if is_remote(place) else Path(place)
    for scheme in LOCAL:
        if place.startswith(scheme):
            path = place.removeprefix(scheme)
            if not os.path.isabs(path):
                raise InvalidInputError(
                    f"{place} names a host; give the path alone, or {scheme}{os.path.abspath(path)}"
                )
            return Path(path)
    try:
        import fsspec
        import upath
    except ImportError as error:
        raise MissingDependencyError.of("upath", "remote", f"a store at {place}") from error
    try:
        fsspec.get_filesystem_class(place.partition("://")[0])  # imports what reads such addresses
        # Lists of what is there are asked for anew each time: other processes write too.
        path = upath.UPath(place.rstrip("/"), use_listings_cache=False)
    except ImportError as error:
        raise MissingDependencyError(
            f"{place.partition('://')[0]}:// addresses need another package: {error}; install it beside the extra "
            "'remote'"
        ) from error
    except ValueError as error:
        raise InvalidInputError(
            f"{place} is no address that fsspec knows ({error}); give a path, s3:// or gs://"
        ) from error
    return cast(Path, path)


def _with_two_slashes(place: str) -> str:
    """Return a path that is one, or that of a file's address with one slash; raises InvalidInputError for others."""
    found = ONE_SLASH.match(place)
    if found is None:
        return place
    scheme, rest = found[1], place[found.end() :]
    if scheme == "file":
        return f"/{rest}"
    raise InvalidInputError(
        f"{place} has one slash after '{scheme}:', and would be a folder of this machine; give {scheme}://{rest}, "
        f"or ./{place} for the folder"
    )


def is_remote(path: Any) -> bool:
    """Tell whether a store's path is an address of another file system."""
    return not isinstance(path, PurePath) and hasattr(path, "fs")


def check_lasting(path: Path) -> None:
    """Check that a store outlives this process, and is seen by others.

    Raises
    ------
    InvalidInputError
        It lies in this process's memory.
    """
    if is_remote(path) and getattr(path, "protocol", "") == "memory":
        raise InvalidInputError(
            f"{path} is gone when this process ends, and no other process sees it; give a folder, s3:// or gs://"
        )


def zarr_place(path: Path) -> Any:
    """Return what Zarr and xarray open at a store's path."""
    if not is_remote(path):
        return path
    from zarr.storage import FsspecStore

    remote: Any = path
    return FsspecStore.from_url(str(remote), storage_options=dict(remote.storage_options))


def make_folder(path: Path) -> None:
    """Make a folder where it is missing; at addresses it is there as soon as anything is in it. Raises OSError."""
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a folder and what is in it, if it is there, as far as that goes."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    remote: Any = path
    if remote.exists():
        remote.fs.rm(remote.path, recursive=True)


def beside(path: Path, suffix: str) -> Path:
    """Return the path of what is made of a store: beside it, or in the working folder where it lies elsewhere."""
    name = path.name.removesuffix(path.suffix) + suffix
    return Path(name) if is_remote(path) else path.with_name(name)
