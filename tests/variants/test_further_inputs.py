"""Further inputs beside the alleles: rows of records and bigWig tracks, held against full passes by the model alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest
import torch

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, ModelError, UnsupportedError
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.tracks import Tracks
from attribution_bench.sequences.variants import Variant, normalised
from attribution_bench.variants import score_variants
from variants_by_hand import LENGTH, contig_letters, random_variants, spliced

pytestmark = pytest.mark.filterwarnings("ignore:1.bw has no values of short")
COMPLEMENT = str.maketrans("ACGT", "TGCA")


class Controlled(torch.nn.Module):
    """(N, 4, L), a vector (N, 2) and tracks (N, C, L) to a number that depends on where everything is."""

    def __init__(self, channels: int, *, layout: str = "NAL") -> None:
        super().__init__()
        self.layout = layout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            self.stem = torch.nn.Conv1d(4 + channels, 5, 7).double()
            self.dense = torch.nn.Linear(5 * (LENGTH - 6) + 2, 1).double()

    def forward(self, x: torch.Tensor, vector: torch.Tensor, track: torch.Tensor) -> torch.Tensor:
        if self.layout == "NLA":
            x, track = x.transpose(1, 2), track.transpose(1, 2)
        hidden = torch.tanh(self.stem(torch.cat([x, track], 1)))
        return self.dense(torch.cat([hidden.flatten(1), vector], 1))


class Flat(torch.nn.Module):
    """(N, 4, L) and a track (N, L), which would be mixed over the batch if it had an axis of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.places = torch.nn.Parameter(torch.arange(LENGTH, dtype=torch.float64))

    def forward(self, x: torch.Tensor, track: torch.Tensor) -> torch.Tensor:
        return (torch.tanh(x[:, 0] + 2 * x[:, 1] - x[:, 2]) * track * self.places).sum(-1, keepdim=True)


@pytest.fixture(scope="module")
def values(genome: Genome) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {contig: random.integers(-5, 9, (2, length)).astype(float) for contig, length in genome.contigs.items()}


