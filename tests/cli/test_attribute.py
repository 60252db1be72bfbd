"""The command `attribute`: how sequences are named, what it prints, and how it ends."""

import json
import os
import signal

import numpy as np
import pytest
import xarray

import attribution_bench as ab
from attribution_bench.sequences import read_fasta

MODULE = """
import os, signal
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv1d(4, 5, 5), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
        self.body(torch.zeros(1, 4, 20))
        self.calls = 0

    def forward(self, x, *extras):
        self.calls += 1
        if self.calls == int(os.environ.get("SIGNAL_AT_CALL", -1)):
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        return self.body(x) + sum(extra.reshape(len(x), 1) * x.mean(dim=(1, 2), keepdim=True)[:, 0] for extra in extras)

def build():
    return Small(0)

def other():
    return Small(1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a model's module, sequences, and a genome with regions."""
    (tmp_path / "small_model_of_a_job.py").write_text(MODULE)
    generator = np.random.default_rng(0)
    letters = ["".join(generator.choice(list("ACGT"), 20)) for _ in range(10)]
    (tmp_path / "peaks.fa").write_text("".join(f">peak_{i}\n{text}\n" for i, text in enumerate(letters)))
    (tmp_path / "genome.fa").write_text(">chr1\n" + "".join(generator.choice(list("ACGT"), 200)) + "\n")
    (tmp_path / "peaks.bed").write_text("chr1\t40\t60\ta\nchr1\t190\t210\tb\nchr1\t100\t101\tc\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def attribute(command, folder):
    def run(*arguments, model="build", methods="gradient_x_input"):
        return command(
            "attribute",
            f"small_model_of_a_job:{model}",
            *arguments,
            "--methods",
            methods,
            "--target",
            1,
            "--threads",
            1,
        )

    return run


def loaded(path):
    with xarray.open_zarr(path) as dataset:
        return dataset.load()


def built(name="build"):
    import importlib

    return getattr(importlib.import_module("small_model_of_a_job"), name)()


def test_a_fasta_file(attribute, folder):
    run = attribute("peaks.fa", "--output", "scores.zarr", "--shard-size", 4)
    assert run.code == 0, run.err
    assert "10 sequences in 3 shards" in run.err
    lines = run.out.splitlines()
    assert lines[0] == "scored 10 of 10 sequences"
    assert lines[-1] == "store: scores.zarr"
    again = attribute("peaks.fa", "--output", "scores.zarr", "--shard-size", 4)
    assert "resumed from 10" in again.out
    refused = attribute("peaks.fa", "--output", "scores.zarr", "--shard-size", 5)
    assert refused.code == 2
    assert "shard size: 4 in the store, 5 now" in refused.err


def test_what_was_taken_for_granted_is_told(attribute, folder):
    (folder / "peaks.bed").write_text("chr1\t40\t60\ta\t0\t.\t1\t-1\t-1\t5\n")
    told = attribute("peaks.bed", "--genome", "genome.fa", "--length", 20, "--output", "a.zarr")
    assert "caution: peaks.bed has the ten columns of narrowPeak" in told.err
    asked = attribute("peaks.bed", "--genome", "genome.fa", "--length", 20, "--output", "b.zarr", "--anchor", "summit")
    assert (asked.code, "caution" in asked.err) == (0, False)
    assert loaded("b.zarr")["start"].values.tolist() == [35]
    length = ("--genome", "genome.fa", "--length", 20, "--output")
    locus = attribute("--regions", "chr1:41-60", *length, "c.zarr")
    assert (locus.code, loaded("c.zarr")["start"].values.tolist()) == (0, [40])


@pytest.mark.parametrize("where", ["/proc/x.zarr", "a_file/x.zarr"])
def test_a_folder_that_cannot_be_made_is_told_with_the_reason_of_the_system(attribute, folder, where):
    (folder / "a_file").write_text("")
    run = attribute("peaks.fa", "--output", where)
    assert run.code == 2
    assert run.err.splitlines()[-1].startswith(f"attribution-bench: cannot write {where}: N")  # No such ..., Not a ...
    assert "another run" not in run.err


def test_json_lines_are_all_that_is_printed(attribute, folder):
    (folder / "peaks.fa").write_text(">a\n" + "ACGTA" * 4 + "\n>b\n" + "N" * 20 + "\n")
    run = attribute("peaks.fa", "--json", "--shard-size", 1)
    assert (run.code, run.err) == (0, "")
    events = [json.loads(line) for line in run.out.splitlines()]
    assert [event["event"] for event in events] == ["started", "shard", "shard", "summary"]
    assert events[0]["set_aside"] == {"unknown letters only": 1}
    del events[2]["seconds"]
    set_aside = {"unknown letters only": 1}
    assert events[2] == {"event": "shard", "shard": 1, "sequences": 2, "total": 2, "set_aside": set_aside}
    assert events[3]["scored"] == 1
    assert events[3]["complete"] is True


def test_strict_exits_with_1(attribute, folder):
    (folder / "peaks.fa").write_text(">a\n" + "ACGTA" * 4 + "\n>b\n" + "N" * 20 + "\n")
    run = attribute("peaks.fa", "--strict")
    assert run.code == 1
    assert "1 sequences: unknown letters only" in run.err
    assert not (folder / "scores.zarr").exists()


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_the_job_after_its_shard_and_the_same_command_goes_on(
    attribute, folder, monkeypatch, number, code, name
):
    # Signals find the handlers that a terminal's Python has, not those of pytest.
    former = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setenv("SIGNAL", str(int(number)))
        monkeypatch.setenv("SIGNAL_AT_CALL", "4")
        run = attribute("peaks.fa", "--shard-size", 2)
    finally:
        signal.signal(number, former)
    assert run.code == code, run.err
    assert f"stopped by {name}; the same command goes on" in run.out
    done = len(list((folder / "scores.zarr/markers").iterdir()))
    assert 0 < done < 5
    monkeypatch.delenv("SIGNAL_AT_CALL")
    assert f"resumed from {2 * done}" in attribute("peaks.fa", "--shard-size", 2).out
    assert attribute("peaks.fa", "--shard-size", 2, "--output", "whole.zarr").code == 0
    for path in (folder / "whole.zarr").glob("*/c/**/*"):
        if path.is_file():
            assert path.read_bytes() == (folder / "scores.zarr" / path.relative_to(folder / "whole.zarr")).read_bytes()


def test_regions_a_locus_and_standard_input(attribute, folder, monkeypatch):
    import io

    genome = read_fasta(folder / "genome.fa").strings[0]
    assert attribute("peaks.bed", "--genome", "genome.fa", "--length", 20, "--overhang", "pad").code == 0
    dataset = loaded(folder / "scores.zarr")
    assert dataset["start"].values.tolist() == [40, 190, 90]
    method = ab.get_method("gradient_x_input")(built())
    result = method.attribute([genome[40:60], genome[190:] + "N" * 10, genome[90:110]], target=1)
    np.testing.assert_array_equal(dataset["gradient_x_input_scores"], result.scores)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"chr1\t100\t101\tc\n")))
    assert attribute("-", "--genome", "genome.fa", "--length", 20, "--output", "stdin.zarr").code == 0
    assert loaded(folder / "stdin.zarr")["start"].values.tolist() == [90]
    assert attribute("--regions", "chr1:41-60", "--genome", "genome.fa", "--length", 20, "--output", "locus").code == 0
    stored = loaded(folder / "locus")["gradient_x_input_scores"]
    np.testing.assert_allclose(stored[0], result.scores[0], rtol=1e-4, atol=1e-7)


