"""Window kernels: the interface of compiled functions that write a node's deltas on windows."""

from typing import ClassVar

from attribution_bench_plugins.fastism.kernels.epilogue import EpilogueStep
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.values.window import Window

ROW_PARAMETERS = ("first_row", "rows")
"""The first parameters: the chunk of rows that a call computes."""
PARAMETERS = (
    *ROW_PARAMETERS,
    *("x", "x_row", "x_moves", "x_entries", "x_listed", "x_start", "x_step", "x_width"),
    *("c_in", "x_multiples"),
    *("x_unmutated", "x_unmutated_sequence", "x_length"),
    *("taps", "kernel", "upsampling", "stride", "dilation", "offset"),
    *("out", "out_moves", "out_start", "out_step", "out_width", "c_out", "out_multiples"),
    *("unmutated", "unmutated_sequence", "scale"),
    *("other", "other_row", "other_moves", "other_start", "other_step", "other_width", "other_multiples"),
    *("count", "alternatives", "length", "scratch", "lists"),
    *("first", "columns", "inputs", "points", "evaluation", "interpolation", "group"),
)
"""The parameters of every kernel, in order; a kernel ignores those that it has no use for.

``*_row`` is the stride from one row to the next, in elements. ``*_moves`` is 1 where a tensor holds all rows, and 0
where it holds the rows of one chunk only. ``x_entries`` lists the place of each row in a table, if ``x_listed`` is 1,
and begins with a 0 otherwise. ``*_sequence`` is the stride from one sequence to the next. ``*_multiples`` are those of
`Window`, one for each of the `count` mutations. The last line is of Toom-Cook kernels.
"""
POINTERS = frozenset(
    {
        *(
            "x",
            "x_entries",
            "x_unmutated",
            "taps",
            "out",
            "unmutated",
            "scale",
            "other",
            "x_multiples",
            "out_multiples",
            "other_multiples",
            "scratch",
            "lists",
        ),
        *("evaluation", "interpolation"),
    }
)
"""The parameters that are addresses; the others are 64-bit integers."""


class WindowKernel:
    """A compiled function that writes the deltas of a node on windows, row by row, from those of another node.

    A row is one mutation of one sequence: ``(width, channels)``.
    """

    name: ClassVar[str]
    """Key of its code; see `compiling`."""
    steps: ClassVar[frozenset[EpilogueStep]] = frozenset({"rectify", "add", "scale"})
    """The steps that its epilogue may have."""
    reads_unmutated: ClassVar[bool] = False
    """Whether it reads the unmutated activations of both nodes, whatever its epilogue."""
    reads_outside: ClassVar[bool] = True
    """Whether it reads its source's deltas outside the sequence, which must be zero then."""

    def __init__(self, tile: RegisterTile, *, c_in: int, c_out: int, **arguments: int) -> None:
        """Take the kernel's own parameters (see `PARAMETERS`), as far as they are the same for every source window."""
        self.tile, self.c_in, self.c_out, self.arguments = tile, c_in, c_out, arguments

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the kernel's own parameters of each call that a source window takes: by default of one call."""
        return [self.arguments]

    def scratch(self, source: Window) -> int:
        """Return the number of elements of scratch memory that a call needs."""
        return 0

    def lists(self) -> int:
        """Return the number of 64-bit integers of scratch memory that a call needs."""
        return 0

    def least_rows(self, source: Window) -> int:
        """Return the fewest rows that a call should have: its weights are read from memory once a call."""
        return 1
