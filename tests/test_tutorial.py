"""The tutorial notebook runs from start to end, and its outputs are in the repository."""

import sys
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.filterwarnings("default")  # of the Jupyter packages; the notebook's own kernel is another process
def test_the_tutorial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import run_tutorial

    ran = run_tutorial.run(run_tutorial.NOTEBOOK)
    errors = [output for cell in code_cells(ran) for output in cell.outputs if output.output_type == "error"]
    assert errors == []
    sys.modules.pop("run_tutorial")


def test_its_outputs_are_kept_with_it() -> None:
    cells = code_cells(nbformat.read(DOCS / "tutorial.ipynb", as_version=4))
    assert all(cell.outputs for cell in cells)
    pictures = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
