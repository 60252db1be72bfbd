"""Draw the figures of docs/gallery from the demonstration model: ``make gallery``.

README.md's example is run as it is written there, and the logo that it draws is kept.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

import attribution_bench as ab
from attribution_bench.attribution import AttributionResult
from attribution_bench.demo import PlantedSequences, demonstration_sequences
from attribution_bench.evaluation import Evaluation, Settings, evaluate, save_evaluation
from attribution_bench.files import write_whole
from attribution_bench.influence import influence_map
from attribution_bench.reporting.faithfulness import render_evaluation
from attribution_bench.reporting.faithfulness.plane import plane_figure
from attribution_bench.reporting.faithfulness.standing import headline
from attribution_bench.reporting.figures import render
from attribution_bench.reporting.heat_maps import heat_map_figure
from attribution_bench.reporting.influence_maps import influence_figure
from attribution_bench.reporting.labels import method_label
from attribution_bench.reporting.logos import logo_figure
from attribution_bench.sequences.sites import Site

GALLERY = Path(__file__).parent / "gallery"
SEQUENCES = 100
README = Path(__file__).parents[1] / "README.md"
REPORT_FILES = ("plane.png", "agreement.png", "curves.png", "metrics.csv")
"""Figures of the report, and the numbers that README.md states."""
POSITIONS = 140
INCHES = 14.0
INFLUENCE_INCHES = 5.5


def main() -> None:
    """Compare the methods on the demonstration model, and draw one of its sequences."""
    planted = demonstration_sequences(SEQUENCES)
    evaluation, results = evaluate(
        ab.as_sequence_model(ab.get_model("demo_classifier")()),
        planted.sequences,
        {name: ab.get_method(name) for name in ab.list_methods()},
        label="demo_classifier",
        sites=planted.sites,
        truth="standard_ism",
        settings=Settings(),
    )
    with tempfile.TemporaryDirectory() as folder:
        save_evaluation(Path(folder), evaluation, results)
        render_evaluation(Path(folder))
        GALLERY.mkdir(exist_ok=True)
        for name in REPORT_FILES:
            shutil.copyfile(Path(folder) / name, GALLERY / name)
    draw_plane(evaluation)
    draw_sequence(planted, results)
    draw_influence(planted)
    draw_example()


def draw_plane(evaluation: Evaluation) -> None:
    """Draw the plane of the headline's metric alone, which can be read on a phone."""
    metric = headline(evaluation)
    assert metric is not None
    methods = (replace(one, means={metric.name: one.means[metric.name]}) for one in evaluation.methods)
    figure = plane_figure(replace(evaluation, methods=tuple(methods)))
    assert figure is not None
    write_whole(GALLERY / "plane-agreement.png", render(figure, "png"))


def draw_example() -> None:
    """Run README.md's example as it is written there, and keep its picture."""
    example = re.search(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert example is not None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(compile(example[1], README.name, "exec"), {})
        shutil.copyfile("logo.png", GALLERY / "example-logo.png")


def draw_influence(planted: PlantedSequences) -> None:
    """Draw what each position of the first sequence with sites changes in the profile model's prediction."""
    row, sites = next(by_sequence(planted.sites))
    fastism = ab.get_method("fastism")(ab.get_model("demo_profile")())
    result = fastism.attribute(planted.sequences.one_hot()[row : row + 1], target="profile")
    figure = influence_figure({"fastISM": influence_map(result)}, sites=sites, width=INFLUENCE_INCHES)
    write_whole(GALLERY / "influence.png", render(figure, "png"))


def draw_sequence(planted: PlantedSequences, results: dict[str, AttributionResult]) -> None:
    """Draw the first sequence whose sites raise and lower it within few letters: all logos, and fastISM's heat map."""
    row, sites = next(found for found in by_sequence(planted.sites) if is_compact(found[1]))
    start = min(site.start for site in sites) - (POSITIONS - extent(sites)) // 2
    shown = slice(start, start + POSITIONS)
    there = planted.sequences.one_hot()[row][:, shown]
    scores = {name: result.scores[row].reshape(len(there), -1)[:, shown] for name, result in results.items()}
    panels = {method_label(name): np.where(there, found, 0) for name, found in scores.items()}
    logos = logo_figure(panels, start=start, sites=sites, width=INCHES)
    heat_map = heat_map_figure({"fastISM": scores["fastism"]}, there > 0, start=start, sites=sites, width=INCHES)
    write_whole(GALLERY / "logos.png", render(logos, "png"))
    write_whole(GALLERY / "heat_map.png", render(heat_map, "png"))


def by_sequence(sites: Iterable[Site]) -> Iterator[tuple[int, list[Site]]]:
    """Yield each sequence that has sites, with them."""
    for row, found in groupby(sites, key=lambda site: site.sequence):
        yield row, list(found)


def extent(sites: Iterable[Site]) -> int:
    """Return the letters from the first site's start to the last one's end."""
    sites = list(sites)
    return max(site.stop for site in sites) - min(site.start for site in sites)


def is_compact(sites: list[Site]) -> bool:
    """Whether sites of both effects fit into the figure, away from the sequence's ends."""
    inside = min(site.start for site in sites) > 30 and max(site.stop for site in sites) < 226
    return inside and extent(sites) <= POSITIONS - 20 and len({site.effect for site in sites}) == 2


if __name__ == "__main__":
    main()
