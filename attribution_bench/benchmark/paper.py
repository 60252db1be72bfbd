"""Table 1 of the fastISM paper, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

CITATION = (
    "Nair S, Shrikumar A, Schreiber J, Kundaje A. fastISM: performant in silico saturation mutagenesis for "
    "convolutional neural networks. Bioinformatics 38(9), 2397-2403 (2022), Table 1. doi:10.1093/bioinformatics/btac135"
)
GPU = "Tesla P100"
DEVICE = f"one NVIDIA {GPU}, TensorFlow 2.3"
AT_ONCE = 4096
"""Most sequences in a batch of the runs that the figures come from."""
AMORTISED = (
    "its notebook takes 2.70 s per 100 Basset sequences of 1000 letters with 4096 of them at once, and 72.6 s with 64"
)
"""What one figure of the table is with fewer sequences at once, by the notebook that the paper publishes."""
PROTOCOL = {
    "integrated_gradients": "Integrated Gradients takes 50 steps from zeros",
    "deepshap": "DeepSHAP takes 10 dinucleotide-shuffled references a sequence",
}
"""Method -> how the paper runs it, which its default options here are."""
METHODS = ("fastism", "standard_ism", "gradient_x_input", "integrated_gradients", "deepshap")
"""The methods, in the table's order, by their registered names."""
REFERENCE, REFERENCE_LABEL = "fastism", "fastISM"
"""The method that the paper's ratios are relative to, and its name in the paper."""
ARCHITECTURES = ("basset", "factorized_basset", "bpnet")
LENGTHS = (1000, 2000)


@dataclass(frozen=True)
class PaperRow:
    """One row: seconds per 100 sequences of each method."""

    architecture: str
    length: int
    seconds_per_100_sequences: Mapping[str, float]

    def ratio_to_fastism(self, method: str) -> float:
        """How many times fastISM's time the method took."""
        return self.seconds_per_100_sequences[method] / self.seconds_per_100_sequences[REFERENCE]


def _row(architecture: str, length: int, *seconds: float) -> PaperRow:
    return PaperRow(architecture, length, dict(zip(METHODS, seconds, strict=True)))


TABLE_1: tuple[PaperRow, ...] = (
    _row("basset", 1000, 2.70, 27.36, 0.04, 2.34, 1.75),
    _row("basset", 2000, 6.49, 100.44, 0.08, 4.61, 3.03),
    _row("factorized_basset", 1000, 5.47, 68.97, 0.09, 4.82, 2.64),
    _row("factorized_basset", 2000, 18.04, 262.24, 0.17, 9.47, 4.63),
    _row("bpnet", 1000, 28.97, 46.09, 41.49, 4399.0, 1743.0),
    _row("bpnet", 2000, 81.52, 173.96, 126.41, 12440.0, 6427.0),
)