@pytest.fixture(scope="module")
def files(genome: Genome, values: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two tracks in which zeros are positions without a value; the second one has nothing of a contig."""
    folder, paths = tmp_path_factory.mktemp("tracks"), []
    for number in range(2):
        paths.append(folder / f"{number}.bw")
        with pyBigWig.open(str(paths[-1]), "w") as file:
            contigs = [contig for contig in genome.contigs if (number, contig) != (1, "short")]
            file.addHeader([(contig, genome.contigs[contig]) for contig in contigs])
            for contig in contigs:
                places = np.flatnonzero(values[contig][number])
                file.addEntries([contig] * len(places), places, ends=places + 1, values=values[contig][number][places])
    values["short"][1] = 0
    return paths


def window_values(values: np.ndarray, middle: int) -> np.ndarray:
    """Values (C, L) of the window about a position, 0 beyond the contig."""
    padded = np.pad(values, ((0, 0), (LENGTH, LENGTH)))
    start = middle - LENGTH // 2 + LENGTH
    return padded[:, start : start + LENGTH]


def one_hot(sequence: str) -> np.ndarray:
    letters = np.array(["ACGT".find(letter) for letter in sequence])
    return (letters == np.arange(4)[:, None]).astype(float)


def predicted(model: torch.nn.Module, *inputs: np.ndarray) -> float:
    with torch.no_grad():
        return float(model(*(torch.from_numpy(np.ascontiguousarray(one)[None]) for one in inputs)))


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("channels", [1, 2])
def test_vectors_and_tracks_are_those_of_full_passes(
    genome: Genome, values: dict[str, np.ndarray], files: list[Path], strand: str, channels: int
) -> None:
    variants = [
        *random_variants(genome, "chr1", 15, seed=1),
        *random_variants(genome, "gap", 5, seed=2),
        *random_variants(genome, "short", 10, seed=3),
    ]
    # One site twice, with other rows: its window is not to be shared.
    variants += [variants[0]] * 2
    vectors = np.random.default_rng(0).normal(size=(len(variants), 1 if strand == "both" else 2))
    model = Controlled(channels)
    if strand == "both":
        model.dense = torch.nn.Linear(5 * (LENGTH - 6) + 1, 1).double()
    given = (vectors, Tracks(files[:channels], genome))
    options: dict[str, Any] = {"length": LENGTH, "largest_unknown_share": 1, "strand": strand}
    method = ab.get_method("fastism")(model, min_speedup=0)
    scores = score_variants(method, variants, genome, additional_forward_args=given, **options)
    apart = set()
    for number, (variant, score) in enumerate(zip(variants, scores, strict=True)):
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        track = window_values(values[variant.contig][:channels], form.position)
        # The files of two strands change places on the other one.
        turned = track[::-1, ::-1] if channels == 2 else track[:, ::-1]
        numbers = []
        for sequence in spliced(genome, variant, form.position):
            other = sequence.translate(COMPLEMENT)[::-1]
            each = {"+": (sequence, track), "-": (other, turned)}
            numbers.append(
                np.mean(
                    [
                        predicted(model, one_hot(each[one][0]), vectors[number], each[one][1])
                        for one in ("+-" if strand == "both" else strand)
                    ]
                )
            )
        assert score.effects["reference_prediction"] == pytest.approx(numbers[0], abs=1e-10, rel=0)
        assert score.effects["delta"] == pytest.approx(numbers[1] - numbers[0], abs=1e-10, rel=0)
        if variant == variants[0]:
            apart.add(round(numbers[0], 9))
    assert len(apart) == 3


def test_a_track_may_lack_the_axis_of_channels(
    genome: Genome, values: dict[str, np.ndarray], files: list[Path]
) -> None:
    variants = random_variants(genome, "chr1", 8, seed=5)
    method = ab.get_method("standard_ism")(Flat())
    tracks = Tracks(files[0], genome)
    for variant, score in zip(
        variants,
        score_variants(method, variants, genome, length=LENGTH, additional_forward_args=tracks),
        strict=True,
    ):
        form = normalised(variant, genome)
        assert isinstance(form, Variant)
        track = window_values(values["chr1"], form.position)[0]
        numbers = [predicted(Flat(), one_hot(one), track) for one in spliced(genome, variant, form.position)]
        assert score.effects["delta"] == pytest.approx(numbers[1] - numbers[0], abs=1e-10, rel=0)


def test_models_that_have_letters_last_have_channels_last(genome: Genome, files: list[Path]) -> None:
    variants = random_variants(genome, "chr1", 6, seed=6)
    vectors = np.zeros((6, 2))
    given = (vectors, Tracks(files, genome))
    both = [
        score_variants(
            ab.get_method("standard_ism")(ab.as_sequence_model(Controlled(2, layout=layout), layout=layout)),
            variants,
            genome,
            length=LENGTH,
            additional_forward_args=given,
        )
        for layout in ("NAL", "NLA")
    ]
    for one, other in zip(*both, strict=True):
        assert one.effects == pytest.approx(other.effects, abs=1e-12, nan_ok=True)


def test_rows_must_be_as_many_as_records(genome: Genome, files: list[Path], tmp_path: Path) -> None:
    letters = contig_letters(genome, "chr1")
    variants = [Variant("chr1", place, letters[place], "ACGT"["CGTA".index(letters[place])]) for place in (90, 91, 92)]
    method, tracks = ab.get_method("standard_ism")(Controlled(1)), Tracks(files[0], genome)
    np.save(tmp_path / "rows.npy", np.zeros((2, 2)))
    for rows, message in ((2, "has 2 rows, but there are more"), (4, "has 4 rows, but there are 3 records")):
        scores = score_variants(
            method, variants, genome, length=LENGTH, additional_forward_args=(np.zeros((rows, 2)), tracks)
        )
        with pytest.raises(InvalidInputError, match=message):
            list(scores)
    for wrong in (np.zeros((0, 2)), np.array(["a"]), 3.0, tmp_path / "none.npz"):
        with pytest.raises(InvalidInputError):
            score_variants(method, variants, genome, length=LENGTH, additional_forward_args=wrong)
    with pytest.raises(ModelError, match="does not take"):
        score_variants(method, variants, genome, length=LENGTH, additional_forward_args=tmp_path / "rows.npy")
    with pytest.raises(UnsupportedError, match="order on the other strand"):
        score_variants(
            method,
            variants,
            genome,
            length=LENGTH,
            strand="both",
            additional_forward_args=(np.zeros((3, 2)), tracks),
        )


def test_tracks_of_another_genome_and_what_is_none_are_refused(
    genome: Genome, files: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def written(name: str, *contigs: tuple[str, int]) -> Path:
        with pyBigWig.open(str(tmp_path / name), "w") as file:
            file.addHeader(list(contigs))
            file.addEntries([contigs[0][0]], [3], ends=[4], values=[1.0])
        return tmp_path / name

    (tmp_path / "text.bw").write_text("chr1 1 2 3\n")
    (tmp_path / "empty.bw").write_bytes(b"")
    (tmp_path / "cut.bw").write_bytes(files[0].read_bytes()[:100])
    for path, message in (
        (written("other.bw", ("1", 400)), "use one name for both"),
        (written("longer.bw", ("chr1", 401)), "of another genome: its chr1 has 401 letters"),
        (tmp_path / "none.bw", "there is no bigWig"),
        (tmp_path / "text.bw", "cannot be read"),
        (tmp_path / "empty.bw", "cannot be read"),
        (tmp_path / "cut.bw", "cannot be read"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            Tracks(path, genome)
    with pytest.raises(InvalidInputError, match="at least one"):
        Tracks([], genome)
    assert Tracks(files[0], genome).cautions == ()
    assert Tracks(files, genome).cautions == ("1.bw has no values of short: 0 there",)
    assert "Traceback" not in capfd.readouterr().err
