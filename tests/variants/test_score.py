"""Effects equal those of predicting both alleles in full, by the model alone and sequences spliced by hand."""

import re
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, JobWarning, TargetError, VariantWarning
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason, normalised
from attribution_bench.variants import (
    ProfileEffects,
    ScalarEffects,
    ScoringOptions,
    SplicingEffects,
    score_variants,
    variant_scorer,
)
from attribution_bench.variants.score import BLOCK, VariantScore, VariantScorer, partial_passes
from variants_by_hand import LENGTH, contig_letters, random_variants, spliced

CROPPED = 5
"""Positions at either end of the window that the model has no output for."""
InFull = Callable[[list[str]], dict[str, np.ndarray]]
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def predicted(in_full: InFull, sequence: str, strand: str) -> dict[str, np.ndarray]:
    """Outputs for a window on a strand, positions in the order of the strand +."""
    if strand == "+":
        return {name: value[0] for name, value in in_full([sequence]).items()}
    outputs = in_full([sequence.translate(COMPLEMENT)[::-1]])
    return {name: value[0] if name == "count" else value[0, ..., ::-1] for name, value in outputs.items()}


def on_strands(in_full: InFull, sequence: str, strand: str) -> dict[str, np.ndarray]:
    """Outputs as they are averaged over strands: counts as numbers, the rest as the model gives it."""
    each = [predicted(in_full, sequence, one) for one in ("+-" if strand == "both" else strand)]
    for outputs in each:
        outputs["count"] = np.exp(outputs["count"])
    return {name: np.mean([outputs[name] for outputs in each], axis=0) for name in each[0]}


@pytest.fixture(scope="module")
def engine(profiles: torch.nn.Module) -> ab.InSilicoMutagenesis:
    method = ab.get_method("fastism")(profiles, min_speedup=0)
    assert isinstance(method, ab.InSilicoMutagenesis)
    return method


@pytest.mark.filterwarnings("ignore:both strands")
@pytest.mark.parametrize("contig", ["chr1", "short", "gap"])
@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("share_within", [0, 7])
def test_numbers_equal_full_passes(
    engine: ab.InSilicoMutagenesis, in_full: InFull, genome: Genome, contig: str, strand: str, share_within: int
) -> None:
    variants = random_variants(genome, contig, 60)
    target = ("profile", 20)
    scores = score_variants(
        engine,
        variants,
        genome,
        length=LENGTH,
        target=target,
        strand=strand,  # type: ignore[arg-type]
        share_within=share_within,
        largest_unknown_share=1,
    )
    count = 0
    for variant, score in zip(variants, scores, strict=True):
        assert score.variant == variant
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        step = 2 * share_within + 1
        middle = form.position // step * step + share_within
        values = []
        for sequence in spliced(genome, variant, middle):
            strands = [predicted(in_full, sequence, "+")["profile"][20]] if strand != "-" else []
            if strand != "+":
                # A position of a profile is that of the sequence that the model is given.
                strands.append(predicted(in_full, sequence, "-")["profile"][::-1][20])
            values.append(np.mean(strands))
        reference, alternative = values
        assert score.set_aside is None
        assert score.effects["reference_prediction"] == pytest.approx(reference, abs=1e-10, rel=0)
        assert score.effects["alternative_prediction"] == pytest.approx(alternative, abs=1e-10, rel=0)
        assert score.effects["delta"] == pytest.approx(alternative - reference, abs=1e-10, rel=0)
        fold = np.log2(alternative / reference) if min(values) > 0 else np.nan
        assert score.effects["log2_fold_change"] == pytest.approx(fold, abs=1e-9, rel=0, nan_ok=True)
        count += abs(alternative - reference) > 1e-6
    assert count > 20


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_profiles_and_counts_equal_full_passes(
    engine: ab.InSilicoMutagenesis, in_full: InFull, genome: Genome, strand: str
) -> None:
    variants = random_variants(genome, "chr1", 60, seed=1) + random_variants(genome, "short", 20, seed=2)
    effects = ProfileEffects("profile", "count")
    scores = score_variants(engine, variants, genome, length=LENGTH, effects=effects, strand=strand)  # type: ignore[arg-type]
    for variant, score in zip(variants, scores, strict=True):
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        reference, alternative = (on_strands(in_full, s, strand) for s in spliced(genome, variant, form.position))
        found = score.effects
        assert found["reference_counts"] == pytest.approx(reference["count"][0], abs=1e-10)
        assert found["alternative_counts"] == pytest.approx(alternative["count"][0], abs=1e-10)
        assert found["logfc"] == pytest.approx(np.log2(alternative["count"][0] / reference["count"][0]), abs=1e-10)
        profiles = [softmax(outputs["profile"]) for outputs in (reference, alternative)]
        assert found["jsd_unaligned"] == pytest.approx(jensenshannon(*profiles, base=2), abs=1e-7)
        # About an insertion or deletion: the allele's letters that one side lacks go, then what one side has too many.
        start = LENGTH // 2 - CROPPED
        lengths = len(form.reference), len(form.alternative)
        parts = [
            np.concatenate([profile[: start + min(lengths)], profile[start + length :]])
            for profile, length in zip(profiles, lengths, strict=True)
        ]
        shared = min(map(len, parts))
        parts = [part[:shared] / part[:shared].sum() for part in parts]
        assert found["jsd"] == pytest.approx(jensenshannon(*parts, base=2), abs=1e-7)
        if form.is_substitution:
            assert found["jsd"] == found["jsd_unaligned"]


