"""Unmutated activations in the engine's order: laid out as far as they are read, and no further."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attribution_bench_plugins.fastism.execution.unmutated import LaidOut, Padded, Part
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.values.window import Window


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (labelled(("n", "c", "p"), 5, 20), (3, 5, 20)),
        (labelled(("n", "p", "c"), 5, 20), (3, 20, 5)),
        (labelled(("n", "p"), 1, 20), (3, 20)),
        (labelled(("n", "c"), 5, 1), (3, 5)),
        (labelled(("n", "cp"), 5, 20), (3, 100)),
    ],
)
def test_every_range_is_that_of_the_whole(layout: Layout, shape: tuple[int, ...]) -> None:
    native = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    whole = layout.to_engine(native)
    activation = LaidOut(layout, native, lambda: native)
    for low, high in ((12, 15), (3, 5), (14, 18), (7, 7), (-4, 2), (19, 30), (0, 20)):
        low_here, high_here = (min(max(place, 0), layout.length) for place in (low, high))
        array = activation.array(low, high)
        assert array.shape == whole.shape
        assert torch.equal(array[:, low_here:high_here], whole[:, low_here:high_here])


def test_no_more_is_laid_out_than_is_read() -> None:
    native = torch.randn(2, 4, 30)
    activation = LaidOut(labelled(("n", "c", "p"), 4, 30), native, lambda: native)
    activation.array(10, 12)
    native.fill_(7)
    array = activation.array(9, 14)
    assert (array[:, 10:12] != 7).all(), "laid out before"
    assert (array[:, [9, 12, 13]] == 7).all(), "laid out now"


class Largest(TorchDispatchMode):
    """Remembers the numbers of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not function.is_view:
            self.numbers = max(self.numbers, result.numel())
        return result


@pytest.mark.parametrize("layout", [labelled(("n", "c", "p"), 4, 1000), labelled(("n", "p", "c"), 4, 1000)])
def test_no_more_is_laid_out_of_a_part_than_is_kept(layout: Layout) -> None:
    native = torch.randn(2, *(4 if label == "c" else 1000 for label in layout.labels if label != "n"))
    kept = Part(layout.in_order(native)[:, 100:150], range(100, 150))
    with Largest() as largest:
        part = LaidOut(layout, kept, lambda: native).between(110, 140)
    assert torch.equal(part, layout.to_engine(native)[:, 110:140])
    assert largest.numbers <= 2 * 50 * 4


def test_windows_beyond_the_ends_hold_zeros() -> None:
    layout = labelled(("n", "c", "p"), 4, 30)
    native = torch.randn(2, 4, 30)
    activation = LaidOut(layout, native, lambda: native)
    padded = Padded(activation.length, activation.array)
    inside = padded.view(Window(10, 0, 3), 1)
    beyond = padded.view(Window(-2, 30, 5), 2)
    again = padded.view(Window(10, 0, 3), 1)
    whole = layout.to_engine(native)
    assert torch.equal(inside[:, 0, 0], whole[:, 10:13])
    assert torch.equal(again, inside)
    assert torch.equal(beyond[:, 0, 0, 2:], whole[:, :3])
    assert torch.equal(beyond[:, 1, 0, :2], whole[:, 28:])
    assert (beyond[:, 0, 0, :2] == 0).all()
    assert (beyond[:, 1, 0, 2:] == 0).all()
