"""The figures: what is drawn, and labels that hide nothing."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from attribution_bench.evaluation.bootstrap import mean_interval
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation
from attribution_bench.reporting.faithfulness.curve_figures import bands, curves_figure
from attribution_bench.reporting.faithfulness.matrix import agreement_figure
from attribution_bench.reporting.faithfulness.plane import plane_figure


@pytest.fixture
def evaluation(synthetic: Callable[..., Any]) -> Evaluation:
    return synthetic(4, 60).evaluation()


def _labels(axes: Axes) -> dict[str, Bbox]:
    return {
        text.get_text(): text.get_window_extent()
        for text in axes.texts
        if isinstance(text, Annotation) and text.get_text()
    }


def test_the_plane_has_a_panel_for_agreement_and_one_for_known_sites(evaluation: Evaluation) -> None:
    figure = plane_figure(evaluation)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "Pearson r with exact ISM (higher is better)", "Motif AUROC (higher is better)",
    ]  # fmt: skip
    labels = {"fastISM", "Standard ISM", "Gradient × Input", "Integrated Gradients", "DeepSHAP", "best at its speed"}
    assert all(set(_labels(axes)) == labels for axes in figure.axes)


@pytest.mark.parametrize("spread", [0.3, 0.01, 0.0])
def test_labels_of_crowded_points_do_not_overlap(evaluation: Evaluation, spread: float) -> None:
    crowded = tuple(
        replace(
            method, seconds_per_100_sequences=1 + spread * place,
            means={"pearson": Interval(0.9 + 0.01 * spread * place, 0.88, 0.92)},
        )
        for place, method in enumerate(evaluation.methods)
    )  # fmt: skip
    figure = plane_figure(replace(evaluation, methods=crowded))
    assert figure is not None
    (axes,) = figure.axes
    boxes = _labels(axes)
    assert len(boxes) == 6
    for (one, first), (two, second) in combinations(boxes.items(), 2):
        assert Bbox.intersection(first, second) is None, (one, two)
    inside = axes.get_window_extent()
    assert all(inside.x0 - 1 <= box.x0 and box.x1 <= inside.x1 + 1 for box in boxes.values())


def test_a_name_is_text_and_no_formula(evaluation: Evaluation) -> None:
    first, *others = evaluation.methods
    renamed = replace(first, method="$x^2$ _a_", label="")
    figure = plane_figure(replace(evaluation, methods=(renamed, *others)))
    assert figure is not None
    figure.draw_without_rendering()
    assert "$x^2$  a " in _labels(figure.axes[0])
    for draw in (agreement_figure, curves_figure):
        drawn = draw(replace(evaluation, methods=(renamed, *others)))
        assert drawn is not None
        drawn.draw_without_rendering()


def test_the_matrix_is_symmetric(evaluation: Evaluation) -> None:
    figure = agreement_figure(evaluation)
    assert figure is not None
    values = figure.axes[0].images[0].get_array()
    assert values is not None
    pair = next(p for p in evaluation.agreements if (p.first, p.second) == ("fastism", "deepshap"))
    assert values[0, 4] == values[4, 0] == pytest.approx(pair.means["pearson"].mean)
    # That a method agrees with itself says nothing, and may not even be defined.
    assert np.ma.getmaskarray(values).diagonal().all()


def test_bands_are_the_intervals_of_the_mean(evaluation: Evaluation) -> None:
    rows = np.random.default_rng(3).normal(size=(30, 21))
    first, *others = evaluation.methods
    curved = replace(first, curves={"deletion": tuple(map(tuple, rows.tolist()))})
    bare = [replace(method, curves={}) for method in others]
    changes = {"methods": (curved, *bare), "settings": {"seed": 5}}
    found = bands(replace(evaluation, **changes))
    assert list(found) == [(first.method, "deletion")]
    band = found[first.method, "deletion"]
    for share in (0, 7, 20):
        expected = mean_interval(rows[:, share], seed=5)
        assert (band.mean[share], band.low[share], band.high[share]) == pytest.approx(
            (expected.mean, expected.low, expected.high), rel=1e-12
        )
    one = replace(evaluation, methods=(replace(first, curves={"insertion": ((0.5,) * 21,)}),))
    assert bands(one)[first.method, "insertion"].low == bands(one)[first.method, "insertion"].mean


def test_the_matrix_begins_at_its_smallest_value(evaluation: Evaluation) -> None:
    figure = agreement_figure(evaluation)
    assert figure is not None
    (image,) = figure.axes[0].images
    means = [pair.means["pearson"].mean for pair in evaluation.agreements]
    assert image.get_clim() == pytest.approx((min(means), max(means)))
    levels = image.cmap(np.linspace(0, 1, 20)) @ (0.2126, 0.7152, 0.0722, 0)
    assert (np.diff(levels) < 0).all()


def test_nothing_to_draw_draws_nothing(evaluation: Evaluation) -> None:
    bare = replace(evaluation, methods=(MethodEvaluation("a", reason="it failed"),), agreements=())
    assert [draw(bare) for draw in (plane_figure, agreement_figure, curves_figure)] == [None, None, None]
