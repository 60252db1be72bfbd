"""Run the notebooks of docs/tutorials from their start and keep their outputs: ``make tutorials``."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent / "tutorials"
SECONDS_A_CELL = 300


def run(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with fresh outputs; raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS_A_CELL, kernel_name="python3", record_timing=False)
    client.execute()
    return notebook


if __name__ == "__main__":
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        nbformat.write(run(path), path)
