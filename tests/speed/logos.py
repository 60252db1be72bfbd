"""Milliseconds to draw a logo of every letter at every position, beside logomaker: ``python tests/speed/logos.py``."""

import statistics
import time
from collections.abc import Callable

import logomaker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from attribution_bench.reporting.figures import render
from attribution_bench.reporting.logos import draw_letters, logo_figure

LENGTHS = (200, 1000)
ROUNDS = 9


def milliseconds(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median of some rounds after a first one that does not count."""
    durations = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        durations.append(1000 * (time.perf_counter() - start))
    return statistics.median(durations[1:])


def canvas(length: int, draw: Callable[[Axes], object]) -> None:
    """Draw into the axes of a figure without a layout, so that the letters are what is timed."""
    figure = Figure(figsize=(0.115 * length, 1.35))
    FigureCanvasAgg(figure)
    draw(figure.add_axes((0.05, 0.2, 0.94, 0.75)))
    figure.canvas.draw()


def of_this_package(axes: Axes, scores: NDArray[np.float64]) -> None:
    axes.set_xlim(0, scores.shape[1])
    draw_letters(axes, scores, alphabet="ACGT", start=0, colours=None)


def of_logomaker(axes: Axes, scores: NDArray[np.float64]) -> None:
    frame = pd.DataFrame(scores.T, columns=list("ACGT"))
    logomaker.Logo(frame, ax=axes, font_weight="bold")


def main() -> None:
    generator = np.random.default_rng(0)
    print("positions  letters  empty axes    letters  logomaker  logo_figure  to PNG  to SVG  to PDF  (milliseconds)")
    for length in LENGTHS:
        every = generator.normal(size=(4, length))
        observed = np.where(np.arange(4)[:, None] == generator.integers(0, 4, length), every, 0)
        for scores in (observed, every):
            cells = [
                milliseconds(lambda n=length: canvas(n, lambda axes: axes.set_xlim(0, n))),
                milliseconds(lambda n=length, s=scores: canvas(n, lambda axes: of_this_package(axes, s))),
                milliseconds(lambda n=length, s=scores: canvas(n, lambda axes: of_logomaker(axes, s)), rounds=1),
                milliseconds(lambda s=scores: logo_figure({"scores": s}).canvas.draw()),
                *(
                    milliseconds(lambda s=scores, k=kind: render(logo_figure({"scores": s}), k), rounds=3)
                    for kind in ("png", "svg", "pdf")
                ),
            ]
            print(f"{length:9d} {np.count_nonzero(scores):8d}", *(f"{cell:10.1f}" for cell in cells))


if __name__ == "__main__":
    main()
