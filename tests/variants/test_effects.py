"""Effects worked by hand, and held against SciPy."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from attribution_bench.errors import InvalidInputError, TargetError, UnsupportedError
from attribution_bench.models import OutputSpec
from attribution_bench.variants import EnsembleEffects, ProfileEffects, ScalarEffects, SplicingEffects
from attribution_bench.variants.effects import ModelOutputs
from attribution_bench.variants.positions import PositionAxis, position_axis, shared_positions
from attribution_bench.variants.profile_effects import jensen_shannon
from attribution_bench.variants.windows import Alleles

LENGTH = 12


def outputs(layout: str = "NAL", length: int = LENGTH, **shapes: tuple[int, ...]) -> ModelOutputs:
    return ModelOutputs(tuple(OutputSpec(name, shape) for name, shape in shapes.items()), length, layout)  # type: ignore[arg-type]


def allele(deleted: int = 1, inserted: int = 1, offset: int = LENGTH // 2) -> Alleles:
    return Alleles(("chr1", 0), offset, deleted, inserted, "A" * LENGTH, "C" * LENGTH)


def test_numbers_worked_by_hand() -> None:
    effects = ScalarEffects("all").bind(outputs(a=(2,), b=()))
    assert [column.name for column in effects.columns] == [
        f"{name}_{kind}"
        for name in ("a_0", "a_1", "b")
        for kind in ("reference_prediction", "alternative_prediction", "delta", "log2_fold_change")
    ]
    before = {"a": np.array([[1.0, -1.0]]), "b": np.array([0.0])}
    after = {"a": np.array([[8.0, 2.0]]), "b": np.array([2.0])}
    (row,) = effects.numbers(before, after, [allele()])
    np.testing.assert_array_equal(row, [1, 8, 7, 3, -1, 2, 3, np.nan, 0, 2, 2, np.nan])


def test_sizes_worked_by_hand() -> None:
    """Of several models the mean's columns count, of which there are as many as of one."""
    one = ScalarEffects("all").bind(outputs(a=(2,), b=()))
    row = np.array([9, 6, -3, np.nan, 1, 3, 2, 8, 7, 8, 1, 5], float)
    assert EnsembleEffects((one,)).size(row) == 3
    several = EnsembleEffects((one, one), each_model=True)
    assert several.size(np.concatenate([row, np.full(36, 100.0)])) == 3
    splicing = SplicingEffects({"donor": 1, "acceptor": 0}).bind(outputs(x=(3, LENGTH)))
    assert EnsembleEffects((splicing,)).size(np.array([0.1, 40, 0.4, -30, 0.3, 20, 0, 0])) == 0.4
    assert EnsembleEffects((splicing,)).size(np.full(8, np.nan)) == 0
    with_counts, without = (
        ProfileEffects().bind(outputs(profile=(LENGTH,), **further)) for further in ({"count": (1,)}, {})
    )
    assert EnsembleEffects((with_counts,)).size(np.array([50, 20, -1.5, 0.9, 3])) == 1.5
    assert EnsembleEffects((without,)).size(np.array([0.4, 0.7])) == 0.4


def test_one_number_needs_no_name() -> None:
    names = [column.name for column in ScalarEffects("count").bind(outputs(profile=(5,), count=(1,))).columns]
    assert names == ["reference_prediction", "alternative_prediction", "delta", "log2_fold_change"]


def test_names_are_those_that_files_take() -> None:
    names = [column.name for column in ScalarEffects("all").bind(outputs(**{"head 1/x": (), "y": ()})).columns]
    assert names[0] == "head_1_x_reference_prediction"
    with pytest.raises(TargetError, match="two outputs"):
        ScalarEffects("all").bind(outputs(**{"a b": (), "a/b": ()}))


def test_too_many_numbers_are_refused() -> None:
    with pytest.raises(TargetError, match="2000 numbers"):
        ScalarEffects("profile").bind(outputs(profile=(2000,)))


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [([1, 0], [0, 1], 1), ([0.5, 0.5], [0.5, 0.5], 0), ([1, 0, 0], [0.5, 0.5, 0], np.sqrt(0.75 * np.log2(4 / 3)))],
)
def test_distances_worked_by_hand(one: list[float], other: list[float], distance: float) -> None:
    # The third: half of 1 log(1 / 0.75), and of 0.5 log(0.5 / 0.75) + 0.5 log(0.5 / 0.25).
    expected = np.sqrt(0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25) if len(one) == 3 else distance
    found = jensen_shannon(np.array([one], float), np.array([other], float))
    assert found == pytest.approx([expected], abs=1e-15)


