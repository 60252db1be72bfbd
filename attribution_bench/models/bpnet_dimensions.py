"""Dimensions of the BPNet family, which the PyTorch and the Keras form of each model read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimensions:
    """Dimensions of one model of the family: a stem, dilated residual blocks, and a profile head."""

    channels: int
    stem_width: int
    """Taps of the first convolution."""
    dilations: tuple[int, ...]
    """One residual block each."""
    dilated_width: int
    """Taps of a block's convolution."""
    profile_width: int
    """Taps of the profile head."""

    @property
    def trimmed(self) -> int:
        """Positions by which the profile is shorter than the sequence where no convolution is padded."""
        widths = self.stem_width - 1, (self.dilated_width - 1) * sum(self.dilations), self.profile_width - 1
        return sum(widths)


BPNET = Dimensions(
    channels=64, stem_width=25, dilations=tuple(2**i for i in range(9)), dilated_width=3, profile_width=25
)
CHROMBPNET = Dimensions(
    channels=512, stem_width=21, dilations=tuple(2**i for i in range(1, 9)), dilated_width=3, profile_width=75
)
