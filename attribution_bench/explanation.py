"""What a fast method will do with a model, layer by layer, for people to read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from attribution_bench.models import Target


@dataclass(frozen=True)
class LayerExplanation:
    """One operation of the model under the mutation of one letter."""

    layer: str
    """The model's own name for it."""
    mode: str
    """``windowed``: only what the mutation reaches. ``global``: no positions are left. ``full``: every position.
    ``constant``: no mutation reaches it."""
    reached: int | None
    """Positions that a mutation in the middle of the sequence makes the engine compute; None for all of a layer whose
    axes could not be followed."""
    length: int | None
    """Positions of the layer, 1 where it has none; None where its axes could not be followed."""
    products_standard: int
    """Multiply-accumulates of a full pass over one mutated sequence; an estimate where `mode` is ``full``."""
    products_fast: int
    """Multiply-accumulates as planned."""
    bytes: int
    """Memory of its values for one mutated sequence as planned."""
    reason: str
    """Why it needs every position; empty otherwise."""
    kind: str
    """The framework's name for the operation, by which it can be given a rule; empty where the engine has its own
    words for what the layer does."""

    @property
    def extent(self) -> str:
        """What is reached of how much, in words."""
        return "all" if self.length is None else f"{self.reached} of {self.length}"


@dataclass(frozen=True)
class Explanation:
    """A fast method's plan for one model at one length."""

    length: int
    layers: tuple[LayerExplanation, ...]
    predicted_ratio: float
    """How many times cheaper than standard ISM, by counted work; 1 where it runs as standard ISM."""
    advice: tuple[str, ...]
    """What stands in the way of more, and what would have to change."""
    fallback: str
    """Why every mutation takes a full pass; empty where the engine runs."""

    def __str__(self) -> str:
        header = ("layer", "mode", "reached", "MMAC standard", "MMAC fast", "kB", "reason")
        rows = [
            (
                layer.layer,
                layer.mode,
                layer.extent,
                f"{layer.products_standard / 1e6:.3g}",
                f"{layer.products_fast / 1e6:.3g}",
                f"{layer.bytes / 1e3:.3g}",
                layer.reason,
            )
            for layer in self.layers
        ]
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
        ]
        return "\n".join(line.rstrip() for line in (*lines, "", self.summary, *self.advice))

    @property
    def summary(self) -> str:
        """One line on how fast it should be."""
        return (
            f"Predicted from counted work: {self.predicted_ratio:.1f} times as fast as standard ISM "
            f"at {self.length} letters."
        )


@runtime_checkable
class Explains(Protocol):
    """A method whose tags say ``explains``."""

    def explain(self, length: int, *, additional_forward_args: Any = None, target: "Target" = "all") -> Explanation:
        """Return what the method does with its model.

        Parameters
        ----------
        length
            Letters of a sequence.
        additional_forward_args
            The model's further inputs, at least one row of each.
        target
            What of the outputs is asked for; every output by default.
        """
        ...