@pytest.mark.parametrize("strand", ["+", "both"])
@pytest.mark.parametrize("distance", [None, 4])
def test_gains_and_losses_equal_full_passes(
    engine: ab.InSilicoMutagenesis, in_full: InFull, genome: Genome, strand: str, distance: int | None
) -> None:
    repeat = [Variant("chr1", at, one, other) for at in (205, 211) for one, other in (("ACA", "A"), ("A", "ACA"))]
    variants = [*random_variants(genome, "chr1", 60, seed=3), *repeat]
    effects = SplicingEffects({"acceptor": 1, "donor": 2}, "classes", distance)
    scores = score_variants(engine, variants, genome, length=LENGTH, effects=effects, strand=strand)  # type: ignore[arg-type]
    letters, compared, off_contig, moved = genome.fetch("chr1", 0, genome.length("chr1")), 0, 0, 0
    for variant, score in zip(variants, scores, strict=True):
        assert isinstance(score.normalised, Variant)
        moved += score.normalised.position < variant.position
        if len(variant.reference) > 1 and len(variant.alternative) > 1:
            continue
        reference, alternative = (
            on_strands(in_full, s, strand)["classes"].T for s in spliced(genome, variant, variant.position)
        )
        # The rule of SpliceAI, position by position, of the record as it is written.
        start, deleted, inserted = LENGTH // 2 - CROPPED, len(variant.reference), len(variant.alternative)
        after = np.concatenate(
            [
                alternative[:start],
                alternative[start : start + inserted].max(axis=0, keepdims=True),
                np.zeros((deleted - 1, 3)),
                alternative[start + inserted :],
            ]
        )[: len(reference)]
        change = after - reference[: len(after)]
        offsets = np.arange(len(after)) - start
        on_contig = (variant.position + offsets >= 0) & (variant.position + offsets < len(letters))
        change, offsets = change[on_contig], offsets[on_contig]
        off_contig += not on_contig.all()
        if distance is not None:
            change, offsets = (part[np.abs(offsets) <= distance] for part in (change, offsets))
        for name, place in (("acceptor", 1), ("donor", 2)):
            for kind, signed in (("gain", change[:, place]), ("loss", -change[:, place])):
                assert score.effects[f"{name}_{kind}"] == pytest.approx(signed.max(), abs=1e-10)
                # Changes at two places may be equal but for their rounding.
                at = offsets == score.effects[f"{name}_{kind}_offset"]
                assert signed[at] == pytest.approx(signed.max(), abs=1e-10)
                compared += 1
    assert compared > 100
    assert off_contig > 2
    assert moved > 4


@pytest.mark.parametrize(("at", "kept", "deleted"), [(148, 2, 0), (298, 2, 2), (298, 0, 3)])
def test_alleles_of_several_letters_each_are_compared_by_what_differs(
    engine: ab.InSilicoMutagenesis, in_full: InFull, genome: Genome, at: int, kept: int, deleted: int
) -> None:
    """A substitution, or a deletion after a letter, written with letters before and after it; offsets are from POS."""
    letters, first = contig_letters(genome, "chr1"), at + kept
    changed = letters[first] if deleted else "ACGT"[("ACGT".index(letters[first]) + 1) % 4]
    end = first + 1 + deleted
    variant = Variant("chr1", at, letters[at : end + 3], letters[at:first] + changed + letters[end : end + 3])
    effects = SplicingEffects({"donor": 2}, "classes", 9)
    (score,) = score_variants(engine, [variant], genome, length=LENGTH, effects=effects, strand="+")
    texts = letters, letters[:first] + changed + letters[end:]
    before, after = (np.pad(in_full([text])["classes"][0, 2], CROPPED) for text in texts)
    beside = np.concatenate([after[: first + 1], np.zeros(deleted), after[first + 1 :]])
    change = (beside - before)[at - 9 : at + 10]
    assert score.effects["donor_gain"] == pytest.approx(change.max(), abs=1e-10)
    assert score.effects["donor_loss"] == pytest.approx(-change.min(), abs=1e-10)
    assert score.effects["donor_gain_offset"] == change.argmax() - 9
    assert score.effects["donor_loss_offset"] == change.argmin() - 9


