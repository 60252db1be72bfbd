"""Effects of several models: held against each model's full passes, and against one model that averages them."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import Variant, normalised
from attribution_bench.variants import ProfileEffects, ScalarEffects, SplicingEffects, score_variants
from variants_by_hand import LENGTH, contig_letters, random_variants, spliced


class Fold(torch.nn.Module):
    """(N, 4, L) to classes (N, 3, L - 4), and the count (N, 1) if it is asked for."""

    def __init__(self, seed: int, *, count: bool = True) -> None:
        super().__init__()
        self.count = count
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem, self.head = torch.nn.Conv1d(4, 6, 5).double(), torch.nn.Conv1d(6, 3, 1).double()
            self.dense = torch.nn.Linear(6, 1).double()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.tanh(self.stem(x))
        classes = {"classes": torch.softmax(3 * self.head(hidden), 1)}
        return {"profile": self.head(hidden)[:, 0], "count": self.dense(hidden.mean(-1)) + 2} if self.count else classes


class MeanOfFolds(torch.nn.Module):
    def __init__(self, folds: list[Fold]) -> None:
        super().__init__()
        self.folds = torch.nn.ModuleList(folds)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([fold(x)["classes"] for fold in self.folds]).mean(0)


def in_full(fold: Fold, sequence: str, strand: str) -> dict[str, np.ndarray]:
    """Predictions of a sequence on a strand: the profile in the order of the strand +."""
    if strand == "-":
        sequence = sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    letters = np.array(["ACGT".find(letter) for letter in sequence])
    with torch.no_grad():
        outputs = fold(torch.from_numpy((letters == np.arange(4)[:, None])[None].astype(float)))
    profile = outputs["profile"][0].numpy()
    return {"profile": profile[::-1] if strand == "-" else profile, "count": outputs["count"][0].numpy()}


@pytest.fixture(scope="module")
def variants(genome: Genome) -> list[Variant]:
    return [*random_variants(genome, "chr1", 24, seed=8), *random_variants(genome, "short", 8, seed=9)]


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_mean_and_deviation_are_those_of_full_passes(genome: Genome, variants: list[Variant], strand: str) -> None:
    folds = [Fold(seed) for seed in range(3)]
    options = {"length": LENGTH, "strand": strand, "each_model": True}
    models = [ab.get_method("standard_ism")(fold) for fold in folds]
    counts = score_variants(models, variants, genome, effects=ScalarEffects("count"), **options)
    profiles = score_variants(models, variants, genome, effects=ProfileEffects(), **options)
    for variant, count, profile in zip(variants, counts, profiles, strict=True):
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        pair = spliced(genome, variant, form.position)
        own = []
        for fold in folds:
            strands = [
                [in_full(fold, sequence, one) for sequence in pair] for one in ("+-" if strand == "both" else strand)
            ]
            reference, alternative = (np.mean([one[allele]["count"][0] for one in strands]) for allele in (0, 1))
            counted = [np.mean([np.exp(one[allele]["count"][0]) for one in strands]) for allele in (0, 1)]
            shapes = [softmax(np.mean([one[allele]["profile"] for one in strands], axis=0)) for allele in (0, 1)]
            own.append(
                (
                    alternative - reference,
                    np.log2(alternative / reference),
                    np.log2(counted[1] / counted[0]),
                    jensenshannon(*shapes, base=2),
                )
            )
        for found, columns in ((count, ("delta", "log2_fold_change")), (profile, ("logfc", "jsd_unaligned"))):
            for name in columns:
                numbers = np.array(own)[:, ("delta", "log2_fold_change", "logfc", "jsd_unaligned").index(name)]
                # The distances of SciPy are rounded by 1e-8 where profiles are equal.
                bound = 1e-7 if name == "jsd_unaligned" else 1e-10
                assert found.effects[name] == pytest.approx(numbers.mean(), abs=bound, rel=0)
                assert found.effects[f"{name}_sd"] == pytest.approx(numbers.std(), abs=bound, rel=0)
                for number, value in enumerate(numbers):
                    assert found.effects[f"{name}_model_{number}"] == pytest.approx(value, abs=bound, rel=0)


def test_gains_and_losses_are_those_of_mean_predictions(genome: Genome, variants: list[Variant]) -> None:
    models = [Fold(seed, count=False) for seed in range(3)]
    options = {"length": LENGTH, "effects": SplicingEffects({"donor": 2}), "strand": "both"}
    averaged = score_variants(ab.get_method("standard_ism")(MeanOfFolds(models)), variants, genome, **options)
    folds = [ab.get_method("standard_ism")(model) for model in models]
    single = [list(score_variants(fold, variants, genome, **options)) for fold in folds]
    differs = 0
    for number, (score, mean) in enumerate(
        zip(score_variants(folds, variants, genome, **options), averaged, strict=True)
    ):
        assert list(score.effects) == [
            "donor_gain",
            "donor_gain_offset",
            "donor_loss",
            "donor_loss_offset",
            "donor_gain_sd",
            "donor_loss_sd",
        ]
        for name, value in mean.effects.items():
            assert score.effects[name] == pytest.approx(value, abs=1e-10)
        gains = [scores[number].effects["donor_gain"] for scores in single]
        assert score.effects["donor_gain_sd"] == pytest.approx(np.std(gains), abs=1e-10)
        differs += abs(np.mean(gains) - mean.effects["donor_gain"]) > 1e-3
    assert differs > 5


def test_one_model_in_a_list_is_itself(genome: Genome, variants: list[Variant]) -> None:
    method, options = ab.get_method("standard_ism")(Fold(0)), {"length": LENGTH, "effects": ProfileEffects()}
    listed, alone = (score_variants(model, variants, genome, **options) for model in ([method], method))
    assert [score.effects for score in listed] == [score.effects for score in alone]


def test_a_number_that_one_model_lacks_has_no_mean(genome: Genome) -> None:
    class Minus(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -1 - x[:, 0].mean(1, keepdim=True)

    class Plus(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1 + x[:, 0].mean(1, keepdim=True)

    letters = contig_letters(genome, "chr1")
    variant = Variant("chr1", 100, letters[100], "A" if letters[100] != "A" else "C")
    models = [ab.get_method("standard_ism")(model.double()) for model in (Minus(), Plus())]
    (score,) = score_variants(models, [variant], genome, length=LENGTH)
    assert score.effects["delta"] == pytest.approx(0)
    assert score.effects["delta_sd"] > 0
    assert np.isnan(score.effects["log2_fold_change"])
    assert np.isnan(score.effects["log2_fold_change_sd"])


class Named(torch.nn.Module):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: x[:, number].sum(1, keepdim=True) for number, name in enumerate(self.names)}


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "no model"),
        ([Named("a")], {"each_model": True}, "there is one"),
        ([Named("a", "b"), Named("b", "a")], {"target": "all"}, "the same outputs"),
        ([Named("a", "b"), Named("a")], {"target": "a"}, "the same outputs"),
    ],
)
def test_models_that_cannot_be_averaged_are_refused(
    genome: Genome, models: list[torch.nn.Module], options: dict[str, object], message: str
) -> None:
    methods = [ab.get_method("standard_ism")(model.double()) for model in models]
    with pytest.raises(InvalidInputError, match=message):
        score_variants(methods, [], genome, length=LENGTH, **options)


def test_a_single_output_may_have_another_name_in_each_model(genome: Genome, variants: list[Variant]) -> None:
    methods = [ab.get_method("standard_ism")(Named(name).double()) for name in ("dense", "dense_1")]
    for score in score_variants(methods, variants, genome, length=LENGTH):
        assert score.effects["delta_sd"] == 0
