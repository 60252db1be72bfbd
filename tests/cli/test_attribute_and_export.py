"""Regions of a genome scored by two methods, exported in every form, against the interface in memory."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas
import pyBigWig
import pytest
import torch
import xarray
from torch import nn

import attribution_bench as ab
from attribution_bench.cli.app import app
from attribution_bench.demo import demonstration_sequences
from attribution_bench.environment import thread_count
from attribution_bench.reporting.letter_colours import letter_colours
from attribution_bench.sequences import DNA, Interval
from attribution_bench.sequences.fasta import Sequences
from attribution_bench.storage import StoredScores
from attribution_bench.storage.selected_scores import SelectedScores

LENGTH = 40
GENOME = {
    name: "".join(np.random.default_rng(seed).choice(list("ACGT"), 400)) for seed, name in enumerate(("chr2", "chr10"))
}
GENOME["chr10"] = GENOME["chr10"][:100] + "N" * 60 + GENOME["chr10"][160:]
REGIONS = [
    ("chr10", 200, 240, "a", "+"),
    ("chr2", 100, 140, "b", "-"),
    ("chr2", 120, 150, "c", "+"),
    ("chr2", 130, 170, "d", "-"),
    ("chr2", 385, 399, "off the end", "+"),
    ("chr10", 110, 150, "unknown", "+"),
    ("2", 100, 140, "no contig", "+"),
    ("chr10", 10, 60, "e", "+"),
    ("chr10", 200, 240, "a again", "+"),
]
SCORED = {"a": (200, "+"), "b": (100, "-"), "c": (115, "+"), "d": (130, "-"), "e": (15, "+"), "a again": (200, "+")}
"""Name -> start of the window, and strand, worked out by hand."""
CONTIGS = {"a": "chr10", "b": "chr2", "c": "chr2", "d": "chr2", "e": "chr10", "a again": "chr10"}


def build():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(60, 2))


def strings():
    found = {}
    for name, (start, strand) in SCORED.items():
        letters = GENOME[CONTIGS[name]][start : start + LENGTH]
        if strand == "-":
            letters = letters[::-1].translate(str.maketrans("ACGT", "TGCA"))
        found[name] = letters
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    (folder / "genome.fa").write_text("".join(f">{name}\n{letters}\n" for name, letters in GENOME.items()))
    lines = [f"{contig}\t{start}\t{end}\t{name}\t0\t{strand}\n" for contig, start, end, name, strand in REGIONS]
    (folder / "peaks.bed").write_text("".join(lines))
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(build().eval(), (torch.zeros(2, 4, LENGTH),), dynamic_shapes=(batch,))
    torch.export.save(program, folder / "model.pt2")
    return folder


@pytest.fixture(scope="module")
def store(files):
    from typer.testing import CliRunner

    arguments = [
        "attribute", files / "model.pt2", files / "peaks.bed", "--genome", files / "genome.fa", "--length", LENGTH,
        "--stranded", "--methods", "fastism,deepshap", "--target", "1", "--shard-size", 4, "--threads", 1,
        "--store", "scores,observed,predictions,reference_predictions,convergence_delta",
        "--output", files / "scores.zarr",
    ]  # fmt: skip
    run = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert run.exit_code == 0, run.output
    for words in (
        "scored 6 of 9",
        "1 reaches beyond its contig",
        "1 unknown letters only",
        "1 contig is not in",
        "1 equal",
    ):
        assert words in run.output, run.output
    return files / "scores.zarr"


@pytest.fixture(scope="module")
def expected():
    """What the interface gives of the same shards."""
    letters = list(strings().values())
    found = {}
    for name in ("fastism", "deepshap"):
        # As a job has it: what earlier calls took decides nothing.
        options = {"measured_costs": False} if name == "fastism" else {}
        method = ab.get_method(name)(build(), **options)
        with thread_count("torch", 1):
            found[name] = ab.AttributionResult.concatenate(
                [method.attribute(part, target=1) for part in (letters[:4], letters[4:5], letters[5:])]
            )
    return found


@pytest.mark.parametrize("method", ["fastism", "deepshap"])
def test_the_store_holds_the_numbers_of_the_interface_bit_for_bit(store, expected, method):
    with xarray.open_zarr(store) as dataset:
        scored = dataset.isel(sequence=np.flatnonzero(dataset["set_aside"].values == "")).load()
    result = expected[method]
    np.testing.assert_array_equal(scored[f"{method}_scores"], result.scores)
    np.testing.assert_array_equal(scored[f"{method}_observed"], result.observed)
    assert scored["sequence_name"].values.tolist() == list(SCORED)
    assert scored["start"].values.tolist() == [start for start, _ in SCORED.values()]
    if method == "fastism":
        np.testing.assert_array_equal(scored["fastism_predictions_output"], result.predictions["output"])
        np.testing.assert_array_equal(
            scored["fastism_reference_predictions_output"], result.reference_predictions["output"]
        )
        assert scored["fastism_scores"].attrs["convention"] == "centred"
    else:
        np.testing.assert_array_equal(scored["deepshap_convergence_delta"], result.convergence_delta)


def test_a_result_of_the_store_is_that_of_the_interface(store, expected):
    stored = StoredScores(store)
    assert stored.scored.tolist() == [0, 1, 2, 3, 7, 8]
    result = stored.result("fastism", 0, 9)
    assert result.metadata["target"] == 1
    assert [str(interval) for interval in result.intervals][:2] == ["chr10:200-240(+)", "chr2:100-140(-)"]
    delta = expected["fastism"].with_convention("delta")
    np.testing.assert_array_equal(result.with_convention("delta").scores, delta.scores)
    one = stored.one("deepshap", stored.index("d"))
    np.testing.assert_array_equal(one.scores, expected["deepshap"][3].scores)
    with pytest.raises(ab.errors.InvalidInputError, match=r"sequence 6 \(no contig\).*not in the genome.*chr2"):
        stored.one("deepshap", 6)


@pytest.mark.parametrize("contents", [("scores", "observed"), ("observed",)])
@pytest.mark.parametrize(("models", "options"), [(1, {"dtype": "float16"}), (1, {"both_strands": True}), (2, {})])
def test_scores_of_a_store_are_those_it_holds_beside_its_predictions(models, options, contents, tmp_path):
    several = [build() for _ in range(models)]
    for number, model in enumerate(several):
        # So large a prediction differs from that of a mutation by less than half precision can tell.
        nn.init.constant_(model[4].bias, 200.0 + number)
    sequences = Sequences(("a", "b"), tuple(strings().values())[:2], "two")
    store = ("predictions", "reference_predictions", *contents)
    asked = {"methods": ["standard_ism"], "target": 1, "store": store, **options}
    ab.attribute_to_store(several, sequences, tmp_path / "store", observer=lambda event: None, **asked)
    stored = StoredScores(tmp_path / "store")
    result = stored.result("standard_ism", 0, 2)
    (part,) = SelectedScores(stored)
    with xarray.open_zarr(tmp_path / "store") as dataset:
        held = {what: dataset[f"standard_ism_{what}"].values.astype(np.float32) for what in contents}
        predictions = dataset["standard_ism_predictions_output"].values
    for what in contents:
        np.testing.assert_array_equal(getattr(result, what), held[what])
        np.testing.assert_array_equal(getattr(part, what), held[what])
    np.testing.assert_array_equal(result.predictions["output"], predictions.astype(np.float32))


def test_names_with_blanks_of_any_kind_stay_in_their_column(command, tmp_path):
    names = ("a\tb", "c\nd", "e\r\nf", "g  h", "i\udcffj", "")
    regions = tuple(Interval("chr2", start, start + LENGTH, "+") for start in range(6))
    sequences = Sequences(names, tuple(GENOME["chr2"][r.start : r.end] for r in regions), "six", DNA, regions)
    ab.attribute_to_store(build(), sequences, tmp_path / "s.zarr", methods=["gradient_x_input"], target=1)
    assert command("export", tmp_path / "s.zarr", "--to", "tsv", "--output", tmp_path / "s.tsv").code == 0
    frame = pandas.read_csv(tmp_path / "s.tsv", sep="\t", keep_default_na=False)
    expected = ["a b", "c d", "e  f", "g  h", "i\ufffdj", ""]
    assert frame["name"].tolist() == np.repeat(expected, LENGTH).tolist()
    assert frame["genome_position"].tolist() == [r.start + place for r in regions for place in range(LENGTH)]
    assert command("export", tmp_path / "s.zarr", "--to", "modisco", "--output", tmp_path).code == 0
    lines = (tmp_path / "regions.bed").read_text().split("\n")[:-1]
    assert [line.split("\t")[3] for line in lines] == expected
    assert {line.count("\t") for line in lines} == {9}


def exported(command, store, to, output, *further):
    run = command("export", store, "--to", to, "--method", "fastism", "--output", output, *further)
    assert run.code == 0, run.err
    return run.out.split()


def test_modisco(command, store, expected, tmp_path):
    written = exported(command, store, "modisco", tmp_path / "modisco")
    letters, scores = (np.load(path)["arr_0"] for path in written[:2])
    np.testing.assert_array_equal(letters, DNA.one_hot(list(strings().values())))
    np.testing.assert_array_equal(scores, expected["fastism"].scores)
    regions = [line.split("\t") for line in Path(written[2]).read_text().splitlines()]
    assert regions[1] == ["chr2", "100", "140", "b", "0", "-", "0", "-1", "-1", "20"]


def test_chrombpnet_h5(command, store, expected, tmp_path):
    path, regions = exported(command, store, "chrombpnet-h5", tmp_path / "scores.h5")
    with h5py.File(path) as file:
        letters, hypothetical, projected = (file[f"{group}/seq"][:] for group in ("raw", "shap", "projected_shap"))
    np.testing.assert_array_equal(letters, DNA.one_hot(list(strings().values())))
    np.testing.assert_array_equal(hypothetical, expected["fastism"].scores)
    np.testing.assert_array_equal(projected, expected["fastism"].scores * letters)
    assert len(Path(regions).read_text().splitlines()) == len(letters)


def track(expected, overlaps):
    """Return contig -> score of each position, NaN where none is, by a loop over the regions."""
    piles = {contig: [[] for _ in range(400)] for contig in GENOME}
    for row, (name, (start, strand)) in enumerate(SCORED.items()):
        observed = expected["fastism"].observed[row]
        for offset, score in enumerate(observed[::-1] if strand == "-" else observed):
            piles[CONTIGS[name]][start + offset].append(score)
    merge = {"mean": np.mean, "max": lambda scores: max(scores, key=abs), "first": lambda scores: scores[0]}[overlaps]
    return {contig: [merge(scores) if scores else np.nan for scores in pile] for contig, pile in piles.items()}


@pytest.mark.parametrize(
    ("overlaps", "sizes"), [("mean", ()), ("max", ("--genome", "genome.fa")), ("first", ("--sizes", "genome.fa.fai"))]
)
def test_bigwig(command, store, files, expected, tmp_path, monkeypatch, overlaps, sizes):
    monkeypatch.chdir(files)
    (path,) = exported(command, store, "bigwig", tmp_path / "scores.bw", *sizes, "--overlaps", overlaps)
    with pyBigWig.open(path) as file:
        assert file.chroms() == {"chr2": 400, "chr10": 400}
        for contig, values in track(expected, overlaps).items():
            np.testing.assert_allclose(file.values(contig, 0, 400), values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("to", "name"), [("tsv", "a.tsv"), ("tsv", "a.tsv.gz"), ("parquet", "a.parquet")])
def test_tables(command, store, expected, tmp_path, to, name):
    (path,) = exported(command, store, to, tmp_path / name)
    table = pandas.read_parquet(path) if to == "parquet" else pandas.read_csv(path, sep="\t")
    result = expected["fastism"]
    assert len(table) == len(SCORED) * LENGTH
    np.testing.assert_array_equal(table["observed"].to_numpy(np.float32), result.observed.reshape(-1))
    for index, letter in enumerate("ACGT"):
        np.testing.assert_array_equal(
            table[f"score_{letter}"].to_numpy(np.float32), result.scores[:, index].reshape(-1)
        )
    assert "".join(table["letter"]) == "".join(strings().values())
    forward = table["letter"].where(table["strand"] == "+", table["letter"].map(dict(zip("ACGT", "TGCA", strict=True))))
    places = zip(table["chromosome"], table["genome_position"], strict=True)
    assert [GENOME[contig][position] for contig, position in places] == forward.tolist()


def test_the_manifest_names_no_folder_of_this_machine(store, files):
    manifest = (store / "manifest.json").read_text()
    assert str(files) not in manifest
    assert json.loads(manifest)["models"][0]["sha256 of source"]


def test_what_cannot_be_exported_is_refused(command, store, files, tmp_path):
    (files / "other.sizes").write_text("chr2\t400\n10\t400\n")
    for arguments, words in (
        (("--to", "modisco"), "several methods"),
        (("--to", "modisco", "--method", "standard_ism"), "holds no 'standard_ism'"),
        (("--to", "bigwig", "--method", "fastism", "--genome", "g.fa", "--sizes", "g.fai"), "--sizes, not both"),
        (("--to", "bigwig", "--method", "fastism", "--sizes", files / "other.sizes"), "no size of the contig"),
        (("--to", "bigwig", "--method", "fastism", "--sizes", files / "model.pt2"), "no sizes of contigs"),
        (("--to", "tsv", "--method", "fastism", "--target", "7"), "out of range"),
    ):
        run = command("export", store, *arguments, "--output", tmp_path / "out.bw")
        assert run.code == 2
        assert words in run.err
    assert not list(tmp_path.iterdir())


def test_a_figure_of_one_sequence_is_drawn_from_the_store(command, store, expected, tmp_path):
    from attribution_bench.reporting.score_panels import read_score_panels

    panels = read_score_panels([store], sequence="e")
    assert list(panels.hypothetical) == ["fastISM", "DeepSHAP"]
    np.testing.assert_array_equal(panels.hypothetical["DeepSHAP"], expected["deepshap"].scores[4])
    np.testing.assert_array_equal(panels.hypothetical["fastISM"], expected["fastism"].scores[4])
    assert (panels.sequence, panels.name, str(panels.interval)) == (7, "e", "chr10:15-55(+)")
    run = command("plot", store, "--sequence", "e", "--output", tmp_path / "e.svg")
    assert run.code == 0
    assert "e.svg" in run.out
    run = command("plot", store, "--sequence", "off the end", "--output", tmp_path / "none.svg")
    assert run.code == 2
    assert "reaches beyond its contig" in run.err


def test_methods_of_a_store_are_compared(command, store, expected, tmp_path):
    from scipy.stats import pearsonr, spearmanr

    run = command("compare", store, "--output", tmp_path)
    assert run.code == 0, run.err
    table = pandas.read_csv(tmp_path / "agreement.tsv", sep="\t")
    assert table["name"].tolist() == list(SCORED)
    assert table["sequence"].tolist() == [0, 1, 2, 3, 7, 8]
    pairs = list(zip(expected["fastism"].observed, expected["deepshap"].observed, strict=True))
    np.testing.assert_allclose(table["Spearman"], [spearmanr(*pair).statistic for pair in pairs], rtol=1e-4)
    np.testing.assert_allclose(table["Pearson"], [pearsonr(*pair).statistic for pair in pairs], rtol=1e-4)
    assert f"| fastISM | DeepSHAP | 6 | {table['Spearman'].mean():.3f} |" in run.out
    run = command("compare", store, store, "--output", tmp_path / "twice")
    assert run.code == 2
    assert "given twice" in run.err


@pytest.fixture(scope="module")
def both_values(tmp_path_factory):
    """A store of both outputs' scores by two methods that agree on neither."""
    place = tmp_path_factory.mktemp("values") / "values.zarr"
    letters = Sequences(tuple(SCORED), tuple(strings().values()), "peaks")
    asked = {"methods": ["standard_ism", "gradient_x_input"], "target": "all", "threads": 1}
    ab.attribute_to_store(build(), letters, place, **asked)
    return place