def test_deletions_that_the_distance_does_not_see_are_set_aside_or_told(
    engine: ab.InSilicoMutagenesis, genome: Genome
) -> None:
    """As SpliceAI does, a reference allele longer than twice the distance is set aside."""
    letters = contig_letters(genome, "chr1")

    def reasons(distance: int | None, *lengths: int, window: int = LENGTH) -> list[SetAside | None]:
        variants = [Variant("chr1", 150, letters[150 : 150 + length], letters[150]) for length in lengths if length > 1]
        variants += [Variant("chr1", 80, letters[80], "ACGT".replace(letters[80], "")[0])] * (1 in lengths)
        effects = SplicingEffects({"donor": 2}, "classes", distance)
        scores = score_variants(engine, variants, genome, effects=effects, length=window, strand="+")
        return [score.set_aside for score in scores]

    assert reasons(4, 5, 1) == [None, None]
    assert reasons(0, 1) == reasons(None, 25) == [None]
    detail = "9 letters, for 8; --distance 8 sees all that it removes"
    said = (
        "some alleles are longer than the distance of 4 letters, and splice sites beyond it are not seen; the first is "
        f"chr1:151:{letters[150:156]}:{letters[150]} with 6 letters, all of which are seen with --distance 5"
    )
    with pytest.warns(JobWarning, match=f"^{said}$"):
        assert reasons(4, 6, 8, 9) == [None, None, SetAside(VariantReason.BEYOND_DISTANCE, detail)]
    (aside,) = reasons(0, 2)
    assert aside is not None
    assert aside.reason == VariantReason.BEYOND_DISTANCE
    # Where the output has too few positions, the length that has them is named, and the distance if one was given.
    advised = (20, 45, "--distance 44 and --length 100 sees"), (None, 50, "; --length 110 sees")
    for given, length, advice in advised:
        (aside,) = reasons(given, length)
        assert aside is not None
        assert advice in aside.detail
        distance = given and length - 1
        assert reasons(distance, length, window=int(advice.partition("length ")[2].split()[0])) == [None]


@pytest.mark.parametrize("distance", [None, 4, 20])
def test_what_an_insertion_moves_out_of_the_output_is_told(
    engine: ab.InSilicoMutagenesis, genome: Genome, distance: int | None
) -> None:
    """Of 50 positions 24 follow the variant; numbers are those of longer windows where all of the distance is seen."""
    letters, effects = contig_letters(genome, "chr1"), SplicingEffects({"donor": 2}, "classes", distance)
    most = 24 - (distance or 0)

    def scored(inserted: int, length: int) -> dict[str, float]:
        variant = Variant("chr1", 150, letters[150], (letters[150] + "ACGTA" * LENGTH)[: inserted + 1])
        (score,) = score_variants(engine, [variant], genome, effects=effects, length=length, strand="+")
        return dict(score.effects)

    for inserted in (1, most - 1, most):
        found = scored(inserted, LENGTH)
        if distance is not None:
            assert found == pytest.approx(scored(inserted, LENGTH + 60), abs=1e-10)
    for inserted in (most + 1, 25):
        longer = LENGTH + 2 * (inserted - most)
        said = (
            f"insertions of more than {most} letters the .*; the first is chr1:151:{letters[150]}:[ACGT.]*, which "
            rf"inserts {inserted} letters: --length {longer} has room for them, where {LENGTH} letters have not$"
        )
        with pytest.warns(JobWarning, match=said):
            scored(inserted, LENGTH)
        scored(inserted, longer)


