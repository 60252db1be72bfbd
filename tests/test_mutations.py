"""Mutations of any kind: what they do to a sequence, lists of them, bad ones, and full passes over them."""

import json

import numpy as np
import pytest
import torch

import attribution_bench as ab
from attribution_bench import DNA, PROTEIN, Mutation
from attribution_bench.errors import InvalidInputError, TargetError
from attribution_bench.mutations import check_mutations
from attribution_bench.sequences import Sequences
from attribution_bench_plugins.standard_ism import StandardISM


class Weighted(torch.nn.Module):
    """Two outputs: what each of six positions holds times a weight of its own, squared; and the sum of it."""

    def __init__(self):
        super().__init__()
        weight = np.random.default_rng(0).normal(size=(4, 6))
        self.weight = torch.nn.Parameter(torch.as_tensor(weight))

    def forward(self, x, extra=None):
        profile = (x * self.weight).sum(1) ** 2
        if extra is not None:
            profile = profile * extra
        return {"profile": profile, "count": profile.sum(1, keepdim=True)}


@pytest.fixture
def model():
    return Weighted()


def truth(model, sequence, extra=None):
    """The profile of one sequence (4, 6), in NumPy."""
    profile = (sequence * model.weight.detach().numpy()).sum(0) ** 2
    return profile if extra is None else profile * extra


def one_hot(*sequences):
    return DNA.one_hot(sequences).astype(np.float64)


@pytest.mark.parametrize(
    ("mutation", "expected"),
    [
        (Mutation(0, 2, "T"), "ACTTAC"),
        (Mutation(0, 0, "ttn"), "TTNTAC"),
        (Mutation(0, 3, "NNN"), "ACGNNN"),
        (Mutation(0, 2, "TT", deleted=0), "ACTTGT"),
        (Mutation(0, 0, "GGGGGGGG", deleted=0), "GGGGGG"),
        (Mutation(0, 5, "GG", deleted=0), "ACGTAG"),
        (Mutation(0, 1, "", deleted=2), "ATACNN"),
        (Mutation(0, 4, "", deleted=2), "ACGTNN"),
        (Mutation(0, 0, "", deleted=6), "NNNNNN"),
        (Mutation(0, 1, "GGG", deleted=1), "AGGGGT"),
        (Mutation(0, 1, "T", deleted=3), "ATACNN"),
        (Mutation(0, 1, np.zeros((4, 2))), "ANNTAC"),
        (Mutation(0, 1, np.zeros((4, 0)), deleted=1), "AGTACN"),
        (Mutation(0, 1, np.eye(4, dtype=np.int8)), "AACGTC"),
    ],
)
def test_what_a_mutation_does(mutation, expected, model):
    x = one_hot("ACGTAC")
    (edit,) = check_mutations([mutation], x.shape, DNA)
    mutated = edit.apply(x[0])
    assert DNA.decode(mutated[None]) == [expected]
    assert mutated.dtype == x.dtype
    np.testing.assert_array_equal(x, one_hot("ACGTAC"))
    result = StandardISM(model).predict_mutations(x, [mutation], target="profile")
    np.testing.assert_allclose(result.predictions["profile"], [truth(model, one_hot(expected)[0])], rtol=1e-12)


def test_any_numbers_can_be_put(model):
    x = one_hot("ACGTAC", "TTTTTT")
    columns = np.random.default_rng(1).normal(size=(4, 3))
    result = StandardISM(model).predict_mutations(x, [Mutation(1, 2, columns)], target="profile")
    x[1, :, 2:5] = columns
    np.testing.assert_allclose(result.predictions["profile"], [truth(model, x[1])], rtol=1e-12)