@pytest.mark.parametrize("target", ["0", "1", "output:1"])
def test_one_of_several_values_is_compared(command, both_values, target, tmp_path):
    from scipy.stats import pearsonr

    run = command("compare", both_values, "--target", target, "--output", tmp_path)
    assert run.code == 0, run.err
    letters = list(strings().values())
    methods = [ab.get_method(name)(build()) for name in ("standard_ism", "gradient_x_input")]
    index = int(target.rpartition(":")[2])
    pairs = zip(*(method.attribute(letters, target=index).observed for method in methods), strict=True)
    table = pandas.read_csv(tmp_path / "agreement.tsv", sep="\t")
    np.testing.assert_allclose(table["Pearson"], [pearsonr(*pair).statistic for pair in pairs], rtol=1e-4)


def test_stored_methods_are_chosen(command, store, both_values, tmp_path):
    for arguments, words in (
        ((store, "--methods", "fastism"), "there is one"),
        ((store, "--methods", "fastism,standard_ism"), "no scores of 'standard_ism', but of deepshap, fastism"),
        ((store, "--target", "1"), "out of range"),
        ((both_values,), "several values, output (2,); choose one"),
        ((both_values, "--target", "2"), "index (2,) is out of range"),
        ((both_values, "--target", "output:sum"), "--target takes an index after the colon"),
    ):
        run = command("compare", *arguments, "--output", tmp_path / "none")
        assert run.code == 2
        assert words in run.err
        assert not (tmp_path / "none").exists()
    again = tmp_path / "again.zarr"
    shutil.copytree(store, again)
    run = command("compare", store, again, "--methods", "deepshap", "--output", tmp_path / "both")
    assert run.code == 0, run.err
    assert "| DeepSHAP (scores.zarr) | DeepSHAP (again.zarr) | 6 | 1.000 |" in run.out


