"""Measure and draw the picture at the top of README.md: ``make picture``; ``--redraw`` draws it from what is stored.

fastISM and standard ISM score the same sequences of the demonstration model of profiles; what they took and the scores
of a few letters are kept beside the picture, in ``docs/gallery/first-picture``.
"""

import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

import attribution_bench as ab
from attribution_bench.benchmark.devices import default_batch_sizes
from attribution_bench.benchmark.logo_scores import LogoScores, MethodScores
from attribution_bench.benchmark.protocol import Settings
from attribution_bench.benchmark.results import Record, load_records
from attribution_bench.benchmark.runner import run_benchmark
from attribution_bench.benchmark.workloads import Row
from attribution_bench.demo import demonstration_sequences
from attribution_bench.environment import announce_threads
from attribution_bench.files import write_whole
from attribution_bench.reporting.conditions import cores_text
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import power_text, ratio_text, seconds_text
from attribution_bench.reporting.letter_colours import letter_colours
from attribution_bench.reporting.logos import logo_figure
from attribution_bench.sequences.sites import Site

FOLDER = Path(__file__).parent / "gallery" / "first-picture"
MODEL, TARGET, DEVICE = "demo_profile", "count", "cpu"
METHODS = ("fastism", "standard_ism")
SEQUENCES, SHOWN, START, STOP = 100, 8, 177, 213
"""How many sequences are timed, which of them is drawn, and where: two planted motifs, one that raises and one that
lowers."""
BUDGET = 6.0
INCHES = (8.0, 3.3)
DIGITS = 2


@dataclass(frozen=True)
class Theme:
    """Colours of the picture on a light or a dark page."""

    ink: str
    letters: Mapping[str, str]


THEMES = {
    "light": Theme("#1F2328", letter_colours("ACGT")),
    "dark": Theme("#E6EDF3", letter_colours("ACGT")),
}


@dataclass(frozen=True)
class Timing:
    """What the picture says of the time, from the records."""

    fast: Record
    slow: Record

    @property
    def times(self) -> str:
        """How many times as long the slow method takes, with two digits."""
        return ratio_text(per_100(self.slow) / per_100(self.fast), DIGITS)

    @property
    def alternative(self) -> str:
        """The picture in words."""
        return (
            f"Two sequence logos with the same letters at the same heights. Above, {self.fast.method_label}, "
            f"{seconds(self.fast)}; below, {self.slow.method_label}, {seconds(self.slow)}: {self.times} times as long."
        )

    @property
    def caption(self) -> str:
        """What was measured, in a sentence."""
        workload = self.fast.workload
        lowers = [site.name for site in drawn_sites() if site.effect < 0]
        sites = listed(list(dict.fromkeys(site.name for site in drawn_sites())))
        return (
            f"{SEQUENCES} sequences of {workload.length} letters on {cores_text(self.fast.machine)}, trained model "
            f"`{workload.architecture}`. The letters spell sites of {sites}; those of {listed(lowers)} hang, since "
            f"they lower the prediction. The logos differ by at most {power_text(difference(), 1)} of the highest "
            "letter."
        )


def timing() -> Timing:
    """Return what was measured."""
    found = {record.workload.method: record for record in load_records(FOLDER)}
    return Timing(*(found[method] for method in METHODS))


def drawn_sites() -> list[Site]:
    """Return the planted sites that the picture shows, from the left."""
    sites = demonstration_sequences(SHOWN + 1).sites
    shown = (site for site in sites if site.sequence == SHOWN and site.start >= START and site.stop <= STOP)
    return sorted(shown, key=lambda site: site.start)


def difference() -> float:
    """Return the largest difference between the two logos, as a part of the highest letter."""
    fast, slow = panels(LogoScores.load(FOLDER / "logos-torch.json")).values()
    return float(abs(fast - slow).max() / abs(slow).max())


def per_100(record: Record) -> float:
    """Return the seconds per 100 sequences; a record without them has no picture."""
    assert record.seconds_per_100_sequences is not None, record.error
    return record.seconds_per_100_sequences


def seconds(record: Record) -> str:
    """Write the seconds per 100 sequences."""
    return f"{seconds_text(per_100(record), DIGITS)} s for {SEQUENCES} sequences"


def panels(scores: LogoScores) -> dict[str, np.ndarray]:
    """Return the scores of the letters that are there (4, P) by the methods' names."""
    return {method.label: scores.observed(method) for method in scores.methods}


def measure() -> None:
    """Time both methods, and keep the scores of the letters that are drawn."""
    sequences = demonstration_sequences(SEQUENCES).sequences
    model = ab.as_sequence_model(ab.get_model(MODEL)())
    row = Row(MODEL, sequences.length, "torch", lambda: model, sequences, METHODS)
    settings = Settings(budget=BUDGET, batch_sizes=default_batch_sizes(DEVICE))
    threads = announce_threads(None)
    run_benchmark([row], FOLDER, settings, target=TARGET, device=DEVICE, threads=threads, fresh=True)
    one_hot = sequences.one_hot()[SHOWN : SHOWN + 1]
    results = {name: ab.get_method(name)(model).attribute(one_hot, target=(TARGET, 0)) for name in METHODS}
    labels = {record.workload.method: record.method_label for record in load_records(FOLDER)}
    LogoScores(
        architecture=MODEL,
        length=sequences.length,
        framework="torch",
        device=model.device,
        sequence_name=sequences.names[SHOWN],
        letters=sequences.strings[SHOWN][START:STOP],
        start=START,
        alphabet="ACGT",
        methods=tuple(
            MethodScores(
                name,
                tuple(tuple(float(f"{value:.7g}") for value in line) for line in result.scores[0, :, START:STOP]),
                convention=result.metadata["convention"],
                label=labels[name],
            )
            for name, result in results.items()
        ),
    ).save(FOLDER)


def draw(theme: Theme) -> bytes:
    """Return the picture as SVG on no background."""
    scores, measured = LogoScores.load(FOLDER / "logos-torch.json"), timing()
    shown = panels(scores)
    figure = logo_figure(shown, start=scores.start, scale="shared", colours=theme.letters, width=INCHES[0])
    figure.set_size_inches(*INCHES)
    figure.supylabel("")
    said = (f"{seconds(measured.fast)}, {measured.times} times as fast", seconds(measured.slow))
    for axes, name, text in zip(figure.axes, shown, said, strict=True):
        axes.set_title(name, loc="left", fontsize=21, fontweight="bold", color=theme.ink)
        axes.set_title(text, loc="right", fontsize=17, color=theme.ink)
        axes.set_axis_off()
        for line in axes.lines:
            line.set_color(theme.ink)
    file = io.BytesIO()
    metadata = {"Date": None, "Title": measured.alternative}
    with matplotlib.rc_context({"svg.hashsalt": "attribution-bench", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata=metadata, transparent=True)
    return file.getvalue()


def main() -> None:
    """Measure unless asked to redraw, and draw the picture for pages of both kinds."""
    if "--redraw" not in sys.argv:
        measure()
    for name, theme in THEMES.items():
        write_whole(FOLDER / f"{name}.svg", draw(theme))


if __name__ == "__main__":
    main()
