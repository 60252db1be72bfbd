"""Machine code on disk: what one process compiled is read by those after it.

Code that is read is run, so that a file counts only where nobody but its user can have written it: the folder and the
file belong to the user, no other user may write into them, and none may put another folder in the folder's place. A
digest over the code, and over everything that it was compiled from and for, tells damaged and foreign files. Whatever
is wrong with the cache, code is compiled as if there were none.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "ATTRIBUTION_BENCH_KERNEL_CACHE"
"""Environment variable: the folder of the cache, or `OFF` for none. By default it is in the user's cache folder."""
OFF = "off"
MOST_FILES = 512
"""Files that are kept, the last written ones: some dozens serve a model, at some ten thousand bytes each."""
PREFIX = "kernel-"
"""Beginning of the names of the cache's files: others in its folder are not touched."""
DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class CodeCache:
    """Pieces of machine code in a folder of one user, each under a key: all that decides what the code is."""

    folder: Path | None
    """None keeps nothing."""

    def read(self, key: str) -> bytes | None:
        """Return the code of a key; None where there is none that is whole and the user's own."""
        if self.folder is None or not _is_safe(self.folder):
            return None
        try:
            with open(os.open(self.folder / _name(key), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                if not _is_own(os.fstat(file.fileno())):
                    return None
                content = file.read()
        except OSError:  # mostly that there is no such file
            return None
        digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return code if digest == _digest(key, code) else None

    def write(self, key: str, code: bytes) -> None:
        """Keep the code of a key, where it can be kept. Other processes see it whole or not at all."""
        if self.folder is None:
            return
        # A folder that cannot be written, or a full disk, costs time and nothing else.
        with contextlib.suppress(OSError):
            _make(self.folder)
            if _is_safe(self.folder):
                self._replace(_name(key), _digest(key, code) + code)
                self._forget_oldest()

    def _replace(self, name: str, content: bytes) -> None:
        assert self.folder is not None
        descriptor, temporary = tempfile.mkstemp(prefix=PREFIX, dir=self.folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, self.folder / name)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _forget_oldest(self) -> None:
        """Remove files beyond `MOST_FILES`, also those that a process left when it was stopped."""
        assert self.folder is not None
        files = list(self.folder.glob(f"{PREFIX}*"))
        if len(files) > MOST_FILES:
            for file in sorted(files, key=lambda file: file.stat().st_mtime)[: len(files) - MOST_FILES]:
                file.unlink(missing_ok=True)


def code_cache() -> CodeCache:
    """Return the cache that the environment names."""
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == OFF or not hasattr(os, "geteuid"):  # without users' numbers nobody can tell whose a file is
        return CodeCache(None)
    if named:
        return CodeCache(Path(named).absolute())
    from platformdirs import user_cache_path

    return CodeCache(user_cache_path("attribution-bench").absolute() / "kernels")


def _name(key: str) -> str:
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(key.encode()).digest() + code).digest()


def _make(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the user alone."""
    for missing in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _is_safe(folder: Path) -> bool:
    """Whether a folder is there, and nobody but the user (and root) can write into it or put another in its place."""
    try:
        folder = folder.resolve(strict=True)
        return _is_own(folder.stat()) and all(_keeps_folders(above.stat()) for above in folder.parents)
    except (OSError, RuntimeError):  # the second: a circle of links
        return False


def _is_own(state: os.stat_result) -> bool:
    return state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keeps_folders(state: os.stat_result) -> bool:
    """Whether none but the user and root can rename what lies in a folder, unless it is theirs."""
    others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not state.st_mode & stat.S_ISVTX
    return state.st_uid in (0, os.geteuid()) and not others_write