@pytest.mark.parametrize(
    "option",
    [
        ("--sites", "motifs.bed"),
        ("--truth", "fastism"),
        ("--seed", "1"),
        ("--repeated", "0"),
        ("--framework", "keras"),
        ("--layout", "NLA"),
        ("--sequence-input", "1"),
        ("--alphabet", "RNA"),
        ("--device", "cpu"),
        ("--threads", "1"),
    ],
)
def test_what_stored_scores_do_not_need_is_refused(command, store, option, tmp_path):
    run = command("compare", store, *option, "--output", tmp_path / "none")
    assert run.code == 2
    assert f"leave out {option[0]}" in run.err


def test_the_report_of_a_store(command, store, tmp_path):
    run = command("report", store, "--output", tmp_path)
    assert run.code == 0, run.err
    text = (tmp_path / "README.md").read_text()
    for words in (
        "6 of 9 sequences are scored",
        "reaches beyond its contig | 1",
        "| fastISM | 1 | centred |",
        "Spearman",
    ):
        assert words in text
    figures = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert len(figures) == 3
    assert all(name in text for name in figures)


def test_a_report_of_a_profile_shows_what_moves_it(command, tmp_path):
    letters = demonstration_sequences(3, seed=2).sequences
    asked = {"target": "profile", "store": ["predictions", "reference_predictions"], "threads": 1}
    ab.attribute_to_store(ab.get_model("demo_profile")(), letters, tmp_path / "profile.zarr", **asked)
    run = command("report", tmp_path / "profile.zarr", "--output", tmp_path / "report")
    assert run.code == 0, run.err
    text = (tmp_path / "report" / "README.md").read_text()
    assert "What each position changes of profile" in text
    drawn = sorted(path.name for path in (tmp_path / "report").glob("*.svg"))
    assert drawn == [f"influence_{row}.svg" for row in range(3)]
    assert all(name in text for name in drawn)
    assert "no map" not in text
    for marker in (tmp_path / "profile.zarr" / "markers").iterdir():
        marker.unlink()
    run = command("report", tmp_path / "profile.zarr", "--output", tmp_path / "none")
    assert run.code == 2
    assert "no scored sequence: its job has scored none yet" in run.err
    assert not (tmp_path / "none").exists()


