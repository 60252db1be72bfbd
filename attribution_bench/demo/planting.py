"""Sequences with planted motifs, whose truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attribution_bench.demo.backgrounds import held_out_windows, shuffled, training_windows
from attribution_bench.demo.motifs import Motif, planted_motifs
from attribution_bench.demo.truth import ACCESSIBILITY, PAIR, truth_of
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.alphabet import DNA
from attribution_bench.sequences.fasta import Sequences
from attribution_bench.sequences.sites import Site

TOGETHER = "+"
SUFFICIENT = ("CTCF", TOGETHER.join(PAIR))
RAISING = ("CTCF", "FOS::JUN", TOGETHER.join(PAIR))
REPRESSOR = "REST"
ELEMENTS = (*RAISING, REPRESSOR, *PAIR)
"""What is planted at once: a site, or a pair of sites close enough to act."""
MIXED_SHARES = (0.17, 0.17, 0.29, 0.21, 0.08, 0.08)
MIXED_NUMBERS = (0.12, 0.30, 0.33, 0.18, 0.07)
"""Shares of the mixed sequences with 0, 1, 2, 3 and 4 elements."""
MIXED_SHARPNESS = (1.0, 4.0)
"""Range of the sharpness of sites (`Motif.sample`): from weak sites to nearly the consensus."""
DEMONSTRATION_SHARPNESS = 2.0
DEMONSTRATION_STRENGTH = 0.6
"""Least strength of a site shown."""
REPRESSED_SHARE = 0.4
"""Share of the sequences shown that hold a repressor's site."""
PAIR_GAPS = (2, 20)
"""Range of the letters between the two sites of a pair."""
EDGE = 8
"""Least number of letters between a site and an end of its sequence."""
TRIES = 1000


@dataclass(frozen=True, eq=False)
class PlantedSequences:
    """N sequences of L letters, what was planted in them, and what that does."""

    sequences: Sequences
    sites: tuple[Site, ...]
    """The planted sites that act, with the sign of their effect; a lone GATA1 or SPI1 is none."""
    accessibility: NDArray[np.float32]
    """(N,) true logit of being accessible."""
    log_reads: NDArray[np.float32]
    """(N,) natural logarithm of the expected number of reads."""
    profile: NDArray[np.float32]
    """(N, L) expected share of the reads at each position."""
    reads: NDArray[np.int32]
    """(N, L) simulated reads: Poisson counts around the expected ones."""

    @property
    def accessible(self) -> NDArray[np.bool_]:
        """(N,) labels: whether the true logit is above 0."""
        return self.accessibility > 0


@dataclass(frozen=True)
class _Planted:
    """A site as it was planted, whether it acts or not."""

    start: int
    motif: Motif
    strand: Literal["+", "-"]

    @property
    def middle(self) -> int:
        """Position of its middle letter, as the truth counts it."""
        return self.start + (self.motif.width - 1) // 2


def training_sequences(count: int, seed: int) -> PlantedSequences:
    """Return a mixture to learn from: 0 to 4 elements each, weak and strong, on windows kept for training.

    The same count and seed give the same sequences.

    Raises
    ------
    InvalidInputError
        The count is less than 1.
    """
    return _mixed(training_windows(), count, seed, "training")


def held_out_sequences(count: int, seed: int) -> PlantedSequences:
    """Return the same mixture on windows of the genome that training never sees; raises as `training_sequences`."""
    return _mixed(held_out_windows(), count, seed, "held-out")


def demonstration_sequences(count: int = 100, seed: int = 0) -> PlantedSequences:
    """Return accessible sequences with clear sites, on windows of the genome that training never sees.

    About three in five hold one or two raising elements: CTCF, FOS::JUN, or GATA1 close to SPI1. The others hold two
    elements, CTCF or GATA1 close to SPI1, and a site of REST, which lowers. The planted sites are all the sites that
    act: a sequence in which chance made another one is drawn again.

    The same count and seed give the same sequences.

    Raises
    ------
    InvalidInputError
        The count is less than 1.
    """
    _check(count)
    generator = np.random.default_rng(seed)
    motifs = _named_motifs()
    windows = held_out_windows()
    drawn = [_clean(windows[index % len(windows)], motifs, generator) for index in range(count)]
    letters = np.stack([row for row, _ in drawn])
    return _described(letters, [planted for _, planted in drawn], generator, "demonstration")