def test_advice_on_insertions_in_shared_windows_is_not_taken_by_sharing(
    engine: ab.InSilicoMutagenesis, genome: Genome
) -> None:
    """As windows are shared as far as there is room, a longer one has no more of it for what is inserted."""
    letters, effects = contig_letters(genome, "chr1"), SplicingEffects({"donor": 2}, "classes", 20)

    def scorer(length: int) -> VariantScorer:
        return variant_scorer(engine, genome, ScoringOptions(length, effects, strand="+"))

    for inserted, advice in (
        (3, "a window of its own without --share-windows has room for them"),
        (6, f"--length {LENGTH + 4} without --share-windows has room for them, where {LENGTH} letters have not"),
    ):
        # The last of the nine places of a window that is shared.
        variant = Variant("chr1", 152, letters[152], letters[152] + "ACGTAC"[:inserted])
        for length in (LENGTH, LENGTH + 4):
            shared = scorer(length).sharing(length)
            assert shared.options.share_within == (length - LENGTH) // 2 + 4
        with pytest.warns(VariantWarning, match=f"inserts {inserted} letters: {advice}$"):
            list(scorer(LENGTH).sharing(LENGTH).score([variant]))
        list(scorer(LENGTH + 4 if "--length" in advice else LENGTH).score([variant]))


def test_a_caution_is_told_of_the_first_of_many_variants_and_advice_names_no_length_that_comes_by_itself(
    engine: ab.InSilicoMutagenesis, genome: Genome
) -> None:
    letters = contig_letters(genome, "chr1")
    removed = [Variant("chr1", 150 + n, letters[150 + n : 156 + n], letters[150 + n]) for n in range(3)]
    inserted = [Variant("chr1", 120 + n, letters[120 + n], letters[120 + n] + "ACGTA" * 5) for n in range(3)]
    too_long = Variant("chr1", 100, letters[100:160], letters[100])
    effects = SplicingEffects({"donor": 2}, "classes", 4)
    details = {}
    for follows in (False, True):
        with pytest.warns(JobWarning) as told:
            *_, last = score_variants(
                engine,
                [*removed, *inserted, too_long],
                genome,
                effects=effects,
                length=LENGTH,
                strand="+",
                length_follows_distance=follows,
            )
        assert last.set_aside is not None
        details[follows] = last.set_aside.detail
        of_first, of_inserted = map(str, (warning.message for warning in told))
        assert f"the first is chr1:151:{letters[150:156]}:" in of_first
        assert (
            f"the first is chr1:121:{letters[120]}:{letters[120]}ACGTAACGTAA..., which inserts 25 letters"
            in of_inserted
        )
    options = ScoringOptions(LENGTH, effects, strand="+")
    scorer = variant_scorer(engine, genome, options)
    for first in removed[1:]:  # each run tells it of its own first one
        with pytest.warns(JobWarning, match=rf"; the first is chr1:{first.position + 1}:"):
            list(scorer.score([first, removed[0]]))
    assert str(VariantWarning("some alleles are long")) == "some alleles are long"
    assert "--distance 59 and --length " in details[False]
    assert details[True].endswith("--distance 59 sees all that it removes")


