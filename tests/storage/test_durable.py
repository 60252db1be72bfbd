"""Durable files: several processes may write the same one at once, and everybody may read it who may read others."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from attribution_bench.storage import durable
from attribution_bench.storage.durable import write_durable, write_text_durable

WRITERS = [
    lambda path, number: write_durable(path, {"number": number}),
    lambda path, number: write_text_durable(path, json.dumps({"number": number})),
]


@pytest.mark.parametrize("write", WRITERS, ids=["JSON", "text"])
def test_two_writers_of_one_file_leave_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable
) -> None:
    path, sync, begun = tmp_path / "000001.json", os.fsync, []

    def interrupted(handle: int) -> None:
        """Let another writer come to its end before the first has its bytes on the disk."""
        begun.append(handle)
        if len(begun) == 1:
            write(path, 2)
            assert json.loads(path.read_text()) == {"number": 2}
        sync(handle)

    monkeypatch.setattr(durable.os, "fsync", interrupted)
    write(path, 1)
    assert json.loads(path.read_text()) == {"number": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["000001.json"]


@pytest.mark.parametrize("write", WRITERS, ids=["JSON", "text"])
def test_a_file_has_the_permissions_of_others(tmp_path: Path, write: Callable) -> None:
    (tmp_path / "other").write_text("")
    write(tmp_path / "file", 1)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("write", WRITERS, ids=["JSON", "text"])
def test_what_cannot_be_written_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable
) -> None:
    path = tmp_path / "file"
    write(path, 1)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, 2)
    assert json.loads(path.read_text()) == {"number": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