def test_distances_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    one, other = (softmax(random.normal(0, 3, (50, 20)), axis=1) for _ in range(2))
    one[:, 3] = 0
    one /= one.sum(axis=1, keepdims=True)
    theirs = [jensenshannon(*pair, base=2) for pair in zip(one, other, strict=True)]
    np.testing.assert_allclose(jensen_shannon(one, other), theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("change", [1e-3, 1e-6, 1e-9, 1e-12])
def test_small_distances_are_not_lost_in_rounding(change: float) -> None:
    # To second order the divergence of p and p(1 + change * u) is change^2 sum(p u^2) / 8, in natural units.
    p, u = np.full((1, 4), 0.25), np.array([[1.0, -1, 1, -1]])
    expected = np.sqrt(change**2 / 8 / np.log(2))
    assert jensen_shannon(p, p * (1 + change * u))[0] == pytest.approx(expected, rel=1e-3)


def test_profiles_are_those_of_all_channels_together() -> None:
    effects = ProfileEffects().bind(outputs(profile=(2, 5)))
    random = np.random.default_rng(0)
    before, after = ({"profile": random.normal(size=(3, 2, 5))} for _ in range(2))
    rows = effects.numbers(effects.quantities(before, "+"), effects.quantities(after, "+"), [allele()] * 3)
    flat = [softmax(values["profile"].reshape(3, -1), axis=1) for values in (before, after)]
    np.testing.assert_allclose(rows[:, 1], [jensenshannon(*pair, base=2) for pair in zip(*flat, strict=True)])


@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_counts_and_scales(scale: str) -> None:
    linear = scale == "probabilities"
    choice = ProfileEffects(profile_scale=scale, count_scale="linear" if linear else "log")  # type: ignore[arg-type]
    effects = choice.bind(outputs(profile=(4,), count=(1,)))
    profile, count = np.array([[1.0, 2, 3, 4]]), np.array([[5.0]])
    before = {"profile": profile if linear else np.log(profile), "count": count if linear else np.log(count)}
    after = {name: values.copy() for name, values in before.items()}
    after["count"] = 2 * count if linear else np.log(2 * count)
    (row,) = effects.numbers(effects.quantities(before, "+"), effects.quantities(after, "+"), [allele()])
    np.testing.assert_allclose(row, [5, 10, 1, 0, 0], atol=1e-12)


def test_a_profile_that_is_no_distribution_has_no_distance() -> None:
    effects = ProfileEffects(profile_scale="probabilities").bind(outputs(profile=(3,)))
    before, after = {"profile": np.array([[1.0, -2, 1]])}, {"profile": np.array([[1.0, 2, 1]])}
    assert np.isnan(effects.numbers(effects.quantities(before, "+"), effects.quantities(after, "+"), [allele()])).all()


def test_the_other_strand_is_turned_round() -> None:
    effects = ProfileEffects().bind(outputs(profile=(2, 4), count=(1,)))
    values = {"profile": np.arange(8.0).reshape(1, 2, 4), "count": np.zeros((1, 1))}
    turned = effects.quantities(values, "-")
    np.testing.assert_array_equal(turned["profile"], values["profile"][:, ::-1, ::-1])
    np.testing.assert_array_equal(turned["counts"], [1])


def test_positions_that_are_not_central_have_one_strand() -> None:
    for effects in (
        ProfileEffects().bind(outputs(profile=(5,))),
        SplicingEffects({"donor": 0}).bind(outputs(classes=(3, 5))),
    ):
        assert effects.strand_assumptions("+") == ()
        for strands in ("-", "+-"):
            with pytest.raises(TargetError, match="window of one letter more or less"):
                effects.strand_assumptions(strands)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "shapes", "assumed"),
    [
        (("profile", 3), {"profile": (9,), "count": (1,)}, 1),
        ("all", {"profile": (9,), "count": (1,)}, 1),
        ("count", {"profile": (9,), "count": (1, 1)}, 0),
        (("profile", "sum"), {"profile": (9, 2), "count": (1,)}, 0),
    ],
)
def test_what_strands_take_for_granted_is_said(target: Any, shapes: dict[str, tuple[int, ...]], assumed: int) -> None:
    effects = ScalarEffects(target).bind(outputs(**shapes))
    assert effects.strand_assumptions("-") == ()
    texts = effects.strand_assumptions("+-")  # type: ignore[arg-type]
    assert len(texts) == assumed
    assert all("'profile' (9,) are taken for tasks" in text for text in texts)