@pytest.mark.parametrize("distance", [0, 9, 20, 24])
def test_splicing_in_shared_windows_sees_all_of_the_distance_or_is_refused(
    engine: ab.InSilicoMutagenesis, genome: Genome, distance: int
) -> None:
    """Of 50 positions 25 come before the middle one and 24 after it."""
    effects, room = SplicingEffects({"acceptor": 1, "donor": 2}, "classes", distance), 24 - distance
    variants = [
        variant
        for variant in random_variants(genome, "chr1", 90, seed=6)
        if len(variant.reference) <= min(5, 2 * distance + 1) and len(variant.alternative) == 1
    ]

    def scored(share: int, length: int = LENGTH) -> list[VariantScore]:
        options = {"length": length, "effects": effects, "strand": "+", "share_within": share}
        return list(score_variants(engine, variants, genome, **options))

    alone = scored(0)
    assert sum(score.set_aside is None for score in alone) > 30
    for share in sorted({room // 2, room}):
        for one, other in zip(alone, scored(share), strict=True):
            assert one.effects == pytest.approx(other.effects, abs=1e-10)
    for share in sorted({room + 1, 27}):
        with pytest.raises(InvalidInputError, match=rf"up to {share} letters.* leaves {room};") as caught:
            scored(share)
        found = re.search(r"a window of (\d+) letters \(--length\) does", str(caught.value))
        assert found is not None
        assert len(scored(share, int(found[1]))) == len(alone)
        with pytest.raises(InvalidInputError):
            scored(share, int(found[1]) - 2)


def test_without_a_distance_splicing_shares_no_windows(engine: ab.InSilicoMutagenesis, genome: Genome) -> None:
    options = {"length": LENGTH, "effects": SplicingEffects({"donor": 2}, "classes"), "strand": "+"}
    with pytest.raises(InvalidInputError, match="without a distance all of them are; give one"):
        score_variants(engine, [], genome, share_within=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("strand", [None, "+", "-", "both"])
def test_a_strand_that_nobody_chose_is_told_of_splice_sites(
    engine: ab.InSilicoMutagenesis, genome: Genome, strand: str | None
) -> None:
    splicing = SplicingEffects({"donor": 2}, "classes", 4)
    for effects in (splicing, ScalarEffects("count")):
        options = ScoringOptions(LENGTH, effects, strand=strand)  # type: ignore[arg-type]
        told = [text for text in variant_scorer(engine, genome, options).cautions if "strand +" in text]
        assert len(told) == (strand is None and effects is splicing)
    if strand is None:
        with pytest.warns(JobWarning, match=r"gene is on the strand -.*give genes \(--genes\)"):
            scores = score_variants(engine, random_variants(genome, "chr1", 5), genome, length=LENGTH, effects=splicing)
        plus = score_variants(
            engine, random_variants(genome, "chr1", 5), genome, length=LENGTH, effects=splicing, strand="+"
        )
        assert [score.effects for score in scores] == [score.effects for score in plus]


def test_keras_models_give_the_same(profiles: torch.nn.Module, engine: ab.InSilicoMutagenesis, genome: Genome) -> None:
    import keras

    x = keras.Input((LENGTH, 4), dtype="float64")
    hidden = keras.layers.Conv1D(6, 5, activation="tanh", dtype="float64")(x)
    hidden = keras.layers.Conv1D(6, 3, dilation_rate=3, activation="tanh", dtype="float64")(hidden)
    classes = keras.layers.Softmax(dtype="float64", name="classes")(
        keras.layers.Rescaling(3.0, dtype="float64")(keras.layers.Conv1D(3, 1, dtype="float64")(hidden))
    )
    model = keras.Model(x, classes)
    state = profiles.state_dict()
    kernels = ("stem", "dilated", "classes")
    model.set_weights(
        [
            array
            for name in kernels
            for array in (state[f"{name}.weight"].numpy().transpose(2, 1, 0), state[f"{name}.bias"].numpy())
        ]
    )
    variants = random_variants(genome, "chr1", 20, seed=4)
    effects = SplicingEffects({"donor": 2})
    method = ab.get_method("fastism")(model, min_speedup=0)
    in_keras = score_variants(method, variants, genome, length=LENGTH, effects=effects, strand="both")
    in_torch = score_variants(
        engine,
        variants,
        genome,
        length=LENGTH,
        effects=SplicingEffects({"donor": 2}, "classes"),
        strand="both",
    )
    for one, other in zip(in_keras, in_torch, strict=True):
        assert one.effects == pytest.approx(other.effects, abs=1e-10)


def test_alleles_of_one_record_and_neighbours_share_windows_without_a_difference(
    engine: ab.InSilicoMutagenesis, profiles: torch.nn.Module, genome: Genome
) -> None:
    letters = contig_letters(genome, "chr1")
    variants = [
        Variant("chr1", position, letters[position], alternative)
        for position in range(100, 130)
        for alternative in "ACGT"
        if alternative != letters[position]
    ]
    full = ab.get_method("standard_ism")(profiles)
    for share_within in (0, 10):
        options = {"length": LENGTH, "target": "count", "share_within": share_within}
        scores = zip(
            score_variants(engine, variants, genome, **options),  # type: ignore[arg-type]
            score_variants(full, variants, genome, **options),  # type: ignore[arg-type]
            strict=True,
        )
        for one, other in scores:
            assert one.effects == pytest.approx(other.effects, abs=1e-10)


def test_what_is_set_aside_keeps_its_place(engine: ab.InSilicoMutagenesis, genome: Genome) -> None:
    letters = contig_letters(genome, "chr1")
    other = "A" if letters[100] != "A" else "C"
    variants = [
        Variant("chr1", 100, letters[100], other),
        Variant("1", 100, letters[100], other),
        Variant("chr1", 100, other, letters[100]),
        Variant("chr1", 100, letters[100:140], letters[100]),
        Variant("chr1", 3, letters[3], "A" if letters[3] != "A" else "C"),
        Variant("gap", 49, genome.fetch("gap", 49, 50), "A" if genome.fetch("gap", 49, 50) != "A" else "C"),
        Variant("chr1", 101, letters[101], "<DUP>"),
    ]
    options = {"length": LENGTH, "target": "count", "overhang": "drop", "largest_unknown_share": 0.4}
    scores = list(score_variants(engine, variants, genome, **options))  # type: ignore[arg-type]
    assert [score.variant for score in scores] == variants
    assert [score.set_aside and score.set_aside.reason for score in scores] == [
        None,
        VariantReason.NO_CONTIG,
        VariantReason.REF_MISMATCH,
        VariantReason.TOO_LONG,
        VariantReason.WINDOW_OFF_CONTIG,
        VariantReason.MOSTLY_UNKNOWN,
        VariantReason.SYMBOLIC,
    ]
    assert [bool(score.effects) for score in scores] == [score.set_aside is None for score in scores]


def test_predictions_that_are_not_finite_set_a_variant_aside(genome: Genome) -> None:
    class Breaks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # log of a negative number where A stands in the middle.
            return torch.log(0.5 - x[:, 0, LENGTH // 2])[:, None]

    letters = contig_letters(genome, "chr1")
    position = next(place for place in range(100, 200) if letters[place] == "C")
    variants = [Variant("chr1", position, "C", "A"), Variant("chr1", position, "C", "G")]
    method = ab.get_method("standard_ism")(Breaks().double())
    broken, fine = score_variants(method, variants, genome, length=LENGTH)
    assert broken.set_aside is not None
    assert broken.set_aside.reason == VariantReason.NOT_FINITE
    assert fine.effects["delta"] == 0


def test_scores_come_before_all_variants_are_read(engine: ab.InSilicoMutagenesis, genome: Genome) -> None:
    read = 0

    def endless() -> Iterator[Variant]:
        nonlocal read
        while True:
            yield from random_variants(genome, "chr1", 50, seed=read)
            read += 50

    scores = score_variants(engine, endless(), genome, length=LENGTH, target="count")
    assert len(list(islice(scores, 3 * BLOCK))) == 3 * BLOCK
    assert read < 3 * BLOCK + 50


def test_what_is_set_aside_does_not_wait_for_ever(engine: ab.InSilicoMutagenesis, genome: Genome) -> None:
    endless = iter(lambda: Variant("nowhere", 0, "A", "C"), None)
    scores = score_variants(engine, endless, genome, length=LENGTH, target="count")
    assert len(list(islice(scores, 5000))) == 5000


def test_the_default_method_computes_what_is_affected(
    profiles: torch.nn.Module, engine: ab.InSilicoMutagenesis, genome: Genome
) -> None:
    variants = random_variants(genome, "chr1", 3)
    chosen = score_variants(profiles, variants, genome, length=LENGTH, target="count")
    given = score_variants(engine, variants, genome, length=LENGTH, target="count")
    assert [score.effects for score in chosen] == [pytest.approx(score.effects, abs=1e-12) for score in given]
    assert partial_passes(ab.as_sequence_model(profiles)).tags.partial_passes


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"length": 0}, InvalidInputError),
        ({"strand": "?"}, InvalidInputError),
        ({"overhang": "wrap"}, InvalidInputError),
        ({"share_within": -1}, InvalidInputError),
        ({"share_within": 30}, InvalidInputError),
        ({"largest_unknown_share": 2}, InvalidInputError),
        ({"batch_size": 0}, InvalidInputError),
        ({"target": None}, TargetError),
        ({"target": "nothing"}, TargetError),
        ({"effects": ScalarEffects("count")}, InvalidInputError),
        ({"target": None, "effects": ProfileEffects()}, TargetError),
        ({"target": None, "effects": ProfileEffects("nothing")}, TargetError),
        ({"target": None, "effects": SplicingEffects({"donor": 3}, "classes")}, TargetError),
        ({"target": None, "effects": SplicingEffects({"donor": 1})}, TargetError),
        ({"target": None, "effects": SplicingEffects({"donor": 1}, "profile")}, TargetError),
        ({"length": 8}, ab.errors.ModelError),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(
    engine: ab.InSilicoMutagenesis, genome: Genome, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        score_variants(engine, [], genome, **{"length": LENGTH, "target": "count", **options})  # type: ignore[arg-type]


def test_a_protein_model_is_refused(genome: Genome) -> None:
    model = ab.as_sequence_model(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20 * LENGTH, 1)), alphabet="protein"
    )
    with pytest.raises(InvalidInputError, match="DNA or RNA"):
        score_variants(ab.get_method("standard_ism")(model), [], genome, length=LENGTH)
