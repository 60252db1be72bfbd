"""bigWig tracks as further inputs of a job: held against the same numbers given as arrays, on both strands."""

from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs import Caution
from attribution_bench.jobs.further_inputs import checked_rows
from attribution_bench.sequences.fasta import Sequences
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.regions import Region, RegionSource, Windows
from attribution_bench.sequences.tracks import Tracks
from attribution_bench.storage import StoredScores

LENGTH, CONTIG = 20, 120
REGIONS = [
    Region("chr1", 30, 50, "inside", "+"),
    Region("chr1", 52, 70, "other_strand", "-"),
    Region("chr1", 0, 4, "before_the_contig", "-"),
    Region("chr9", 5, 9, "set_aside", "+"),
    Region("chr2", 10, 30, "no_values", "+"),
]


class Controlled(torch.nn.Module):
    """(N, 4, L) and tracks (N, 2, L) to a number."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.stem, self.dense = torch.nn.Conv1d(6, 3, 5), torch.nn.Linear(3 * (LENGTH - 4), 1)

    def forward(self, x: torch.Tensor, track: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.tanh(self.stem(torch.cat([x, track], 1))).flatten(1))


@pytest.fixture
def values(tmp_path: Path) -> np.ndarray:
    """Values (2, letters) of chr1, written to plus.bw and minus.bw; zeros are positions without one."""
    found = np.random.default_rng(1).integers(-2, 4, (2, CONTIG)).astype(float)
    for name, track in zip(("plus.bw", "minus.bw"), found, strict=True):
        places = np.flatnonzero(track)
        with pyBigWig.open(str(tmp_path / name), "w") as file:
            file.addHeader([("chr1", CONTIG)])
            file.addEntries(["chr1"] * len(places), places, ends=places + 1, values=track[places])
    return found


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), CONTIG))
    (tmp_path / "genome.fa").write_text(f">chr1\n{letters}\n>chr2\n{letters[:60]}\n")
    return Genome(tmp_path / "genome.fa")


def by_hand(values: np.ndarray) -> np.ndarray:
    """Values (regions, 2, L) in the order of each region's sequence."""
    padded = np.pad(values, ((0, 0), (LENGTH, LENGTH)))
    rows = np.zeros((len(REGIONS), 2, LENGTH))
    for row, region in zip(rows[:3], REGIONS, strict=False):
        start = (region.start + region.end) // 2 - LENGTH // 2 + LENGTH
        row[:] = padded[:, start : start + LENGTH]
        if region.strand == "-":
            row[:] = row[::-1, ::-1].copy()
    return rows


def test_tracks_give_the_scores_of_arrays_on_both_strands(genome: Genome, values: np.ndarray, tmp_path: Path) -> None:
    source = RegionSource(REGIONS, genome, Windows(LENGTH, overhang="pad", stranded=True), label="x")
    tracks, rows = Tracks([tmp_path / "plus.bw", tmp_path / "minus.bw"], genome), by_hand(values)
    told: list[Any] = []
    options = {"methods": ["standard_ism"], "shard_size": 2}
    ab.attribute_to_store(
        Controlled(), source, tmp_path / "one", additional_forward_args=tracks, observer=told.append, **options
    )
    assert [event.text for event in told if isinstance(event, Caution)] == [
        "plus.bw has no values of chr2: 0 there",
        "minus.bw has no values of chr2: 0 there",
    ]
    ab.attribute_to_store(Controlled(), source, tmp_path / "two", additional_forward_args=rows, **options)
    ab.attribute_to_store(
        Controlled(),
        source,
        tmp_path / "both",
        additional_forward_args={"control": tracks},
        both_strands=True,
        observer=told.append,
        **options,
    )
    read = {name: StoredScores(tmp_path / name).one("standard_ism", 1) for name in ("one", "two", "both")}
    np.testing.assert_array_equal(read["one"].scores, read["two"].scores)
    for number in (0, 1, 2, 4):
        one, two = (StoredScores(tmp_path / name).one("standard_ism", number).scores for name in ("one", "two"))
        np.testing.assert_array_equal(one, two)
        (letters,) = (source.read(number, number + 1)[0].sequence,)
        x, method = ab.as_sequence_model(Controlled()).alphabet.one_hot([letters]), ab.get_method("standard_ism")
        mean = [
            method(Controlled()).attribute(np.ascontiguousarray(turn(x)), additional_forward_args=turn(rows[[number]]))
            for turn in (lambda array: array, lambda array: array[:, ::-1, ::-1].copy())
        ]
        expected = (mean[0].scores + mean[1].scores[:, ::-1, ::-1]) / 2
        found = StoredScores(tmp_path / "both").one("standard_ism", number).scores
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        lambda rows: torch.tensor(rows),
        lambda rows: torch.tensor(rows).float().requires_grad_(),
        lambda rows: torch.tensor(rows).bfloat16(),
        lambda rows: rows.tolist(),
        lambda rows: [list(map(np.asarray, row)) for row in rows],
    ],
    ids=["tensor", "gradient", "half", "list", "lists of arrays"],
)
def test_a_mapping_holds_whatever_a_tuple_may_hold(
    genome: Genome, values: np.ndarray, tmp_path: Path, given: Any
) -> None:
    source, rows = RegionSource(REGIONS, genome, Windows(LENGTH, overhang="pad"), label="x"), by_hand(values)
    options = {"methods": ["gradient_x_input"]}
    for name, inputs in {"mapping": {"control": given(rows)}, "tuple": (rows,)}.items():
        ab.attribute_to_store(Controlled(), source, tmp_path / name, additional_forward_args=inputs, **options)
    found, expected = (StoredScores(tmp_path / name).one("gradient_x_input", 0) for name in ("mapping", "tuple"))
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("given", [[[1, 2], [3]], None, ["a"] * 5, torch.zeros(5).to_sparse(), np.array(["a"] * 5)])
def test_what_is_no_array_of_numbers_is_named(given: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"the further input 'control' (cannot be read|must hold numbers)"):
        checked_rows({"control": given}, 5)


def test_sequences_without_places_have_no_values(genome: Genome, values: np.ndarray, tmp_path: Path) -> None:
    sequences = Sequences(("a",), ("ACGT" * 5,), "x")
    tracks = Tracks([tmp_path / "plus.bw", tmp_path / "minus.bw"], genome)
    with pytest.raises(InvalidInputError, match="'a' has no place in a genome"):
        ab.attribute_to_store(
            Controlled(), sequences, tmp_path / "store", methods=["standard_ism"], additional_forward_args=tracks
        )
