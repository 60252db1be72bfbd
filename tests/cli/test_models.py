"""`attribution-bench models`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.models.adapters import ADAPTERS
from attribution_bench.models.catalogue import get_model
from installed_plugins import install

CODE = """
from attribution_bench.models.adapters import Adapter, ModelCard

class Zoo(Adapter):
    def cards(self):
        return (ModelCard("zebra", "stripes of an animal", "zoo-package", 2048, "profile", "GPL", "Someone 2020",
                          target="profile:sum", weights=False),)

    def open(self, name, **options):
        raise AssertionError
"""


def test_models_are_listed_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "zebra-zoo", {"zoo": "Zoo"}, CODE, ADAPTERS)
    listed = command("models")
    assert listed.code == 0
    assert "basset" in listed.out
    (line,) = (line for line in listed.out.splitlines() if "zebra" in line)
    assert "2,048" in line
    assert "zoo-package" in line
    one = command("models", "zebra")
    assert one.code == 0
    for fact in (
        "stripes of an animal",
        "pip install zoo-package",
        "zebra?weights=FILE",
        "profile:sum",
        "GPL",
        "Someone",
    ):
        assert fact in one.out


def test_an_unknown_model_is_bad_input(command: Callable[..., Any]) -> None:
    result = command("models", "no_such_model")
    assert result.code == 2
    assert "no_such_model" in result.err


@pytest.mark.parametrize("name", ["basset", "bpnet", "demo_profile"])
def test_a_built_in_architecture_is_described(name: str, command: Callable[..., Any]) -> None:
    outcome = command("models", name)
    assert outcome.code == 0, outcome.err
    options = inspect.signature(get_model(name)).parameters
    assert all(f"{option}=" in outcome.out for option in options)
    assert f"{name}?length=" in outcome.out
    assert f"{name}?weights=FILE" in outcome.out


def test_a_misspelt_architecture_is_told_the_nearest_model(command: Callable[..., Any]) -> None:
    assert "did you mean 'basset'?" in command("models", "baset").err
    assert "did you mean 'bpnet-lite'?" in command("models", "bpnet-lit").err


def test_a_broken_adapter_is_one_line_where_its_models_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "lost-zoo", {"lost": "Lost"}, "import zoolib\n", ADAPTERS)
    reason = "the adapter 'lost' (lost_zoo:Lost of lost-zoo) cannot be loaded: ModuleNotFoundError: No module named"
    listed = command("models")
    assert listed.code == 0
    assert "spliceai" in listed.out
    assert listed.err.startswith(f"not among these: {reason}")
    assert listed.err.count("\n") == 1
    assert command("models", "spliceai").err == ""
    for missed in (("models", "of_the_lost"), ("explain", "of_the_lost")):
        outcome = command(*missed)
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert f"; {reason} 'zoolib', so that its models are not among these" in outcome.err


PROTEINS = """
import torch
from attribution_bench.models.adapters import Adapter, ModelCard

class Proteins(Adapter):
    def cards(self):
        return [ModelCard("stability", "a sum", "proteins-of-tests", 12, "(1)", "MIT", "Someone 2020",
                          alphabet="protein", target="0")]

    def open(self, name, **options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 1))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "stability"),
        ("attribute", "stability", "proteins.fa", "--methods", "gradient_x_input", "--output", "scores.zarr"),
        ("compare", "stability", "proteins.fa", "--methods", "gradient_x_input", "--repeated", 0, "--output", "found"),
    ],
)
def test_a_protein_model_reads_proteins(
    arguments: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    install(tmp_path, "proteins-of-tests", {"proteins": "Proteins"}, PROTEINS, ADAPTERS)
    Path("proteins.fa").write_text(">a\nMKVLAAGIVWRE\n>b\nPQSTNDCFHYMK\n")
    outcome = command(*arguments)
    assert outcome.code == 0, outcome.err
    refused = command(*arguments, "--alphabet", "RNA")
    assert refused.code == 2
    windows = command("benchmark", "stability")
    assert windows.code == 2
    assert "give protein ones with --sequences" in windows.err


TRACKS = """
import torch
from attribution_bench.models.adapters import Adapter, ModelCard

class Tracks(Adapter):
    def cards(self):
        return [ModelCard("tracks", "three numbers", "tracks-of-tests", 12, "(3)", "MIT", "Someone 2020", target="1")]

    def open(self, name, **options):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
"""
ONCE = ("--methods", "gradient_x_input")
TARGETED: dict[str, tuple[Any, ...]] = {
    "attribute": ("a.fa", *ONCE, "--output", "scores.zarr", "--restart"),
    "compare": ("a.fa", *ONCE, "--repeated", 0, "--output", "found"),
    "benchmark": ("--sequences", "a.fa", *ONCE, "--batch-sizes", 2, "--budget", 0.01, "--output", "timed"),
    "explain": (),
}
"""Command -> what it is given beside the model."""


@pytest.mark.parametrize("name", TARGETED)
def test_every_command_takes_the_default_target_of_a_model_and_says_so_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    arguments = (name, "tracks", *TARGETED[name])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    install(tmp_path, "tracks-of-tests", {"tracks": "Tracks"}, TRACKS, ADAPTERS)
    Path("a.fa").write_text(">a\nACGTTGCAACGT\n>b\nTTGACCATGCAA\n")
    outcome = command(*arguments)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("target 1, which is the default of tracks; --target chooses another") == 1
    given = command(*arguments, "--target", "2")
    assert given.code == 0, given.err
    assert "is the default of" not in given.err
    if name == "compare":
        assert "target output:2;" in given.out
        assert "target output:1;" in outcome.out


def test_variants_take_the_default_target_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    install(tmp_path, "tracks-of-tests", {"tracks": "Tracks"}, TRACKS, ADAPTERS)
    Path("genome.fa").write_text(">chr1\nACGTTGCAACGTTTGACCATGCAA\n")
    Path("a.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t9\t.\tA\tG\t.\t.\t.\n"
    )
    asked = ("variants", "tracks", "a.vcf", "--genome", "genome.fa")
    outcome = command(*asked, "--output", "a.tsv")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("target 1, which is the default of tracks; --target chooses another") == 1
    given = command(*asked, "--output", "b.tsv", "--target", "1")
    assert (given.code, "is the default of" in given.err) == (0, False)
    numbers = command(*asked, "--output", "c.tsv", "--effects", "numbers")
    assert numbers.code == 0, numbers.err
    assert Path("a.tsv").read_text() == Path("b.tsv").read_text() == Path("c.tsv").read_text()


def test_a_model_with_options_is_described_as_it_is_without(command: Callable[..., Any]) -> None:
    for name, options in (("spliceai", "member=1"), ("basset", "length=300")):
        assert command("models", f"{name}?{options}").out == command("models", name).out
    assert "did you mean 'basset'?" in command("models", "baset?length=300").err


def test_splice_models_have_the_same_options_of_variants(command: Callable[..., Any]) -> None:
    for name in ("spliceai", "openspliceai"):
        assert all(f"option {option} " in command("models", name).out for option in ("masked", "distance", "genes"))
