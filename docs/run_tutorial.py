"""Run docs/tutorial.ipynb from its start and keep the outputs in it: ``make tutorial``."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "tutorial.ipynb"
SECONDS_A_CELL = 300


def run(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with fresh outputs; raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS_A_CELL, kernel_name="python3", record_timing=False)
    client.execute()
    return notebook


if __name__ == "__main__":
    nbformat.write(run(NOTEBOOK), NOTEBOOK)
