"""Stored results from strangers: nothing in them runs, nothing is written beside them, and memory is not taken."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from hostile_results import CORPUS, write_corpus

HARMLESS = ("scripts and formulas as names", "markup and formulas as names")
"""Folders that are read: their names are odd, but harmless where they are written with escapes."""
MOST_KIBIBYTES = 800 * 1024


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[Path], dict[str, tuple[dict[str, str], int]]]:
    """Write the corpus and read it in a process with a limit of memory.

    Returns
    -------
    The folder of the corpus, what it held before, and of each file how its readers ended and the memory they took.
    """
    folder = tmp_path_factory.mktemp("corpus")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of two members of one name
        paths = write_corpus(folder)
    before = set(folder.rglob("*"))
    script = Path(__file__).parent / "helpers" / "read_hostile_results.py"
    work = tmp_path_factory.mktemp("work")
    done = subprocess.run(
        [sys.executable, str(script), json.dumps({name: str(path) for name, path in paths.items()})],
        capture_output=True, text=True, timeout=300, check=False, cwd=work,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path]), "TMPDIR": str(work)},
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"reading died after {lines[-1:]}: {done.stderr[-2000:]}"
    assert not list(work.iterdir())
    return folder, before, {name: (found, memory) for name, found, memory in lines}


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_is_refused_in_one_sentence(
    ends: tuple[Path, set[Path], dict[str, tuple[dict[str, str], int]]], name: str
) -> None:
    found, memory = ends[2][name]
    assert {end.split(":")[0] for end in found.values()} == {"read" if name in HARMLESS else "refused"}, found
    assert all(end.isprintable() and len(end) < 1000 for end in found.values())
    assert memory < MOST_KIBIBYTES


def test_nothing_is_written_beside_a_hostile_file(
    ends: tuple[Path, set[Path], dict[str, tuple[dict[str, str], int]]],
) -> None:
    folder, before, _ = ends
    rendered = {index for index, name in enumerate(CORPUS) if name in HARMLESS}
    new = set(folder.rglob("*")) - before
    assert {int(path.relative_to(folder).parts[0]) for path in new} == rendered
    assert not (folder / "marker").exists()
    pages = [(folder / f"{index:02d}" / "README.md").read_text() for index in sorted(rendered)]
    assert any(r"Fast \|\<b\>& # heading" in page for page in pages)
    assert not any("<script" in page.replace(r"\<script", "") or "<b>" in page for page in pages)