def _mixed(windows: tuple[str, ...], count: int, seed: int, name: str) -> PlantedSequences:
    _check(count)
    generator = np.random.default_rng(seed)
    motifs = _named_motifs()
    letters = shuffled(windows, count, generator)
    numbers = generator.choice(len(MIXED_NUMBERS), count, p=MIXED_NUMBERS)
    planted = []
    for row, number in zip(letters, numbers, strict=True):
        elements = [ELEMENTS[index] for index in generator.choice(len(ELEMENTS), number, p=MIXED_SHARES)]
        planted.append(_plant(row, elements, motifs, MIXED_SHARPNESS, generator))
    return _described(letters, planted, generator, name)


def _clean(
    window: str, motifs: Mapping[str, Motif], generator: np.random.Generator
) -> tuple[NDArray[np.int8], tuple[_Planted, ...]]:
    """Plant elements in shuffles of one window until the sites are those planted, strong, and raise in sum."""
    if generator.random() < REPRESSED_SHARE:
        elements = [*generator.choice(SUFFICIENT, 2), REPRESSOR]
    else:
        elements = list(generator.choice(RAISING, generator.integers(1, 3)))
    for _ in range(TRIES):
        row = shuffled((window,), 1, generator)[0]
        planted = _plant(row, elements, motifs, (DEMONSTRATION_SHARPNESS, DEMONSTRATION_SHARPNESS), generator)
        truth = truth_of(row[None])
        acting = {(name, int(middle)) for name, effect in truth.effects.items() for middle in np.flatnonzero(effect[0])}
        strong = all(truth.effects[site.motif.name][0, site.middle] >= DEMONSTRATION_STRENGTH for site in planted)
        if strong and acting == {(site.motif.name, site.middle) for site in planted} and truth.accessibility[0] > 0:
            return row, planted
    raise AssertionError(f"no clear sequence in {TRIES} shuffles of {window}")


def _plant(
    row: NDArray[np.int8],
    elements: Sequence[str],
    motifs: Mapping[str, Motif],
    sharpness: tuple[float, float],
    generator: np.random.Generator,
) -> tuple[_Planted, ...]:
    """Write sites into a sequence (L,), without overlap; an element that finds no room is left out."""
    free = np.zeros(len(row), dtype=bool)
    free[EDGE : len(row) - EDGE] = True
    planted = []
    for element in elements:
        parts = [(0, motifs[name]) for name in generator.permutation(element.split(TOGETHER))]
        if len(parts) == 2:
            gap = int(generator.integers(PAIR_GAPS[0], PAIR_GAPS[1] + 1))
            parts[1] = (parts[0][1].width + gap, parts[1][1])
        span = parts[-1][0] + parts[-1][1].width
        starts = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(free, span).all(axis=1))
        if not len(starts):
            continue
        start = int(generator.choice(starts))
        free[start : start + span] = False
        for offset, motif in parts:
            strand: Literal["+", "-"] = "+" if generator.random() < 0.5 else "-"
            placed = motif if strand == "+" else motif.reverse_complement
            row[start + offset : start + offset + motif.width] = placed.sample(generator.uniform(*sharpness), generator)
            planted.append(_Planted(start + offset, motif, strand))
    return tuple(planted)


def _described(
    letters: NDArray[np.int8], planted: Sequence[tuple[_Planted, ...]], generator: np.random.Generator, name: str
) -> PlantedSequences:
    truth = truth_of(letters)
    sites = []
    for index, row in enumerate(planted):
        for site in sorted(row, key=lambda site: site.start):
            if truth.effects[site.motif.name][index, site.middle] > 0:
                effect: Literal[1, -1] = 1 if ACCESSIBILITY[site.motif.name] > 0 else -1
                stop = site.start + site.motif.width
                sites.append(Site(index, site.start, stop, site.motif.name, site.strand, effect))
    sequences = Sequences(
        tuple(f"{name}_{index}" for index in range(len(letters))),
        tuple(np.frombuffer(DNA.letters.encode(), dtype=np.uint8)[row].tobytes().decode() for row in letters),
        f"{len(letters)} {name} sequences: JASPAR motifs planted in shuffled windows of phage lambda",
    )
    reads = generator.poisson(np.exp(truth.log_reads)[:, None] * truth.profile).astype(np.int32)
    return PlantedSequences(sequences, tuple(sites), truth.accessibility, truth.log_reads, truth.profile, reads)


def _named_motifs() -> dict[str, Motif]:
    return {motif.name: motif for motif in planted_motifs()}


def _check(count: int) -> None:
    if count < 1:
        raise InvalidInputError(f"count must be at least 1, not {count}")