@pytest.mark.parametrize("target", [("profile", (3, 0)), ("profile", 3), "profile", "all"])
def test_places_of_several_axes_have_one_strand(target: Any) -> None:
    effects = ScalarEffects(target).bind(outputs(profile=(9, 2), count=(1,)))
    with pytest.raises(UnsupportedError, match="profile:sum"):
        effects.strand_assumptions("+-")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("deleted", "inserted", "reference", "alternative"),
    [
        # The profile of 8 positions starts at letter 2, and the variant at letter 6, which is its position 4.
        (1, 1, [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]),
        (3, 1, [0, 1, 2, 3, 4, 7], [0, 1, 2, 3, 4, 5]),
        (1, 3, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 7]),
        (2, 4, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        (1, 6, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
    ],
)
def test_alleles_line_up_about_the_variant(
    deleted: int, inserted: int, reference: list[int], alternative: list[int]
) -> None:
    found = shared_positions(allele(deleted, inserted), PositionAxis("profile", 0, 8, LENGTH))
    assert [places.tolist() for places in found] == [reference, alternative]


def test_a_variant_before_the_profile_moves_all_of_it() -> None:
    found = shared_positions(allele(1, 3, offset=0), PositionAxis("profile", 0, 8, LENGTH))
    assert [places.tolist() for places in found] == [[0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("shape", "layout", "axis", "expected"),
    [
        ((8,), "NAL", None, 0),
        ((8, 1), "NAL", None, 0),
        ((1, 8), "NLA", None, 1),
        ((2, 8), "NAL", None, 1),
        ((8, 2), "NLA", None, 0),
        ((8, 2), "NAL", 0, 0),
        ((2, 8), "NLA", -1, 1),
    ],
)
def test_the_axis_of_positions(shape: tuple[int, ...], layout: str, axis: int | None, expected: int) -> None:
    given = outputs(layout, profile=shape)
    assert position_axis(given.specs[0], given, axis).axis == expected


@pytest.mark.parametrize(("shape", "axis"), [((), None), ((8,), 1), ((20,), None), ((2, 20), None)])
def test_what_is_no_axis_of_positions_is_refused(shape: tuple[int, ...], axis: int | None) -> None:
    given = outputs(profile=shape)
    with pytest.raises(TargetError):
        position_axis(given.specs[0], given, axis)


def gains(before: list[float], after: list[float], variant: Alleles, distance: int | None = None) -> list[float]:
    effects = SplicingEffects({"donor": 0}, distance=distance).bind(outputs("NLA", classes=(len(before), 1)))
    values = [{"classes": np.array(numbers)[None, :, None]} for numbers in (before, after)]
    quantities = [effects.quantities(value, "+") for value in values]
    return list(effects.numbers(*quantities, [variant])[0])


@pytest.mark.parametrize(
    ("boundary", "gain", "loss"),
    [(None, 0.6, 0), (0, 0.6, 0.8), (2, 0, 0), (-3, 0.6, 0), (1, 0.6, 0)],
    ids=["none", "at the loss", "at the gain", "at neither", "near both"],
)
def test_masked_scores_worked_by_hand(boundary: int | None, gain: float, loss: float) -> None:
    before, after = np.array([0.0, 0.5, 0, 0, 0.9, 0, 0.1, 0]), np.array([0, 0.2, 0, 0, 0.1, 0, 0.7, 0])
    effects = SplicingEffects({"donor": 0}, masked=True).bind(outputs("NLA", classes=(8, 1)))
    values = [effects.quantities({"classes": numbers[None, :, None]}, "+") for numbers in (before, after)]
    (row,) = effects.numbers(*values, [replace(allele(), boundary=boundary)])
    assert list(row) == pytest.approx([gain, 2, loss, 0])  # offsets stay
    assert [column.description for column in effects.columns[::2]] == [
        "Largest gain of donor, masked: 0 at the nearest boundary of an exon",
        "Largest loss of donor, masked: 0 but at the nearest boundary of an exon",
    ]


def test_gains_and_losses_worked_by_hand() -> None:
    # Eight positions, of which the variant is the one of index 4.
    before = [0.0, 0.5, 0, 0, 0.9, 0, 0.1, 0]
    assert gains(before, [0, 0.2, 0, 0, 0.1, 0, 0.7, 0], allele()) == pytest.approx([0.6, 2, 0.8, 0])
    assert gains(before, [0, 0.2, 0, 0, 0.9, 0, 0.7, 0], allele(), 1) == pytest.approx([0, -1, 0, -1])
    # Two letters are deleted after the variant's own: what follows stands two places further left.
    assert gains(before, [0, 0.5, 0, 0, 0.9, 0.3, 0, 0], allele(3, 1)) == pytest.approx([0.3, 3, 0.1, 2])
    # Two letters are inserted: the largest of the three counts at the variant.
    assert gains(before, [0, 0.5, 0, 0, 0.2, 0.6, 0.3, 0.4], allele(1, 3)) == pytest.approx([0.4, 1, 0.3, 0])


@pytest.mark.parametrize(("distance", "reach"), [(None, 3), (0, 0), (3, 3)])
def test_letters_in_reach_are_those_of_the_distance_that_the_output_has(distance: int | None, reach: int) -> None:
    # Nine positions of the letters 1 to 9, of which the middle one is 6.
    effects = SplicingEffects({"donor": 0}, distance=distance).bind(outputs("NLA", classes=(9, 1)))
    assert effects.reach == reach


@pytest.mark.parametrize(
    ("size", "length", "distance"),
    [(101, 10_101, 500), (101, 10_101, 51), (9, 12, 4), (10, 20, 5), (11, 20, 5), (10, 21, 9), (1, 12, None)],
)
def test_a_distance_that_the_output_lacks_is_refused_and_the_length_named(
    size: int, length: int, distance: int | None
) -> None:
    effects = SplicingEffects({"donor": 0}, distance=distance)
    with pytest.raises(TargetError, match=f"distance is {distance or 0};") as caught:
        effects.bind(outputs("NLA", length, classes=(size, 1)))
    found = re.search(r"a window of (\d+) letters \(--length\)", str(caught.value))
    assert found is not None
    for needed, enough in ((int(found[1]), True), (int(found[1]) - 2, False)):
        positions = size + needed - length
        first, middle, letters = (needed - positions) // 2, needed // 2, distance or 0
        assert (first <= middle - letters and middle + letters < first + positions) == enough
    positions = size + int(found[1]) - length
    assert effects.bind(outputs("NLA", int(found[1]), classes=(positions, 1))).reach == (distance or 0)


def test_nothing_in_reach_has_no_gain() -> None:
    assert np.isnan(gains([0.0] * 4, [0.0] * 4, allele(1, 1, offset=11), 1)).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: SplicingEffects({}),
        lambda: SplicingEffects({"donor": 1}, distance=-1),
        lambda: ProfileEffects(profile_scale="log"),  # type: ignore[arg-type]
        lambda: ProfileEffects(count_scale="logits"),  # type: ignore[arg-type]
    ],
)
def test_choices_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(InvalidInputError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("choice", "shapes"),
    [
        (ProfileEffects(), {"a": (5,), "b": (6,)}),
        (ProfileEffects(), {"a": (1,), "b": (1,)}),
        (ProfileEffects(counts="c"), {"a": (5,), "b": (1,)}),
        (ProfileEffects("a", "c"), {"a": (5,), "b": (1,)}),
    ],
)
def test_outputs_that_are_open_are_asked_for(choice: ProfileEffects, shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(TargetError):
        choice.bind(outputs(**shapes))


def test_named_outputs_are_taken() -> None:
    effects = ProfileEffects("b", "c").bind(outputs(a=(5,), b=(6,), c=(2,)))
    assert (effects.axis.output, effects.counts) == ("b", "c")
    assert ProfileEffects("b").bind(outputs(a=(5,), b=(6,))).counts is None
