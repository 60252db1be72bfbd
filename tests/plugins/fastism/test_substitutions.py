"""Lists of mutations on the engine: its predictions are the model's own, in the order of the list."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray
from torch import nn

import attribution_bench as ab
from attribution_bench import Mutation
from attribution_bench.errors import FallbackWarning
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.call import Call
from attribution_bench_plugins.fastism.execution.shared_blocks import Sites, shared_blocks, sharing, worthwhile
from attribution_bench_plugins.fastism.planning import cost
from attribution_bench_plugins.fastism.planning.policy import Savings
from attribution_bench_plugins.fastism.planning.sizes import Division
from attribution_bench_plugins.fastism.values.window import Positions
from fastism_models import LENGTH, MODELS, build, controls_join
from parity import assert_parity, one_hot, plan_of
from random_models import Description, descriptions

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

WIDTHS = range(1, 8)


def width_of(mutation: Mutation) -> int:
    """The number of positions that a replacement has."""
    replacement = mutation.replacement
    return len(replacement) if isinstance(replacement, str) else int(replacement.shape[1])


def by_hand(x: NDArray[np.float64], mutation: Mutation) -> NDArray[np.float64]:
    """The mutated sequence (4, L): letters written one by one over a copy, or spliced as strings."""
    sequence, start, replacement = x[mutation.sequence], mutation.position, mutation.replacement
    width = width_of(mutation)
    if mutation.deleted in (None, width):
        mutated = sequence.copy()
        for i in range(width):
            if not isinstance(replacement, str):
                mutated[:, start + i] = replacement[:, i]
            else:
                mutated[:, start + i] = [replacement[i] == letter for letter in "ACGT"]
        return mutated
    (letters,) = ab.DNA.decode(sequence[None])
    spliced = letters[:start] + str(replacement) + letters[start + mutation.deleted :] + "N" * len(letters)
    return ab.DNA.one_hot([spliced[: len(letters)]])[0].astype(np.float64)


def brute_force(
    module: nn.Module, x: NDArray[np.float64], mutations: list[Mutation], extras: tuple[torch.Tensor, ...] = ()
) -> dict[str, NDArray[np.floating[Any]]]:
    """Every mutated sequence by a full pass of its own."""
    model = ab.as_sequence_model(module)
    rows: dict[str, list[NDArray[np.floating[Any]]]] = {}
    with torch.no_grad(), model.inference():
        for mutation in mutations:
            mutated = torch.as_tensor(by_hand(x, mutation))[None]
            own = tuple(extra[mutation.sequence : mutation.sequence + 1] for extra in extras)
            for name, value in model.forward(mutated, own).items():
                rows.setdefault(name, []).append(value[0].numpy())
    return {name: np.stack(values) for name, values in rows.items()}


def mixture(count: int, seed: int = 0) -> list[Mutation]:
    """Substitutions of every width at both ends and at overlapping sites in between, in random order.

    Every sequence has the same sites, and one more of its own; some replacements are letters, some unknown letters,
    some any numbers.
    """
    random = np.random.default_rng(seed)

    def replacement(width: int, kind: int) -> Any:
        letters = "".join(random.choice(list("ACGT"), width))
        return (letters, "N" * width, random.normal(size=(4, width)), letters)[kind]

    mutations = []
    for width in WIDTHS:
        for start in {0, 1, 11, 12, 14, LENGTH - width}:
            for sequence in range(count):
                mutations += [Mutation(sequence, start, replacement(width, kind)) for kind in range(4)]
    for sequence in range(count):
        mutations += [Mutation(sequence, 20 + sequence, replacement(4, kind % 3)) for kind in range(9)]
    return [mutations[i] for i in random.permutation(len(mutations))]


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """(sequences, positions, alternatives) of each block that the engine runs."""
    seen = []
    run = Call.run

    def watched(
        self: Call, unmutated: Any, workers: Any, blocks: Iterable[Positions], alternatives: int, *rest: Any
    ) -> None:
        blocks = list(blocks)
        seen.extend((unmutated.count, len(block.indices), alternatives) for block in blocks)
        run(self, unmutated, workers, blocks, alternatives, *rest)

    monkeypatch.setattr(Call, "run", watched)
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_in_float64(name: str, walks: list[tuple[int, int, int]]) -> None:
    module, x, mutations = build(name).double(), one_hot(3, 4, LENGTH), mixture(3)
    x[1, :, 12] = 0  # an unknown letter
    result = ab.get_method("fastism")(module).predict_mutations(x, mutations, target="all")
    assert "fallback" not in result.metadata
    assert_parity(dict(result.predictions), brute_force(module, x, mutations), 1e-10)
    unmutated = [Mutation(sequence, 0, x[sequence]) for sequence in range(3)]
    assert_parity(dict(result.reference_predictions), brute_force(module, x, unmutated), 1e-10)
    # Nothing was left to full passes, and what the model does not read at all takes nothing.
    reaching = plan_of(ab.as_sequence_model(module), LENGTH).reaching
    read = [m for m in mutations if m.position < reaching.stop and reaching.start < m.position + width_of(m)]
    assert sum(n * k * a for n, k, a in walks) == len(read)
    assert {n for n, _, _ in walks} == {1, 3}


@settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(descriptions())
def test_random_models(description: Description) -> None:
    module, random = description.build(), np.random.default_rng(description.seed)
    count, letters, length = description.sequences, description.letters, description.length
    x, extras = one_hot(count, letters, length, description.seed), description.extra_inputs()
    mutations = []
    for _ in range(6):
        width = int(random.integers(1, min(length, 9) + 1))
        start = int(random.integers(0, length - width + 1))
        mutations += [Mutation(n, start, random.normal(size=(letters, width))) for n in range(count)]
        mutations.append(Mutation(int(random.integers(count)), start, np.zeros((letters, width))))
    model = ab.as_sequence_model(module, alphabet="DNA" if letters == 4 else "protein")
    result = ab.get_method("fastism")(model, self_check=False).predict_mutations(
        x, mutations, target="all", additional_forward_args=extras
    )
    assert_parity(dict(result.predictions), brute_force(module, x, mutations, extras), 1e-10)


def test_neighbours_of_one_phase_share_blocks(walks: list[tuple[int, int, int]]) -> None:
    module, x = build("conv, relu, norm, pool, dense").double(), one_hot(2, 4, LENGTH)
    mutations = ab.knockouts(2, ab.tiles(LENGTH, 4), 4)
    result = ab.get_method("fastism")(module, self_check=False).predict_mutations(x, mutations, target="all")
    # What the original package's default mutation is: letters masked by zeros.
    masked = np.stack([x[mutation.sequence] for mutation in mutations])
    for row, mutation in zip(masked, mutations, strict=True):
        row[:, mutation.position : mutation.position + 4] = 0
    with torch.no_grad():
        truth = module(torch.as_tensor(masked)).numpy()
    np.testing.assert_allclose(result.predictions["output"], truth, rtol=0, atol=1e-12)
    assert walks == [(2, 9, 1), (2, 9, 1), (2, 9, 1)]


def test_one_position_of_many_sequences_is_one_block(walks: list[tuple[int, int, int]]) -> None:
    module, x = build("residual, two heads").double(), one_hot(20, 4, LENGTH)
    mutations = [Mutation(sequence, 15, "ACGT"[sequence % 4]) for sequence in range(20)]
    result = ab.get_method("fastism")(module).predict_mutations(x, mutations, target="count")
    assert walks == [(20, 1, 1)]
    truth = brute_force(module, x, mutations)
    assert_parity(dict(result.predictions), {"count": truth["count"]}, 1e-10)


def test_few_that_share_nothing_and_whatever_moves_take_full_passes(
    walks: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "LAUNCH_COST_MACS", {"cpu": 2_500})
    module, x = build("residual, two heads").double(), one_hot(3, 4, LENGTH)
    seen: list[tuple[int, int]] = []
    moving = [
        Mutation(0, 0, "ACGTA", 0),
        Mutation(1, LENGTH - 1, "AC", 0),
        Mutation(1, 4, "", 3),
        Mutation(0, 27, "", 3),
        Mutation(2, 10, "A", 4),
        Mutation(2, 10, "ACGTAC", 2),
    ]
    few = [Mutation(0, 3, "ACG"), Mutation(2, 17, "T")]
    shared = [Mutation(1, 8, "".join(letters)) for letters in np.random.default_rng(1).choice(list("ACGT"), (8, 2))]
    mutations = [*moving[:3], *shared[:5], *few, *moving[3:], *shared[5:]]
    result = ab.get_method("fastism")(module, min_speedup=1).predict_mutations(
        x, mutations, target="all", progress=lambda *state: seen.append(state)
    )
    assert_parity(dict(result.predictions), brute_force(module, x, mutations), 1e-10)
    unmutated = [Mutation(sequence, 0, x[sequence]) for sequence in range(3)]
    assert_parity(dict(result.reference_predictions), brute_force(module, x, unmutated), 1e-10)
    assert walks == [(1, 1, 8)]
    assert seen == [(8, 16), (16, 16)]


def test_an_output_that_a_mutation_does_not_reach_keeps_the_reference() -> None:
    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 2, 3)

        def forward(self, x: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.conv(x)[:, :, :4].sum(2), cell.exp()

    torch.manual_seed(0)
    module, x, cell = Ends().double(), one_hot(3, 4, LENGTH), torch.randn(3, 2, dtype=torch.float64)
    mutations = [Mutation(sequence, start, "NNN") for start in (0, 6, 20, 23, 26) for sequence in (1, 0, 2)] * 3
    method = ab.get_method("fastism")(module)
    result = method.predict_mutations(x, mutations, target="all", additional_forward_args=cell)
    assert_parity(dict(result.predictions), brute_force(module, x, mutations, (cell,)), 1e-10)
    np.testing.assert_array_equal(result.effects("output_1"), 0)
    np.testing.assert_array_equal(result.effects("output_0")[3:15], 0)
    assert (result.effects("output_0")[:3] != 0).any(axis=1).all()


def test_extra_inputs_targets_and_reducers() -> None:
    torch.manual_seed(0)
    module, x, mutations = controls_join().double().eval(), one_hot(3, 4, LENGTH), mixture(3)
    extras = torch.randn(3, 2, LENGTH, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)
    truth = brute_force(module, x, mutations, extras)["output"]
    method = ab.get_method("fastism")(module)
    for target, expected in {"all": truth, 1: truth[:, 1], "sum": truth.sum(1), -1: truth[:, 1]}.items():
        result = method.predict_mutations(x, mutations, target=target, additional_forward_args=extras)
        np.testing.assert_allclose(result.predictions["output"], expected, rtol=0, atol=1e-12)

    def product(value: torch.Tensor) -> torch.Tensor:
        return value[:, 0] * value[:, 1]

    result = method.predict_mutations(x, mutations, target=product, additional_forward_args=extras)
    np.testing.assert_allclose(result.predictions["output"], truth.prod(1), rtol=0, atol=1e-12)
    assert result.effects().shape == (len(mutations),)


@pytest.mark.parametrize("method", ["standard_ism", "fastism"])
@pytest.mark.parametrize("two_heads", ["keras"], indirect=True)
def test_keras(method: str, two_heads: ab.SequenceModel, walks: list[tuple[int, int, int]]) -> None:
    x, random = one_hot(3, 4, 7), np.random.default_rng(0)
    mutations = [Mutation(n, p, random.normal(size=(4, 3))) for p in range(5) for n in range(3)]
    mutations += [Mutation(1, 2, "ACG", 1), Mutation(2, 6, "", 1)]
    result = ab.get_method(method)(two_heads).predict_mutations(x, mutations, target="all", batch_size=4)
    truth = two_heads.predict(np.stack([by_hand(x, mutation) for mutation in mutations]))
    assert_parity(dict(result.predictions), truth, 1e-10)
    assert_parity(dict(result.reference_predictions), two_heads.predict(x), 1e-10)
    assert bool(walks) == (method == "fastism")


def test_protein_in_channels_last_layout(walks: list[tuple[int, int, int]]) -> None:
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(20, 5, 3, padding=1), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x.transpose(1, 2)).relu().mean(2))

    torch.manual_seed(0)
    model = ab.as_sequence_model(ChannelsLast().double(), layout="NLA", alphabet="protein")
    sequences, mutated = ["MKVLAAGIW", "WWYYCCDDE"], ["MKVLPPPIW", "WWYYPPPDE", "MXXXAAGIW"]
    mutations = [Mutation(0, 4, "PPP"), Mutation(1, 4, "PPP"), *ab.knockouts(1, [1], 3, ab.PROTEIN)]
    result = ab.get_method("fastism")(model).predict_mutations(sequences, mutations, target="all")
    truth = model.predict(ab.PROTEIN.one_hot(mutated).astype(np.float64))
    assert_parity(dict(result.predictions), truth, 1e-10)
    assert sum(n * k * a for n, k, a in walks) == 2


def test_saturation_is_a_list_of_mutations() -> None:
    module, x = build("valid with crop").double(), one_hot(2, 4, LENGTH)
    method = ab.get_method("fastism")(module)
    mutations = [Mutation(n, p, letter) for n in range(2) for letter in "ACGT" for p in range(LENGTH)]
    listed = method.predict_mutations(x, mutations, target="all")
    for name, expected in method.attribute(x, target="all").predictions.items():
        found = listed.predictions[name].reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["conv, relu, norm, pool, dense", "residual, two heads", "recurrent tail"])
def test_same_whatever_the_budget_and_the_batch(name: str, walks: list[tuple[int, int, int]]) -> None:
    module, x, mutations = build(name).double(), one_hot(3, 4, LENGTH), mixture(3)
    mutations += [Mutation(0, 9, "".join(r)) for r in np.random.default_rng(3).choice(list("ACGT"), (400, 6))]
    whole = ab.get_method("fastism")(module).predict_mutations(x, mutations, target="all")
    largest = max(n * k * a for n, k, a in walks)
    walks.clear()
    small = ab.get_method("fastism")(module, memory_budget=2**20).predict_mutations(
        x, mutations, target="all", batch_size=2
    )
    assert max(n * k * a for n, k, a in walks) < largest
    assert max(n for n, _, _ in walks) == 2
    for output, expected in whole.predictions.items():
        np.testing.assert_allclose(small.predictions[output], expected, rtol=0, atol=1e-12)
    assert_parity(dict(whole.predictions), brute_force(module, x, mutations), 1e-10)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_very_short_sequences(length: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(4, 3, 5, padding="same"), nn.ReLU(), nn.Conv1d(3, 2, 3, padding=1)).double()
    x, random = one_hot(9, 4, length), np.random.default_rng(0)
    mutations = [
        Mutation(n, start, random.normal(size=(4, width)))
        for n in range(9)
        for width in range(1, length + 1)
        for start in ab.tiles(length, width)
    ]
    result = ab.get_method("fastism")(module).predict_mutations(x, mutations, target="all")
    assert_parity(dict(result.predictions), brute_force(module, x, mutations), 1e-10)


def test_float32_stays_close() -> None:
    module, x, mutations = build("residual, two heads"), one_hot(3, 4, LENGTH), mixture(3)
    result = ab.get_method("fastism")(module).predict_mutations(x.astype(np.float32), mutations, target="all")
    assert result.predictions["profile"].dtype == np.float32
    truth = brute_force(module.double(), x, mutations)
    assert_parity({name: values.astype(np.float64) for name, values in result.predictions.items()}, truth, 1e-5)


def test_model_that_cannot_be_captured_falls_back_and_says_so() -> None:
    class DataDependent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.cumsum(2).sum((1, 2))
            return y if float(y.sum()) > 0 else -y

    module, x, mutations = DataDependent().double(), one_hot(3, 4, LENGTH), mixture(3)
    with pytest.warns(FallbackWarning, match="torch.export cannot capture") as caught:
        result = ab.get_method("fastism")(module).predict_mutations(x, mutations)
    assert caught[0].filename == __file__
    assert "torch.export" in result.metadata["fallback"]
    slow = ab.get_method("standard_ism")(module).predict_mutations(x, mutations)
    np.testing.assert_array_equal(result.predictions["output"], slow.predictions["output"])


def test_self_check_names_the_first_layer_that_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution

    original = LinearConvolution.run

    def wrong(self: Any, operands: Any, window: Any, block: Any, form: Any) -> Any:
        result = original(self, operands, window, block, form)
        return self.give(block, result.window, delta=result.take_delta() * 1.01, is_masked=True)

    monkeypatch.setattr(LinearConvolution, "run", wrong)
    module, x, mutations = build("residual, two heads").double(), one_hot(3, 4, LENGTH), mixture(3)
    with pytest.raises(ab.errors.SelfCheckError, match="first at layer 'stem: conv1d'"):
        ab.get_method("fastism")(module).predict_mutations(x, mutations, target="all")
    unchecked = ab.get_method("fastism")(module, self_check=False)
    assert np.isfinite(unchecked.predict_mutations(x, mutations, target="all").predictions["count"]).all()


def test_model_is_left_as_it_was() -> None:
    module, x = build("conv, relu, norm, pool, dense").double().train(), one_hot(3, 4, LENGTH)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    method = ab.get_method("fastism")(module)
    method.predict_mutations(x, mixture(3), target="all")
    with pytest.raises(ab.errors.InvalidInputError, match=r"mutations\[0\]"):
        method.predict_mutations(x, [Mutation(9, 0, "A")], target="all")
    with pytest.raises(ZeroDivisionError):
        method.predict_mutations(x, mixture(3), target=lambda value: 1 / 0)
    assert all(part.training for part in module.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@dataclass(frozen=True)
class BlockSizes:
    """Blocks of positions a stride of 3 apart, of at most so many mutations."""

    most: int
    stride: int = 3
    workers: int = 1

    def positions_at_once(self, alternatives: int, width: int) -> int:
        return self.most // alternatives

    def division(self, at_once: int, positions: Sequence[int], rows: tuple[int, int], workers: int) -> Division:
        return Division.counted(positions, self.stride, at_once // rows[0])


def blocks_of(
    sites: list[tuple[int, int]], *, block: float = 0, group: float = 0, most: int = 100
) -> list[tuple[list[int], list[Any]]]:
    """What shared_blocks makes of substitutions two letters wide at (sequence, position).

    A substitution saves 1, as a block and a group cost; so does an unmutated pass.
    """
    edits = [Edit(sequence, position, np.zeros((4, 2)), 2) for sequence, position in sites]
    listed = Sites.of(edits, range(100))
    chosen = worthwhile(sharing(listed, 3), Savings(1, block, group, 1))
    groups = shared_blocks(listed, chosen, BlockSizes(most), 50)
    return [(group.sequences.tolist(), [batch.every.tolist() for batch in group.batches]) for group in groups]


def test_sharing_takes_each_substitution_once_and_leaves_thin_ones() -> None:
    """Worked by hand: three sequences share a site, one has a site of its own that fills a block, one a thin site.

    Their own sites take a second unmutated pass, as much as a substitution.
    """
    sites = [(s, 6) for s in (2, 0, 1) for _ in range(3)] + [(1, 9)] * 8 + [(0, 3)] * 7
    shared = ([0, 1, 2], [[[[3, 4, 5]], [[6, 7, 8]], [[0, 1, 2]]]])
    own, thin = ([1], [[[list(range(9, 17))]]]), ([0], [[[list(range(17, 24))]]])
    assert blocks_of(sites, block=6.9) == [shared, own]
    assert blocks_of(sites, block=5.9) == [shared, own, thin]
    assert blocks_of(sites, block=9.1) == []
    # Neighbours of one phase share a block, so that each may hold fewer.
    assert blocks_of([(0, 3), (0, 9), (0, 6)], block=2.9) == [([0], [[[[0], [1], [2]]]])]
    assert blocks_of([(0, 3), (0, 9), (0, 7)], block=2.9) == []


def test_blocks_of_a_group_share_its_cost() -> None:
    """Two blocks of three substitutions each save 6, of which the blocks take 4.2, and their group the rest or less."""
    sites = [(0, position) for position in (0, 3, 1, 4, 6, 7)]
    shared = [([0], [[[[0], [1], [2], [3], [4], [5]]]])]
    assert blocks_of(sites, block=2.1, group=1.7) == shared
    assert blocks_of(sites, block=2.1, group=1.9) == []
    # Another sequence with such sites is in the same group.
    both = [*sites, *((1, position) for _, position in sites)]
    assert [sequences for sequences, _ in blocks_of(both, block=2.1, group=1.9)] == [[0, 1]]
    # Blocks that cost more than they save are left out, and change nothing of the group.
    assert blocks_of([*sites, (0, 8), (0, 8)], block=2.1, group=1.7) == shared


def test_sharing_keeps_to_the_size_of_a_block() -> None:
    sites = [(s, 6) for s in range(5)]
    assert blocks_of(sites, most=2) == [([0, 1], [[[[0]], [[1]]]]), ([2, 3], [[[[2]], [[3]]]]), ([4], [[[[4]]]])]
    assert blocks_of([(0, 6)] * 5, most=2) == [([0], [[[[0, 1]]], [[[2, 3]]], [[[4]]]])]


def test_one_more_mutation_of_a_sequence_is_not_worth_another_reference() -> None:
    both = [(0, 6), (1, 6)]
    assert blocks_of([*both, (1, 1)]) == [([0, 1], [[[[0]], [[1]]]])]
    assert blocks_of([*both, (1, 1), (1, 2)]) == [([0, 1], [[[[0]], [[1]]]]), ([1], [[[[2], [3]]]])]
    assert blocks_of([*both, (2, 1)]) == [([0, 1], [[[[0]], [[1]]]]), ([2], [[[[2]]]])]
