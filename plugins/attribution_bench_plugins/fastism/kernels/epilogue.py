"""Epilogues of kernels: elementwise steps that are applied to a kernel's sums before they are written."""

from dataclasses import dataclass
from typing import Literal

EpilogueStep = Literal["rectify", "add", "scale"]


@dataclass(frozen=True)
class Epilogue:
    """The elementwise steps that are fused into a kernel: nodes that follow its own, applied to the deltas."""

    steps: tuple[EpilogueStep, ...] = ()
    """In order, each at most once. ``rectify``: ReLU. ``add``: the delta of another node. ``scale``: each channel."""
    value: bool = False
    """Whether the value is written instead of the delta; no step follows a ReLU then."""

    @property
    def rectified(self) -> bool:
        """Whether a ReLU is among the steps."""
        return "rectify" in self.steps

    @property
    def reads_unmutated(self) -> bool:
        """Whether the unmutated activation is needed: as input of the ReLU, or to write the value."""
        return self.rectified or self.value


NO_EPILOGUE = Epilogue()
"""The epilogue without steps: sums are written as they are."""
