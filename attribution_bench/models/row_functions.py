"""The check that a function of an output takes each sequence by itself, which every method relies on."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import TargetError
from attribution_bench.models.differences import TOLERANCES, difference, scale
from attribution_bench.models.targets import Selection

AGAIN = 8
"""Further calls of a function on the same rows: what draws a few numbers may give the same by chance."""


class SelectableModel(Protocol):
    """What the check asks of a model, as `SequenceModel` has it."""

    @property
    def precision(self) -> Literal["full", "low"]:
        """How precisely the model computes."""
        ...

    def rows_of(self, value: Any, rows: Sequence[int]) -> Any:
        """Return some rows of an output, in any order and as often as they are listed."""
        ...

    def select(self, outputs: dict[str, Any], selection: Selection) -> Any:
        """Return the selected part of the outputs."""
        ...

    def to_numpy(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor as an array on the host."""
        ...


def check_function(model: SelectableModel, selection: Selection, value: Any) -> None:
    """Check what a caller's function makes of the predictions (2, *output) of two sequences that differ.

    It is called on them again, each with itself in the place of the other, and on twice as many rows.

    Raises
    ------
    TargetError
        Its value of a sequence depends on chance, on earlier calls, or on the rest of the batch.
    """

    def reduced(*rows: int) -> NDArray[Any]:
        return model.to_numpy(model.select({selection.name: model.rows_of(value, rows)}, selection))

    pair = reduced(0, 1)
    size = scale(pair) or 1.0
    # Calls of one shape differ by no more than what a device adds up in another order.
    rounding, other_rounding = (TOLERANCES[model.precision] * size / part for part in (100, 1))
    if any(difference(pair, reduced(0, 1)) > rounding for _ in range(AGAIN)):
        raise TargetError(
            "the target's function gives other values when it is called again on the same predictions: it draws random "
            "numbers, or keeps something from call to call; let it compute from the output alone"
        )
    alone = np.array([reduced(0, 0)[0], reduced(1, 1)[1]])
    longer = reduced(0, 1, 1, 0)
    if difference(pair, alone) > rounding or difference(pair[[0, 1, 1, 0]], longer) > other_rounding:
        raise TargetError(
            "the target's function mixes the sequences of a batch: its value of one depends on the others, so that no "
            "score would mean anything; let it work along the output's own axes, from axis 1 on, as "
            "`y.mean(1)` does and `y - y.mean(0)` or a factor of `len(y)` does not"
        )