def test_folds_and_both_strands(attribute, folder):
    run = attribute(
        "peaks.fa",
        "--fold",
        "small_model_of_a_job:other",
        "--both-strands",
        "--each-model",
        "--store",
        "scores,observed",
    )
    assert run.code == 0, run.err
    dataset = loaded(folder / "scores.zarr")
    one_hot = read_fasta(folder / "peaks.fa").one_hot()
    each = []
    for name in ("build", "other"):
        method = ab.get_method("gradient_x_input")(built(name))
        reverse = method.attribute(np.ascontiguousarray(one_hot[:, ::-1, ::-1]), target=1).scores[:, ::-1, ::-1]
        each.append((method.attribute(one_hot, target=1).scores.astype(float) + reverse) / 2)
    np.testing.assert_allclose(dataset["gradient_x_input_scores"], np.mean(each, axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(dataset["gradient_x_input_scores_sd"], np.std(each, axis=0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(dataset["gradient_x_input_scores_models"][:, 1], each[1], rtol=1e-5, atol=1e-7)
    observed = (np.mean(each, axis=0) * one_hot).sum(axis=1)
    np.testing.assert_allclose(dataset["gradient_x_input_observed"], observed, rtol=1e-5, atol=1e-7)


def test_one_of_several_values_is_exported_and_drawn(command, folder, attribute):
    assert attribute("peaks.fa", "--output", "one.zarr").code == 0
    command("attribute", "small_model_of_a_job:build", "peaks.fa", "--methods", "gradient_x_input", "--target", "all")
    assert loaded(folder / "scores.zarr")["gradient_x_input_scores"].dims[3:] == ("output_0",)
    refused = command("export", "scores.zarr", "--to", "modisco")
    assert refused.code == 2
    assert "several values, output (2,); choose one" in refused.err
    assert command("export", "scores.zarr", "--to", "modisco", "--target", "1").code == 0
    assert command("export", "one.zarr", "--to", "modisco").code == 0
    chosen, alone = (np.load(folder / f"{name}-modisco/scores.npz")["arr_0"] for name in ("scores", "one"))
    np.testing.assert_allclose(chosen, alone, rtol=1e-5, atol=1e-8)
    run = command("plot", "scores.zarr", "--sequence", "peak_3", "--target", "output:1", "--output", "a.svg")
    assert run.code == 0, run.err


def test_further_inputs_of_a_file(attribute, folder):
    extra = np.linspace(-1, 1, 10, dtype=np.float32)
    np.savez(folder / "inputs.npz", extra)
    assert attribute("peaks.fa", "--inputs", "inputs.npz", "--shard-size", 3).code == 0
    method = ab.get_method("gradient_x_input")(built())
    result = method.attribute(read_fasta(folder / "peaks.fa"), target=1, additional_forward_args=extra)
    stored = loaded(folder / "scores.zarr")["gradient_x_input_scores"]
    np.testing.assert_allclose(stored, result.scores, rtol=1e-5, atol=1e-7)
    np.savez(folder / "inputs.npz", extra[:9])
    run = attribute("peaks.fa", "--inputs", "inputs.npz", "--restart")
    assert run.code == 2
    assert "one row for each of 10 records" in run.err
    assert loaded(folder / "scores.zarr").sizes["sequence"] == 10


def test_options_of_methods_and_the_seed(attribute, folder):
    for output, further in (("a", ()), ("b", ("--seed", 1)), ("c", ("--option", "deepshap.seed=1"))):
        run = attribute(
            "peaks.fa", "--option", "deepshap.n_references=2", "--output", output, *further, methods="deepshap"
        )
        assert run.code == 0, run.err
    a, b, c = (loaded(folder / name)["deepshap_scores"].values for name in "abc")
    np.testing.assert_array_equal(b, c)
    assert (a != b).any()
    result = ab.get_method("deepshap")(built(), n_references=2, seed=1).attribute(read_fasta("peaks.fa"), target=1)
    np.testing.assert_array_equal(b, result.scores)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give SEQUENCES"),
        (("peaks.fa", "--regions", "chr1:1-20"), "give SEQUENCES"),
        (("--regions", "chr1:1-20"), "--genome"),
        (("peaks.bed",), "--genome"),
        (("peaks.bed.gz",), "--genome"),
        (("-",), "--genome"),
        (("peaks.bed", "--genome", "none.fa", "--length", 20), "none.fa"),
        (("none.fa",), "none.fa"),
        (("peaks.fa", "--option", "steps=3"), "method.name=value"),
        (("peaks.fa", "--option", "deepshap.seed=3"), "'deepshap' does not run"),
        (("peaks.fa", "--option", "gradient_x_input.steps=3"), "cannot take the options steps"),
        (("peaks.fa", "--store", "logits"), "'logits'"),
        (("peaks.fa", "--store", "predictions"), "gives predictions"),
        (("peaks.fa", "--inputs", "peaks.fa"), "no arrays"),
        (("peaks.fa", "--each-model"), "there is one"),
        (("peaks.fa", "--convention", "large"), "'large'"),
        (("peaks.fa", "--alphabet", "RNA"), "letters outside the alphabet"),
        (("peaks.fa", "--length", 7), "another length"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(attribute, folder, arguments, words):
    before = set(os.listdir(folder)) | {"__pycache__"}
    run = attribute(*arguments)
    assert run.code == 2
    assert words in run.err
    assert run.err.count("\n") == 1
    assert set(os.listdir(folder)) <= before
