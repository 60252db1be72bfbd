"""The truth that the demonstration models learn: what sites of the motifs do to accessibility and to reads.

A site is a stretch that scores more than 0.7 of its motif's best score (log-odds, on either strand); its strength grows
from 0 there to 1 at the best score. What sites do adds up:

- CTCF raises, alone.
- FOS::JUN raises, less.
- GATA1 and SPI1 raise together, when their middles are at most 29 letters apart (20 between their ends): by the
  product of their strengths. One without the other does nothing.
- REST lowers.

Accessibility is the sum as a logit. The logarithm of the expected number of reads is a sum of the same effects, and
each raising site leaves a footprint in the profile: a peak of reads on either side of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from attribution_bench.demo.motifs import Motif, planted_motifs

SITE_THRESHOLD = 0.7
PAIR = ("GATA1", "SPI1")
PAIR_REACH = 29
ACCESSIBILITY = {"CTCF": 4.0, "FOS::JUN": 3.0, "GATA1": 2.0, "SPI1": 2.0, "REST": -4.0}
"""Contribution of a site of full strength to the logit; GATA1 and SPI1 share that of their pair."""
ACCESSIBILITY_OFFSET = -2.0
LOG_READS = {"CTCF": 0.9, "FOS::JUN": 0.7, "GATA1": 0.45, "SPI1": 0.45, "REST": -0.9}
"""Contribution of a site of full strength to the natural logarithm of the expected number of reads."""
READS_OFFSET = float(np.log(100))
FOOTPRINT_SHARE = 4.0
"""Reads in the footprint of a site of full strength over the reads spread evenly over the sequence."""
FOOTPRINT_MARGIN = 4
"""Letters between a site's end and the peak of reads beside it."""
FOOTPRINT_DEVIATION = 2.0
"""Standard deviation of a peak, in letters."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What the sites in sequences do."""

    effects: Mapping[str, NDArray[np.float32]]
    """Motif -> (N, L): strength in [0, 1] at the middle letter of each site that acts."""

    @cached_property
    def accessibility(self) -> NDArray[np.float32]:
        """(N,) logit of being accessible."""
        return self._sum(ACCESSIBILITY) + np.float32(ACCESSIBILITY_OFFSET)

    @cached_property
    def log_reads(self) -> NDArray[np.float32]:
        """(N,) natural logarithm of the expected number of reads."""
        return self._sum(LOG_READS) + np.float32(READS_OFFSET)

    @cached_property
    def profile(self) -> NDArray[np.float32]:
        """(N, L) share of the reads at each position; each row sums to 1."""
        first = next(iter(self.effects.values()))
        profile = np.full(first.shape, 1 / first.shape[1], dtype=np.float32)
        for motif in planted_motifs():
            if LOG_READS[motif.name] > 0:
                kernel = _footprint(motif)
                profile += FOOTPRINT_SHARE * _smoothed(self.effects[motif.name], kernel)
        profile /= profile.sum(axis=1, keepdims=True)
        return profile

    def _sum(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        total = sum(np.float32(weights[name]) * effect.sum(axis=1) for name, effect in self.effects.items())
        return np.asarray(total, dtype=np.float32)


def site_strengths(letters: NDArray[np.int8], motif: Motif) -> NDArray[np.float32]:
    """Return (N, L): strength in [0, 1] of the site, on either strand, whose middle letter is at each position.

    Parameters
    ----------
    letters
        (N, L) indices of the letters in ACGT.
    motif
        The middle letter of its W columns is column (W - 1) // 2.
    """
    best = motif.log_odds.max(axis=0).sum()
    scores = np.maximum(_scores(letters, motif), _scores(letters, motif.reverse_complement))
    strengths = np.clip((scores / best - SITE_THRESHOLD) / (1 - SITE_THRESHOLD), 0, 1)
    middle = (motif.width - 1) // 2
    placed = np.zeros(letters.shape, dtype=np.float32)
    placed[:, middle : middle + strengths.shape[1]] = strengths
    return placed


def truth_of(letters: NDArray[np.int8]) -> Truth:
    """Find every site in sequences, planted or not, and what it does.

    Parameters
    ----------
    letters
        (N, L) indices of the letters in ACGT.
    """
    strengths = {motif.name: site_strengths(letters, motif) for motif in planted_motifs()}
    first, second = (strengths[name] for name in PAIR)
    together = {PAIR[0]: first * _nearby(second), PAIR[1]: second * _nearby(first)}
    return Truth({**strengths, **together})


def _scores(letters: NDArray[np.int8], motif: Motif) -> NDArray[np.float32]:
    """(N, L - W + 1) log-odds in bits of the stretch that starts at each position."""
    starts = letters.shape[1] - motif.width + 1
    scores = np.zeros((len(letters), starts), dtype=np.float32)
    for column, log_odds in enumerate(motif.log_odds.T.astype(np.float32)):
        scores += log_odds[letters[:, column : column + starts]]
    return scores


def _nearby(strengths: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, L) greatest strength at most `PAIR_REACH` letters away."""
    padded = np.pad(strengths, ((0, 0), (PAIR_REACH, PAIR_REACH)))
    nearby = strengths.copy()
    for offset in range(2 * PAIR_REACH + 1):
        np.maximum(nearby, padded[:, offset : offset + strengths.shape[1]], out=nearby)
    return nearby


def _footprint(motif: Motif) -> NDArray[np.float32]:
    """Two normal peaks around a middle letter, which sum to 1 together; an odd number of letters."""
    distance = motif.width // 2 + FOOTPRINT_MARGIN
    reach = distance + int(4 * FOOTPRINT_DEVIATION)
    offsets = np.abs(np.arange(-reach, reach + 1)) - distance
    peaks = np.exp(-0.5 * (offsets / FOOTPRINT_DEVIATION) ** 2)
    return np.asarray(peaks / peaks.sum(), dtype=np.float32)


def _smoothed(effect: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, L) the kernel around each position, times the effect there; what lies beyond the ends is lost."""
    reach, length = len(kernel) // 2, effect.shape[1]
    smoothed = np.zeros((len(effect), length + 2 * reach), dtype=np.float32)
    for row, position in np.argwhere(effect):
        smoothed[row, position : position + len(kernel)] += effect[row, position] * kernel
    return smoothed[:, reach : reach + length]
