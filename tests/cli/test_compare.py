"""`attribution-bench compare` and `report` on its results."""

import json
from pathlib import Path

import pytest

from attribution_bench.sequences import lambda_windows
from attribution_bench.sequences.fasta import write_fasta

LENGTH = 60


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "windows.fa", lambda_windows(LENGTH, 3))


def test_compares_and_renders_again(command, fasta, tmp_path):
    output = tmp_path / "results"
    done = command(
        "compare", f"basset?length={LENGTH}", fasta, "--methods", "fastism,gradient_x_input", "--repeated", 0,
        "--output", output,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Pearson r" in done.out
    assert str(output / "index.html") in done.out
    stored = json.loads((output / "evaluation.json").read_text())
    assert stored["truth"] == "fastism"
    page = (output / "index.html").read_bytes()
    (output / "index.html").unlink()
    again = command("report", output)
    assert again.code == 0, again.err
    assert (output / "index.html").read_bytes() == page


CONSTANT = """
import torch

class Constant(torch.nn.Module):
    def forward(self, x):
        return 0 * x.sum((1, 2))[:, None] + 3
"""


def test_a_model_that_ignores_its_input_has_no_best_method(command, fasta, tmp_path, monkeypatch):
    (tmp_path / "models_that_ignore.py").write_text(CONSTANT)
    monkeypatch.syspath_prepend(tmp_path)
    output = tmp_path / "results"
    done = command(
        "compare", "models_that_ignore:Constant", fasta, "--methods", "standard_ism,gradient_x_input", "--repeated", 2,
        "--output", output,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "undef." in done.out
    page = (output / "README.md").read_text()
    assert "In 3 of 3 sequences no single substitution changes the prediction by more than rounding" in page
    assert "closest" not in page
    assert "★" not in page
    assert "| Pearson r | higher | reference | undefined |" in page


def test_known_sites_give_metrics_of_recovery(command, fasta, tmp_path):
    sites = tmp_path / "sites.bed"
    sites.write_text(f"{lambda_windows(LENGTH, 3).names[1]}\t10\t20\tmotif\n")
    output = tmp_path / "results"
    done = command(
        "compare", f"basset?length={LENGTH}", fasta, "--methods", "gradient_x_input", "--sites", sites, "--repeated", 0,
        "--output", output,
    )  # fmt: skip
    assert done.code == 0, done.err
    (method,) = json.loads((output / "evaluation.json").read_text())["methods"]
    assert [value is None for value in method["values"]["auroc"]] == [True, False, True]
    assert "pearson" not in method["values"]  # there is no exact method to agree with


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "nosuch"), "unknown method 'nosuch'"),
        (("--target", "1"), "index 1 is out of range"),
        (("--truth", "deepshap", "--methods", "fastism"), "truth must be one of the methods"),
        (("--sites", "nosuch.bed"), r"nosuch.bed"),
        (("--alphabet", "morse"), "unknown alphabet"),
    ],
)
def test_bad_input_writes_nothing(command, fasta, tmp_path, arguments, message):
    output = tmp_path / "results"
    done = command("compare", f"basset?length={LENGTH}", fasta, "--output", output, *arguments)
    assert done.code == 2
    assert message in done.err
    assert not output.exists()
