"""Draw what fastISM recomputes of Basset for one mutation, after Figure 1 of its paper: ``make plan``."""

from pathlib import Path

from matplotlib.figure import Figure

import attribution_bench as ab
from attribution_bench.explanation import LayerExplanation
from attribution_bench.files import write_whole
from attribution_bench.reporting.figures import render

PICTURE = Path(__file__).parent / "pictures" / "plan.svg"
LENGTH = 1000
WORDS = {"conv": "convolution", "pool": "max pool", "linear": "dense layer"}
"""Part of a layer's name -> what is drawn of it; ReLUs and norms are as long as what they follow, and are left out."""
WHOLE, REACHED, TEXT = "#b0b6c0", "#c8372d", "#808080"
"""Colours that can be seen on a white page and on a dark one, since the picture has no ground of its own."""
LEAST_SHOWN = 0.004
"""Part of the width that a range takes at the least, to be seen."""


def main() -> None:
    """Draw the plan of the engine for the built-in Basset."""
    model = ab.get_model("basset")(length=LENGTH)
    explanation = ab.get_method("fastism")(model).explain(LENGTH)
    PICTURE.parent.mkdir(exist_ok=True)
    write_whole(PICTURE, render(plan_figure(explanation.layers), "svg"))


def words(layer: LayerExplanation) -> str | None:
    """Return what a layer does, in words; None for one that is left out."""
    return next((said for part, said in WORDS.items() if part in layer.layer), None)


def plan_figure(layers: tuple[LayerExplanation, ...]) -> Figure:
    """Return a bar a layer, with the part that a mutation in the middle reaches, and the products that it costs."""
    rows = [("sequence", 1, LENGTH, "1 letter of 1000")]
    rows += [
        (name, layer.reached or 1, layer.length or 1, said_of(layer)) for layer in layers if (name := words(layer))
    ]
    figure = Figure(figsize=(8.6, 0.3 * len(rows) + 0.7), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.set_facecolor("none")
    for row, (_, reached, length, said) in enumerate(rows):
        axes.barh(row, 1, height=0.6, color=WHOLE)
        part = max(reached / length, LEAST_SHOWN)
        axes.barh(row, part, left=0.5 - part / 2, height=0.6, color=REACHED)
        axes.text(1.015, row, said, va="center", fontsize="small", color=TEXT)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6), xticks=[], yticks=range(len(rows)))
    axes.set_yticklabels([name for name, *_ in rows])
    axes.tick_params(length=0, labelcolor=TEXT)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(
        "One letter is changed: red is computed again, grey is not.", fontsize="medium", loc="left", color=TEXT
    )
    return figure


def said_of(layer: LayerExplanation) -> str:
    """Return how much of a layer is reached, and what that costs, in words."""
    reached = "no positions are left" if layer.mode == "global" else f"{layer.reached} of {layer.length}"
    if not layer.products_standard:
        return reached
    cost = f"{millions(layer.products_fast)} of {millions(layer.products_standard)} million products"
    return f"{reached}: {cost}"


def millions(products: int) -> str:
    """Return a number in millions, two digits of it."""
    return f"{products / 1e6:.2g}" if products < 1e7 else f"{products / 1e6:.0f}"


if __name__ == "__main__":
    main()