WITHOUT_MAP = {
    "a method that predicts no mutations": (
        {"methods": ["fastism", "deepshap"], "store": ["scores", "predictions", "reference_predictions"]},
        "DeepSHAP: it predicts no mutations",
        ["influence_0.svg", "influence_1.svg", "influence_2.svg"],
    ),
    "sizes": (
        {"convention": "max-abs", "store": ["scores", "predictions", "reference_predictions"]},
        "fastISM: its convention, max-abs, has no sign",
        ["sequence_0.svg", "sequence_1.svg", "sequence_2.svg"],
    ),
    "no references": (
        {"store": ["scores", "predictions"]},
        "fastISM: the store lacks `reference_predictions`",
        [],
    ),
}


@pytest.mark.parametrize("case", WITHOUT_MAP)
def test_a_report_says_which_methods_have_no_influence_map(command, tmp_path, case):
    class Profile(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv1d(4, 3, 5, padding=2), nn.ReLU(), nn.Conv1d(3, 1, 5), nn.Flatten())

        def forward(self, x):
            return {"profile": self.layers(x)[:, ::6]}

    torch.manual_seed(1)
    asked, words, drawn = WITHOUT_MAP[case]
    letters = Sequences(("same", "same", "other"), tuple(list(strings().values())[1:4]), "three")
    ab.attribute_to_store(Profile(), letters, tmp_path / "scores.zarr", **{"target": "profile", "threads": 1, **asked})
    run = command("report", tmp_path / "scores.zarr", "--output", tmp_path / "report")
    assert run.code == 0, run.err
    text = (tmp_path / "report" / "README.md").read_text()
    assert words in text
    found = sorted(path.name for path in (tmp_path / "report").glob("*.svg"))
    assert found == drawn
    assert all(text.count(name) == 1 for name in drawn)
    assert not drawn or text.count("of same](") == 2
    plotted = command("plot", tmp_path / "scores.zarr", "--influence", "largest", "--output", tmp_path / "map.svg")
    method, _, reason = words.partition(": ")
    said = f"{method.lower()}: {reason}"
    if drawn and drawn[0].startswith("influence"):
        assert plotted.code == 0, plotted.err
        assert plotted.err == f"no map: {tmp_path / 'scores.zarr'}: {said}\n"
        assert "fastISM" in (tmp_path / "map.svg").read_text()
    else:
        assert plotted.code == 2
        assert f"holds nothing to draw: {said}" in plotted.err
        assert not (tmp_path / "map.svg").exists()


