"""The motifs that are planted: count matrices of JASPAR, shipped with the package."""

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from attribution_bench.sequences.alphabet import DNA

UNIFORM_SHARE = 0.04
"""Share of uniform letters mixed into each column, so that no letter is impossible."""
INFORMATIVE_BITS = 0.75
"""Columns at the ends of a matrix that hold less information are not planted."""


@dataclass(frozen=True, eq=False)
class Motif:
    """What a protein binds, as counts of the letters seen at each position of its sites."""

    identifier: str
    """Identifier in JASPAR, with the version, such as ``MA0035.5``."""
    name: str
    counts: NDArray[np.float64]
    """(4, W), letters in the order ACGT."""

    @property
    def width(self) -> int:
        """Number of columns W."""
        return int(self.counts.shape[1])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(4, W), each column sums to 1: frequencies with 4% of uniform letters mixed in."""
        frequencies: NDArray[np.float64] = self.counts / self.counts.sum(axis=0)
        return (1 - UNIFORM_SHARE) * frequencies + UNIFORM_SHARE / len(DNA)

    @property
    def information(self) -> NDArray[np.float64]:
        """(W,) information of the columns in bits (Schneider and Stephens, Nucleic Acids Res. 18:6097, 1990)."""
        probabilities = self.probabilities
        information: NDArray[np.float64] = np.log2(len(DNA)) + (probabilities * np.log2(probabilities)).sum(axis=0)
        return information

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """(4, W) bits: log2 of the probability of a letter over that among uniform letters."""
        return np.log2(self.probabilities * len(DNA))

    @property
    def reverse_complement(self) -> "Motif":
        """The same motif read on the other strand."""
        return Motif(self.identifier, self.name, self.counts[::-1, ::-1])

    def trimmed(self) -> "Motif":
        """Return the motif without the columns at its ends that hold less than 0.75 bits."""
        informative = np.flatnonzero(self.information >= INFORMATIVE_BITS)
        return Motif(self.identifier, self.name, self.counts[:, informative[0] : informative[-1] + 1])

    def sample(self, sharpness: float, generator: np.random.Generator) -> NDArray[np.int8]:
        """Draw a site: (W,) indices of letters, each with its probability to the power `sharpness`, normalised.

        A sharpness of 1 draws sites as the matrix has them; greater ones draw sites nearer to the consensus.
        """
        powers = self.probabilities**sharpness
        cumulative = np.cumsum(powers / powers.sum(axis=0), axis=0)
        # The last row is 1 up to rounding, and is left out so that no draw exceeds it.
        letters: NDArray[np.int64] = (generator.random(self.width) > cumulative[:-1]).sum(axis=0)
        return letters.astype(np.int8)


def read_motifs() -> tuple[Motif, ...]:
    """Return the shipped motifs as JASPAR has them: CTCF, FOS::JUN, GATA1, SPI1 and REST."""
    content = json.loads((files("attribution_bench.demo") / "data" / "motifs.json").read_text(encoding="utf-8"))
    return tuple(
        Motif(
            record["identifier"],
            record["name"],
            np.array([record["counts"][letter] for letter in DNA.letters], dtype=np.float64),
        )
        for record in content["motifs"]
    )


def planted_motifs() -> tuple[Motif, ...]:
    """Return the shipped motifs, trimmed as they are planted."""
    return tuple(motif.trimmed() for motif in read_motifs())