def test_result_is_in_the_order_of_the_list(model):
    sequences = ["ACGTAC", "TTTTTT", "GGGGGG"]
    mutations = [
        Mutation(2, 0, "A"),
        Mutation(0, 5, "T"),
        Mutation(2, 1, "", 1),
        Mutation(0, 0, "NN"),
        Mutation(2, 0, "A"),
    ]
    mutated = one_hot("AGGGGG", "ACGTAT", "GGGGGN", "NNGTAC", "AGGGGG")
    seen = []
    result = StandardISM(model).predict_mutations(
        sequences, mutations, target="all", batch_size=2, progress=lambda *state: seen.append(state)
    )
    profiles = np.stack([truth(model, sequence) for sequence in mutated])
    references = np.stack([truth(model, sequence) for sequence in one_hot(*sequences)])
    assert result.mutations == tuple(mutations)
    np.testing.assert_allclose(result.predictions["profile"], profiles, rtol=1e-12)
    np.testing.assert_allclose(result.predictions["count"], profiles.sum(1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(result.reference_predictions["profile"], references, rtol=1e-12)
    np.testing.assert_allclose(result.effects("profile"), profiles - references[[2, 0, 2, 0, 2]], atol=1e-12)
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_sequences_of_a_file_are_taken(model):
    sequences = Sequences(("first", "second"), ("ACGTAC", "TTTTTT"), "here")
    result = StandardISM(model).predict_mutations(sequences, [Mutation(1, 0, "A")], target="profile")
    np.testing.assert_allclose(result.predictions["profile"], [truth(model, one_hot("ATTTTT")[0])], rtol=1e-5)


def test_extra_inputs_targets_and_metadata(model):
    x, extra = one_hot("ACGTAC", "TTTTTT"), np.random.default_rng(2).normal(size=(2, 6))
    mutations = [Mutation(1, 3, "GA"), Mutation(0, 3, "CC"), Mutation(1, 0, "A", 0)]
    mutated = one_hot("TTTGAT", "ACGCCC", "ATTTTT")
    profiles = np.stack([truth(model, s, extra[m.sequence]) for s, m in zip(mutated, mutations, strict=True)])
    method = StandardISM(model)
    for target, expected in {
        "count": profiles.sum(1, keepdims=True),
        ("profile", 4): profiles[:, 4],
        ("profile", "mean"): profiles.mean(1),
        ("profile", lambda value: value[:, 0] - value[:, 3]): profiles[:, 0] - profiles[:, 3],
    }.items():
        result = method.predict_mutations(x, mutations, target=target, additional_forward_args=extra, batch_size=2)
        (output,) = result.predictions
        np.testing.assert_allclose(result.predictions[output], expected, rtol=1e-12)
        np.testing.assert_array_equal(result.effects(), result.effects(output))
        assert result.metadata["method"] == "standard_ism"
        assert result.metadata["dtype"] == "float64"
        assert json.loads(json.dumps(result.metadata)) == result.metadata


@pytest.mark.parametrize(
    ("mutation", "message"),
    [
        (Mutation(2, 0, "A"), "sequence 2 is out of range; there are 2"),
        (Mutation(-1, 0, "A"), "sequence -1 is out of range"),
        (Mutation(0, 6, "A"), "position 6 is out of range; there are 6"),
        (Mutation(0, -1, "A"), "position -1 is out of range"),
        (Mutation(0, 1.5, "A"), "position must be an integer, not 1.5"),
        (Mutation(0, 4, "AAA"), r"3 letters from position 4 on reach past the end of the sequence \(6\)"),
        (Mutation(0, 4, "", 3), "reach past the end"),
        (Mutation(0, 0, "AZ"), "'Z', which is not in the DNA alphabet"),
        (Mutation(0, 0, np.zeros((3, 2))), r"an array \(4, width\), not of shape \(3, 2\)"),
        (Mutation(0, 0, np.zeros(4)), r"not of shape \(4,\)"),
        (Mutation(0, 0, np.full((4, 1), np.nan)), "must hold finite numbers"),
        (Mutation(0, 0, np.full((4, 1), "A")), "must hold finite numbers"),
        (Mutation(0, 0, None), "must be letters or an array"),
        (Mutation(0, 0, "A", -1), "deleted must be a number of letters, 0 or more, not -1"),
        (Mutation(0, 0, ""), "neither puts letters nor takes any away"),
        ((0, 0, "A"), "it is a tuple; give Mutation"),
    ],
)
def test_a_mutation_that_cannot_be_made_is_named(mutation, message, model):
    with pytest.raises(InvalidInputError, match=rf"^mutations\[1\]: .*{message}"):
        StandardISM(model).predict_mutations(["ACGTAC", "TTTTTT"], [Mutation(0, 0, "A"), mutation], target="all")


def test_other_bad_input(model):
    method, good = StandardISM(model), [Mutation(0, 0, "A")]
    with pytest.raises(InvalidInputError, match="mutations are empty"):
        method.predict_mutations(["ACGTAC"], [], target="all")
    with pytest.raises(TargetError, match="leaves open"):
        method.predict_mutations(["ACGTAC"], good)
    with pytest.raises(InvalidInputError, match="batch_size must be at least 1"):
        method.predict_mutations(["ACGTAC"], good, target="all", batch_size=0)
    result = method.predict_mutations(["ACGTAC"], good, target="all")
    for output in (None, "counts"):
        with pytest.raises(InvalidInputError, match="output must be one of profile, count"):
            result.effects(output)


def test_only_mutagenesis_predicts_mutations():
    for name in ("standard_ism", "fastism"):
        assert issubclass(ab.get_method(name), ab.InSilicoMutagenesis)
    assert not hasattr(ab.get_method("gradient_x_input"), "predict_mutations")


def test_tiles():
    assert list(ab.tiles(10, 4)) == [0, 1, 2, 3, 4, 5, 6]
    assert list(ab.tiles(10, 4, 3)) == [0, 3, 6]
    assert list(ab.tiles(11, 4, 3)) == [0, 3, 6]
    assert list(ab.tiles(4, 4)) == [0]
    for length, width, stride in ((3, 4, 1), (3, 0, 1), (3, 1, 0)):
        with pytest.raises(InvalidInputError, match=f"not width {width}, length {length}, stride {stride}"):
            ab.tiles(length, width, stride)


def test_knockouts():
    x = one_hot("ACGTAC", "TTTTTT")
    edits = check_mutations(ab.knockouts(2, ab.tiles(6, 2, 4), 2), x.shape, DNA)
    mutated = [edit.apply(x[edit.sequence]) for edit in edits]
    assert DNA.decode(np.stack(mutated)) == ["NNGTAC", "ACGTNN", "NNTTTT", "TTTTNN"]
    (protein,) = check_mutations(ab.knockouts(1, [1], 3, PROTEIN), (1, 20, 6), PROTEIN)
    np.testing.assert_array_equal(protein.columns, np.zeros((20, 3)))


def test_scrambles_keep_the_letters_and_follow_the_seed():
    x = one_hot("AACGTTACGT", "CCCCCGGGGG")
    mutations = ab.scrambles(x, [1, 3], 5, 40, seed=0)
    assert [(m.sequence, m.position) for m in mutations] == [(0, 1)] * 40 + [(1, 3)] * 40
    windows = [DNA.decode(mutation.replacement[None])[0] for mutation in mutations]
    assert {"".join(sorted(window)) for window in windows[:40]} == {"ACGTT"}
    assert {"".join(sorted(window)) for window in windows[40:]} == {"CCGGG"}
    assert len(set(windows[:40])) > 20
    again, other = ab.scrambles(x, [1, 3], 5, 40, seed=0), ab.scrambles(x, [1, 3], 5, 40, seed=1)
    assert all((a.replacement == b.replacement).all() for a, b in zip(mutations, again, strict=True))
    assert any((a.replacement != b.replacement).any() for a, b in zip(mutations, other, strict=True))
    with pytest.raises(InvalidInputError, match=r"windows of 5 letters from 6 to 6 on leave \[0, 10\)"):
        ab.scrambles(x, 6, 5, 1, seed=0)