def test_a_report_of_changes_shows_the_letters_whose_loss_matters_most(command, tmp_path):
    letters = Sequences(tuple("xyz"), tuple(list(strings().values())[1:4]), "three")
    asked = {"methods": ["standard_ism"], "target": 1, "convention": "delta", "threads": 1}
    ab.attribute_to_store(build(), letters, tmp_path / "changes.zarr", **asked)
    assert command("report", tmp_path / "changes.zarr", "--output", tmp_path / "report").code == 0
    result = ab.get_method("standard_ism")(build()).attribute(letters, target=1).with_convention("delta")
    strengths = np.abs(result.scores).sum(axis=(1, 2))
    text = (tmp_path / "report" / "README.md").read_text()
    places = [text.index(f"sequence_{row}.svg") for row in np.argsort(-strengths)]
    assert places == sorted(places)
    # Letters have paths of their own colours.
    drawn = (tmp_path / "report" / "sequence_0.svg").read_text().lower()
    assert all(f"fill: {colour.lower()}" in drawn for colour in letter_colours("ACGT").values())


def test_stores_of_other_sequences_are_not_compared(command, store, tmp_path):
    from attribution_bench.jobs.run import run
    from numpy_jobs import numpy_job, write_random_fasta

    run(numpy_job(write_random_fasta(tmp_path / "a.fa", 9, LENGTH)), tmp_path / "other.zarr")
    run(numpy_job(write_random_fasta(tmp_path / "b.fa", 8, LENGTH)), tmp_path / "fewer.zarr")
    for other, words in (("other.zarr", "of other sequences at records 0"), ("fewer.zarr", "number of records")):
        compared = command("compare", store, tmp_path / other, "--output", tmp_path / "out")
        assert compared.code == 2
        assert words in compared.err
    alone = command("compare", tmp_path / "other.zarr", "--output", tmp_path / "out")
    assert alone.code == 2
    assert "there is one" in alone.err
    assert not (tmp_path / "out").exists()
