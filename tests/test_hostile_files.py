"""Files that mean harm end in one error each: nothing in them runs, nothing is written, memory stays bounded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_files


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    """In a process of its own, whose memory is limited, as are the places where a file could appear unseen."""
    script, folder = hostile_files.__file__, tmp_path / "all" / "files"
    (temporary := tmp_path / "all" / "temporary").mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, script, "--open", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=temporary, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    found = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(found) == set(hostile_files.FILES)
    assert len(found) >= 60
    assert {name: line["outcome"] for name, line in found.items() if not line["outcome"].startswith("refused: ")} == {}
    assert {name: line["new"] for name, line in found.items() if line["new"]} == {}
    assert not folder.with_name("mark").exists()
    assert {name: line["seconds"] for name, line in found.items() if line["seconds"] > 30} == {}
