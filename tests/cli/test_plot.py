"""`attribution-bench plot`."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
from matplotlib.image import imread
from typer.testing import CliRunner

from attribution_bench.attribution import AttributionResult
from attribution_bench.cli.plot import plot
from attribution_bench.conventions import CONVENTIONS
from attribution_bench.reporting.letter_colours import NUCLEOTIDES
from attribution_bench.sequences import DNA, Interval

LENGTH = 60
SEQUENCES = ["ACGT" * 15, "GATTACA" * 8 + "ACGT"]


def saved(
    folder: Path,
    method: str = "deepshap",
    names: tuple[str, ...] | None = None,
    intervals: tuple[Interval, ...] | None = None,
    **metadata: Any,
) -> Path:
    one_hot = DNA.one_hot(SEQUENCES)
    shapes = [output["shape"] for output in metadata.get("outputs", [])]
    axes = shapes[0] if shapes else []
    facts = {
        "method": method,
        "alphabet": "ACGT",
        "length": LENGTH,
        "outputs": [{"name": "y", "shape": []}],
        **metadata,
    }
    scores = np.random.default_rng(0).normal(size=(*one_hot.shape, *axes))
    result = AttributionResult(
        one_hot, np.arange(LENGTH), facts, stored_scores=scores, names=names, intervals=intervals
    )
    return result.save(folder / method)


def invoke(*arguments: object) -> Any:
    application = typer.Typer()
    application.command()(plot)
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("suffix", "begins"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
@pytest.mark.parametrize("options", [(), ("--heat-map",), ("--hypothetical",)])
def test_every_kind_of_file(tmp_path: Path, suffix: str, begins: bytes, options: tuple[str, ...]) -> None:
    output = tmp_path / "new" / f"logo.{suffix}"
    done = invoke(saved(tmp_path), "--output", output, "--range", "10:30", *options)
    assert done.exit_code == 0, done.output
    assert done.output == f"wrote {output}\n"
    first = output.read_bytes()
    assert first.startswith(begins)
    # A heat map holds everything that a logo does.
    if "--heat-map" in options:
        invoke(saved(tmp_path), "--output", output, "--range", "10:30", *options)
        assert output.read_bytes() == first


def test_text_is_embedded(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for name in ("logo.svg", "logo.pdf"):
        assert invoke(path, "--output", tmp_path / name).exit_code == 0
    assert "<text" not in (tmp_path / "logo.svg").read_text()
    content = (tmp_path / "logo.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_everything_at_once(tmp_path: Path) -> None:
    bed = tmp_path / "sites.bed"
    bed.write_text("0\t12\t20\tGATA1\t1\t+\n0\t15\t22\tTAL1\t-1\t-\n1\t1\t5\telsewhere\n")
    output = tmp_path / "logo.svg"
    done = invoke(
        *(saved(tmp_path), saved(tmp_path, "fastism"), "--output", output, "--sites", bed),
        *("--highlight", "5:9", "--highlight", "40:50", "--chromosome", "chr1", "--offset", 1_000_000),
        *("--scale", "shared", "--heading", "Both", "--width", 8),
    )
    assert done.exit_code == 0, done.output
    drawn = output.read_text()
    assert "position on chr1 (1-based)" in drawn
    assert {"<!-- 1,000,010 -->", "<!-- 1,000,060 -->"} <= set(re.findall("<!-- [0-9,]* -->", drawn))
    for text in ("GATA1", "TAL1", "DeepSHAP", "fastISM", "Both"):
        assert f"<!-- {text} -->" in drawn
    assert "elsewhere" not in drawn


def test_sites_by_the_names_of_sequences(tmp_path: Path) -> None:
    bed = tmp_path / "sites.bed"
    bed.write_text("peak\t12\t20\tGATA1\n")
    path = saved(tmp_path, names=("other", "peak"))
    output = tmp_path / "logo.svg"
    assert invoke(path, "--sequence", "peak", "--sites", bed, "--output", output).exit_code == 0
    assert "GATA1" in output.read_text()
    assert invoke(path, "--sequence", "other", "--sites", bed, "--output", output).exit_code == 0
    assert "GATA1" not in output.read_text()


INTERVALS = (Interval("chr1", 1_000_000, 1_000_060, "+"), Interval("chr2", 500, 560, "-"))


def test_names_and_coordinates_are_drawn_where_known(tmp_path: Path) -> None:
    path = saved(tmp_path, names=("first peak", "second peak"), intervals=INTERVALS)
    output = tmp_path / "logo.svg"

    def drawn(*options: object) -> str:
        done = invoke(path, "--output", output, *options)
        assert done.exit_code == 0, done.output
        return output.read_text()

    known = drawn("--highlight", "5:9")
    assert "<!-- first peak -->" in known
    assert "<!-- position on chr1 (1-based) -->" in known
    assert "<!-- 1,000,060 -->" in known
    # The axis rises, positions of the minus strand fall: they stand in the title.
    reverse = drawn("--sequence", "second peak")
    assert "<!-- second peak chr2:501-560(-) -->" in reverse
    assert "on chr2" not in reverse
    assert "position in the sequence (0-based)" in reverse
    overridden = drawn("--heading", "Mine", "--chromosome", "chrX", "--offset", 2_000_000)
    assert "<!-- Mine -->" in overridden
    assert "<!-- position on chrX (1-based) -->" in overridden
    assert "<!-- 2,000,060 -->" in overridden
    assert "peak" not in overridden
    assert "chr1" not in overridden
    assert "peak" not in drawn("--heading", "")


def test_one_value_of_several(tmp_path: Path) -> None:
    path = saved(tmp_path, outputs=[{"name": "profile", "shape": [5]}])
    images = []
    for target in ("3", "profile:3", "2"):
        output = tmp_path / f"{len(images)}.png"
        assert invoke(path, "--target", target, "--output", output).exit_code == 0
        images.append(imread(output))
    assert np.array_equal(images[0], images[1])
    assert images[0].shape != images[2].shape or not np.array_equal(images[0], images[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "logo.gif"), "end it in one of .svg, .png, .pdf"),
        (("--output", "logo"), "end it in one of"),
        (("--chromosome", " ", "--offset", "5"), "--chromosome needs a name"),
        (("--offset", "10000000000000"), "--offset: the offset must be at most 1,000,000,000,000"),
        (("--width", "nan"), "--width: the width must be"),
        (("--target", "99999999999999999999999"), "one score a letter"),
        (("--range", "10"), "--range takes START:STOP"),
        (("--range", "a:b"), "--range takes START:STOP"),
        (("--range", "10:100"), "10:100 is not within the 60 letters"),
        (("--highlight", "50:61"), "50:61 is not within the positions 0:60"),
        (("--range", "10:20", "--highlight", "5:12"), "5:12 is not within the positions 10:20"),
        (("--sequence", "7"), "no sequence '7'"),
        (("--target", "3"), "one score a letter"),
        (("--target", "profile:x"), "--target takes an index after the colon"),
        (("--hypothetical", "--heat-map"), "leave out --hypothetical"),
        (("--offset", "5"), "--chromosome"),
        (("--sites", "absent.bed"), "cannot read absent.bed"),
        (("--width", "0.5"), "inches wide"),
        (("--width", "three-columns"), "one-column or two-columns, not 'three-columns'"),
        (("--wrap", "3"), "--wrap: the length of a line must be at least 10, not 3"),
        (("--influence", "largest"), "--store predictions,reference_predictions --target profile"),
        (("--influence", "mean", "--heat-map"), "leave out the options of logos"),
        (("--influence", "mean", "--target", "profile:3"), "a whole output"),
        (("--colour-scheme", "classic"), "add --renderer logomaker"),
        (("--glyph-style", "alpha=1"), "add --renderer logomaker"),
        (("--renderer", "logomaker", "--glyph-style", "alpha"), "NAME=VALUE with one of font_name"),
        (("--renderer", "logomaker", "--glyph-style", "alpha=x"), "the style alpha takes a number, not 'x'"),
        (("--renderer", "logomaker", "--glyph-style", "flip_below=maybe"), "takes true or false, not 'maybe'"),
        (("--renderer", "logomaker", "--colour-scheme", "loud"), "logomaker cannot draw this"),
        (("--selectable-text", "--output", "logo.png"), "--selectable-text is for .svg"),
        (("absent.npz",), "absent.npz is no attribution result"),
    ],
)
def test_bad_input_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    path = saved(tmp_path)
    empty = tmp_path / "here"
    empty.mkdir()
    monkeypatch.chdir(empty)
    done = invoke(path, *arguments)
    assert done.exception is not None
    assert message in str(done.exception)
    assert not list(empty.iterdir())


def test_an_older_figure_stays_when_nothing_can_be_drawn(tmp_path: Path) -> None:
    output = tmp_path / "logo.svg"
    output.write_text("older")
    assert invoke(saved(tmp_path), "--output", output, "--range", "50:70").exit_code != 0
    assert output.read_text() == "older"


def test_sites_of_another_sequence_are_refused(tmp_path: Path) -> None:
    bed = tmp_path / "sites.bed"
    bed.write_text("chr1\t12\t20\tGATA1\n")
    done = invoke(saved(tmp_path), "--sites", bed, "--output", tmp_path / "logo.svg")
    assert "0 sequences are named 'chr1'" in str(done.exception)


def of_ism(folder: Path, convention: str, shape: tuple[int, ...] = ()) -> Path:
    """Save predictions of mutations, as methods of mutagenesis give them."""
    one_hot = DNA.one_hot(SEQUENCES)
    generator = np.random.default_rng(1)
    reference = generator.normal(size=(2, *shape))
    letters = one_hot.reshape(*one_hot.shape, *[1] * len(shape))
    changes = (1 - letters) * generator.normal(size=(*one_hot.shape, *shape))
    metadata = {
        "method": "fastism",
        "alphabet": "ACGT",
        "length": LENGTH,
        "outputs": [{"name": "profile", "shape": list(shape)}],
        "convention": convention,
    }
    predictions = reference[:, None, None] + changes
    result = AttributionResult(one_hot, np.arange(LENGTH), metadata, {"profile": predictions}, {"profile": reference})
    return result.save(folder / f"{convention}.npz")


@pytest.mark.parametrize(
    ("convention", "options"),
    [
        *((convention, ()) for convention in CONVENTIONS),
        *((convention, ("--heat-map",)) for convention in CONVENTIONS),
        ("delta", ("--hypothetical",)),
        ("centred", ("--hypothetical",)),
    ],
)
def test_every_convention_has_letters_and_a_caption(tmp_path: Path, convention: str, options: tuple[str, ...]) -> None:
    output = tmp_path / "logo.svg"
    done = invoke(of_ism(tmp_path, convention), "--output", output, "--range", "0:20", "--selectable-text", *options)
    assert done.exit_code == 0, done.output
    texts = ["".join(text.itertext()) for text in ElementTree.parse(output).iter("{http://www.w3.org/2000/svg}text")]
    words = " ".join(" ".join(texts).split())
    assert f"({convention})." in words
    changes = convention in ("delta", "max-abs", "l2")
    assert ("change of the" in texts or "change of the prediction" in texts) is (changes and bool(options))
    drawn = output.read_text()
    assert sum(drawn.count(f"fill: {colour.lower()}") for colour in NUCLEOTIDES.values()) >= 4
    description = ElementTree.parse(output).getroot().findtext("{http://www.w3.org/2000/svg}desc", "")
    assert "positions 0 to 20" in description
    assert "fastISM: highest" in description


def test_captions_headings_and_titles_of_files(tmp_path: Path) -> None:
    output = tmp_path / "logo.svg"
    settings = ("--output", output, "--selectable-text", "--wrap", "25", "--width", "two-columns")
    assert invoke(of_ism(tmp_path, "centred"), *settings, "--caption", "Mine.", "--heading", "Both").exit_code == 0
    drawn = output.read_text()
    assert "<title>Both</title>" in drawn
    assert ">Mine.<" in drawn
    assert "centred" not in drawn
    assert drawn.count(">score<") == 3
    assert invoke(of_ism(tmp_path, "centred"), *settings, "--caption", "").exit_code == 0
    assert "centred" not in output.read_text()


@pytest.mark.parametrize("statistic", ["largest", "mean"])
def test_influence_maps(tmp_path: Path, statistic: str) -> None:
    path, output = of_ism(tmp_path, "centred", (30,)), tmp_path / "map.svg"
    done = invoke(path, "--influence", statistic, "--output", output, "--target", "profile", "--selectable-text")
    assert done.exit_code == 0, done.output
    drawn = output.read_text()
    assert "output position (0-based)" in drawn
    assert "Influence maps of positions 0 to 60" in drawn
    assert ("the mean change" in drawn) is (statistic == "mean")


def test_logomaker_draws_on_request(tmp_path: Path) -> None:
    output = tmp_path / "logo.svg"
    styles = ("--renderer", "logomaker", "--colour-scheme", "classic", "--glyph-style", "fade_below=0.5")
    done = invoke(saved(tmp_path), "--output", output, "--range", "0:10", *styles)
    assert done.exit_code == 0, done.output
    drawn = output.read_text()
    assert "fill: #ffa600" in drawn
    assert "opacity: 0.5" in drawn


def test_scores_of_the_reference_letters_only_have_no_heat_map(tmp_path: Path) -> None:
    path = saved(tmp_path, projected=True)
    assert invoke(path, "--output", tmp_path / "logo.svg").exit_code == 0
    for option in ("--heat-map", "--hypothetical"):
        done = invoke(path, "--output", tmp_path / "other.svg", option)
        assert f"{option} takes hypothetical scores (of every letter), but DeepSHAP holds" in str(done.exception)
    done = invoke(saved(tmp_path, projected=True, convention="delta"), "--output", tmp_path / "other.svg")
    assert "all zero by the convention 'delta'" in str(done.exception)
    assert not (tmp_path / "other.svg").exists()
