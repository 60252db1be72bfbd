"""The tutorial notebooks run from start to end, and their outputs are in the repository."""

import sys
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = {"first_score.ipynb": 4, "which_method.ipynb": 2, "own_model_and_genome.ipynb": 2}
"""Notebook -> pictures in it."""


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_tested() -> None:
    assert {path.name for path in (DOCS / "tutorials").glob("*.ipynb")} == set(PICTURES)


@pytest.mark.filterwarnings("default")  # of the Jupyter packages; the notebook's own kernel is another process
@pytest.mark.parametrize("name", PICTURES)
def test_a_tutorial_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import run_tutorials

    ran = run_tutorials.run(run_tutorials.TUTORIALS / name)
    outputs = [output for cell in code_cells(ran) for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    sys.modules.pop("run_tutorials")


@pytest.mark.parametrize("name", PICTURES)
def test_its_outputs_are_kept_with_it(name: str) -> None:
    outputs = [
        output for cell in code_cells(nbformat.read(DOCS / "tutorials" / name, as_version=4)) for output in cell.outputs
    ]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == PICTURES[name]
    assert [output.output_type for output in outputs if output.output_type == "error"] == []
