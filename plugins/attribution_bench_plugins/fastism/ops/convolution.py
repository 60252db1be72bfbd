"""Convolution, transposed convolution, and dense layers on the channel axis: linear maps with taps."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.tiles import add_up, overlap
from attribution_bench_plugins.fastism.convolution.toom_cook import (
    EVALUATED_TYPES,
    LONGEST_KERNEL,
    PolyphaseToomCook,
)
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.kernels.direct import DirectKernel, direct_cost
from attribution_bench_plugins.fastism.kernels.kernel import WindowKernel, compiles
from attribution_bench_plugins.fastism.kernels.overlap_add import OverlapAddKernel, overlap_add_cost
from attribution_bench_plugins.fastism.kernels.toom_cook import ToomCookKernel, toom_cook_cost
from attribution_bench_plugins.fastism.numerics.tilings import Polyphase
from attribution_bench_plugins.fastism.ops.base import (
    Block,
    Form,
    Fusion,
    LazyOperand,
    NoRuleError,
    Operand,
    Operation,
    only,
    sole_reached,
)
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow
from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.window import Window, strided
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed

PRODUCT_BYTES = 2**21
"""Size of the tile of products that is overlap-added at a time, so that it stays in a core's cache."""
VECTOR = 16
"""Convolutions compute output channels in groups of this many, however few there are."""
SCATTER_OVERHEAD = 30
"""What adding up one product costs, in multiply-accumulates; measured on one two-core CPU, as is the next."""
PASSES = 50
"""What a kernel saves of the passes over the result that follow, for each of its numbers."""
KERNEL_BYTES = 2**20
"""Largest taps of a scatter kernel, which reads them for every row: they must stay in a core's cache."""
SCATTER_KERNEL_OVERHEAD = 8
"""What adding up one product costs a kernel."""
DIRECT_EXTRA_POSITIONS = 3
"""A convolution takes as long as for so many more input positions."""
FEW = 8
"""Below this many output channels, a product takes several positions at once."""
PADDED = 50
"""What it costs to fill up the last of such tiles, for each number of the input: all are copied."""
TILES = (8, 10, 12, 9, 7, 6, 11, 5)
"""How many, the best first; measured on one CPU."""

Algorithm = Literal["Toom-Cook", "Toom-Cook kernel", "direct", "direct kernel", "overlap-add", "overlap-add kernel"]
KERNELS: tuple[Algorithm, ...] = ("Toom-Cook kernel", "direct kernel", "overlap-add kernel")
"""Ways that are compiled."""


class LinearConvolution(Operation):
    """A linear map with taps at stride one: ``output[i * up + j * dilation + offset] += input[i] @ taps[j]``.

    Several ways lead to the same numbers. Scatter: every input position times all taps in one product, then an
    overlap-add. Gather: a convolution over the window padded with zeros, which needs no overlap-add; on a CPU it skips
    the padding, so that it multiplies nothing but the window either. Both are there as kernels, too, where such can be
    compiled: they go over the window once, and do what follows on the way (see `Deferred`). Evaluate: fewer
    products, of sums of positions with sums of taps (see `InterleavedTaps`). The cheapest is taken for each window.
    """

    def __init__(
        self,
        node: Node,
        operands: Sequence[Operand],
        layout: Layout,
        taps: Tensor,
        *,
        up: int,
        dilation: int,
        offset: int,
    ) -> None:
        """Prepare taps of shape (groups, K, C_in / groups, C_out / groups)."""
        super().__init__(node, operands)
        self.layout, self.up, self.dilation, self.offset = layout, up, dilation, offset
        self.scale = Fraction(up)
        self.set_taps(taps)

    def set_taps(self, taps: Tensor) -> None:
        """Lay the taps out for products and look-ups."""
        self.taps = taps
        self.groups, self.kernel, self.c_in, self.c_out = taps.shape
        self.matrix = taps.permute(0, 2, 1, 3).reshape(self.groups, self.c_in, self.kernel * self.c_out).contiguous()
        self.pair_table: Tensor | None = None
        self.kernel_2d: Tensor | None = None
        self.evaluated: PolyphaseToomCook | None = None
        self.kernels: dict[Algorithm, WindowKernel] = {}
        self.tile_matrices: dict[int, Tensor] = {}
        self.algorithms: dict[tuple[int, int], Algorithm] = {}

    def scale_outputs(self, scale: Tensor) -> bool:
        """Multiply every output channel."""
        self.set_taps(self.taps * scale.view(self.groups, 1, 1, self.c_out))
        return True

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return every position that a tap leads to."""
        window = windows[0]
        assert window is not None
        reach = (self.kernel - 1) * self.dilation
        start = window.start * self.up + self.offset
        return Window(start, window.step * self.up, (window.width - 1) * self.up + reach + 1)

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return those of the cheapest way."""
        (source,) = (w for w in windows if w is not None)
        if self._looks_up(source):
            return 0
        products, algorithm = source.width * self.kernel, self._algorithm(source, window)
        if algorithm in ("direct", "direct kernel"):
            shift = self.window([source]).start - window.start
            products = sum(max(0, high - low) for low, high in self._landing(source.width, window.width, shift))
        elif algorithm in ("Toom-Cook", "Toom-Cook kernel"):
            products = Polyphase(source.width, self.kernel, self.dilation).products
        return products * self.groups * self.c_in * self.c_out

    def partial_sums(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return the values and products that are added up."""
        (source,) = (w for w in windows if w is not None)
        if self.kernel == 1 or self._looks_up(source):
            return 0
        algorithm = self._algorithm(source, window)
        if algorithm == "Toom-Cook":
            return Polyphase(source.width, self.kernel, self.dilation).products * (self.c_in + self.c_out)
        return source.width * self.kernel * self.groups * self.c_out if algorithm == "overlap-add" else 0

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return whether a kernel runs it."""
        (source,) = (w for w in windows if w is not None)
        kernel = not self._looks_up(source) and self._algorithm(source, window) in KERNELS
        return Fusion.STARTS if kernel else Fusion.NONE

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        operand = only(operands)
        rows = operand.shape[:3]
        natural = self.window([operand.window])
        if isinstance(operand, MutatedInput) and self.groups == 1 and self.dilation == 1:
            out = self._look_up(operand).view(*rows, natural.width, self.c_out)
            return self.give(block, natural, delta=out)
        algorithm = self._algorithm(operand.window, window)
        if algorithm in KERNELS:
            return self._defer(algorithm, operand, window, block)
        x = operand.delta()
        if self.kernel == 1 and self.up == 1 and self.groups == 1:
            return self.give(block, natural, delta=(x @ self.matrix[0]), is_masked=self.offset == 0)
        window = window if window.step == natural.step else natural
        x = x.reshape(-1, operand.window.width, x.shape[-1])
        shift = natural.start - window.start
        if algorithm == "direct":
            out = self._gather(x, window.width, shift)
        elif algorithm == "Toom-Cook":
            out = _cropped(self._evaluate(x), window.width, shift)
        elif self.groups == 1 and self.c_out < FEW:
            out = self._scatter_few(x, window.width, shift)
        else:
            out = self._scatter(x, window.width, shift)
        return self.give(block, window, delta=out.view(*rows, window.width, out.shape[-1]))

    def _looks_up(self, source: Window) -> bool:
        return source.width == 1 and self.operands[0].node.op == "input" and self.groups == self.dilation == 1

    def _algorithm(self, source: Window, window: Window) -> Algorithm:
        """Return the cheapest way from one width to another."""
        widths = source.width, window.width
        if widths not in self.algorithms:
            costs = self._costs(*widths)
            self.algorithms[widths] = min(costs, key=lambda algorithm: costs[algorithm])
        return self.algorithms[widths]

    def _costs(self, source: int, width: int) -> dict[Algorithm, int]:
        """Return what each way that there is costs, in multiply-accumulates."""
        if self.groups > 1:
            return {"direct": 0} if self.up == 1 else {"overlap-add": 0}
        costs: dict[Algorithm, int] = {
            "overlap-add": source * self.kernel * (self.c_in + SCATTER_OVERHEAD) * self.c_out
        }
        if self.c_out < FEW:
            costs["overlap-add"] += PADDED * source * self.c_in
        on_cpu, by_kernel = devices.on_cpu(self.taps), compiles(self.taps)
        saved = PASSES * width * self.c_out
        if by_kernel and self.dilation == 1 and self.taps.nbytes <= KERNEL_BYTES:
            sums = SCATTER_KERNEL_OVERHEAD * source * self.kernel * self.c_out
            costs["overlap-add kernel"] = overlap_add_cost(self.taps[0], source) + sums - saved
        if self.up > 1:
            return costs
        if by_kernel:
            costs["direct kernel"] = direct_cost(self.taps[0], source, self.dilation) - saved
        computed = source + DIRECT_EXTRA_POSITIONS if on_cpu else width
        costs["direct"] = computed * self.kernel * self.c_in * -(-self.c_out // VECTOR) * VECTOR
        if self.taps.dtype in EVALUATED_TYPES and self.kernel <= LONGEST_KERNEL:
            costs["Toom-Cook"] = Polyphase(source, self.kernel, self.dilation).cost(self.c_in, self.c_out)
            evaluated = toom_cook_cost(self.taps[0], source, self.dilation) if by_kernel else None
            if evaluated is not None:
                costs["Toom-Cook kernel"] = evaluated - saved
        return costs

    def _landing(self, source: int, width: int, shift: int) -> list[tuple[int, int]]:
        """Return for each tap the input positions, from one to before the other, that it leads into the window."""
        ats = [j * self.dilation + shift for j in range(self.kernel)]
        # The first i with i * up + at >= 0, and the first past the end.
        return [(max(0, -(at // self.up)), min(source, -((at - width) // self.up))) for at in ats]

    def _look_up(self, mutation: MutatedInput) -> Tensor:
        """Return the difference of two columns of taps for each pair of letters: the first layer multiplies nothing."""
        if self.pair_table is None:
            letters = F.pad(self.matrix[0], (0, 0, 0, 1))  # the unknown letter is all zero
            self.pair_table = (letters[None] - letters[:, None]).flatten(0, 1)
        return self.pair_table.index_select(0, mutation.pairs())

    def _scatter(self, x: Tensor, width: int, shift: int) -> Tensor:
        """Return (rows, width, C_out) from (rows, source width, C_in) by one product and an overlap-add."""
        rows, source, _ = x.shape
        channels = self.groups * self.c_out
        out = x.new_zeros((rows, width, channels))
        if self.groups == 1 and not devices.on_cpu(x):
            return self._scatter_by_taps(x, out, shift)
        tile = self._tile(x)
        for first in range(0, rows, tile):
            part, into = x[first : first + tile], out[first : first + tile]
            if self.groups == 1:
                products = (part.reshape(-1, self.c_in) @ self.matrix[0]).view(-1, source, self.kernel, channels)
            else:
                grouped = part.reshape(-1, source, self.groups, self.c_in)
                products = torch.einsum("rwgi,gio->rwgo", grouped, self.matrix)
                products = products.view(-1, source, self.groups, self.kernel, self.c_out).transpose(2, 3)
                products = products.reshape(-1, source, self.kernel, channels)
            self._overlap_add(products, into, shift)
        return out

    def _scatter_by_taps(self, x: Tensor, into: Tensor, shift: int) -> Tensor:
        """Add to (rows, width, C_out) one product a tap, which is never written by itself."""
        for j, (low, high) in enumerate(self._landing(x.shape[1], into.shape[1], shift)):
            at = j * self.dilation + shift
            if low < high:
                reached = into[:, low * self.up + at : (high - 1) * self.up + at + 1 : self.up]
                tap = self.taps[0, j].expand(len(x), -1, -1)
                torch.baddbmm(reached, x[:, low:high], tap, out=reached)
        return into

    def _tile(self, x: Tensor) -> int:
        """Return how many of (rows, source width, C_in) are multiplied before their products are added up."""
        if not devices.on_cpu(x):
            return x.shape[0]
        return max(1, PRODUCT_BYTES // (x.element_size() * x.shape[1] * self.kernel * self.groups * self.c_out))

    def _scatter_few(self, x: Tensor, width: int, shift: int) -> Tensor:
        """Do the same for few output channels, by tiles of positions of which one product gives all that they reach.

        Profile heads have one or two channels and long kernels: their products are many and small.
        """
        rows, source, _ = x.shape
        tile = next((size for size in TILES if source % size == 0), TILES[0])
        tiles, step = -(-source // tile), tile * self.up
        if tiles * tile > source:
            x = F.pad(x, (0, 0, 0, tiles * tile - source))
        if tile not in self.tile_matrices:
            self.tile_matrices[tile] = self._tile_matrix(tile)
        pieces = x.reshape(rows, tiles, tile * self.c_in) @ self.tile_matrices[tile]
        pieces = torch.unflatten(pieces, 2, (-1, self.c_out))
        out = x.new_empty((rows, (tiles + overlap(pieces.shape[2] - step, step)) * step, self.c_out))
        add_up(pieces, step, out)
        return _cropped(out, width, shift)

    def _tile_matrix(self, tile: int) -> Tensor:
        """Return the taps of a tile's every position, (tile * C_in, reached positions * C_out)."""
        reached = max(tile * self.up, (tile - 1) * self.up + (self.kernel - 1) * self.dilation + 1)
        matrix = self.taps.new_zeros((tile, self.c_in, reached, self.c_out))
        for i in range(tile):
            for j in range(self.kernel):
                matrix[i, :, i * self.up + j * self.dilation] += self.taps[0, j]
        return matrix.flatten(2).flatten(0, 1)

    def _overlap_add(self, products: Tensor, into: Tensor, shift: int) -> None:
        """Add products (rows, source, K, C) at ``i * up + j * dilation + shift`` of (rows, width, C), what fits in."""
        source, width = products.shape[1], into.shape[1]
        if self.dilation == 1 and source < self.kernel:
            flat = into.flatten(1)
            channels = into.shape[2]
            for i in range(source):
                at = i * self.up + shift
                low, high = max(0, -at), min(self.kernel, width - at)
                if low < high:
                    flat[:, (at + low) * channels : (at + high) * channels] += products[:, i, low:high].flatten(1)
            return
        for j, (low, high) in enumerate(self._landing(source, width, shift)):
            at = j * self.dilation + shift
            if low < high:
                into[:, low * self.up + at : (high - 1) * self.up + at + 1 : self.up] += products[:, low:high, j]

    def _defer(self, algorithm: Algorithm, operand: Windowed, window: Window, block: Block) -> Windowed:
        """Return the windows as a kernel will compute them, with what follows."""
        if algorithm not in self.kernels:
            self.kernels.setdefault(algorithm, self._kernel(algorithm))
        kernel, length = self.kernels[algorithm], self.layout.length
        return LazyWindow(block.unmutated, self.node.name, length, window, kernel, operand, block.program)

    def _kernel(self, algorithm: Algorithm) -> WindowKernel:
        if algorithm == "overlap-add kernel":
            return OverlapAddKernel(self.taps[0], up=self.up, offset=self.offset)
        kernel = DirectKernel if algorithm == "direct kernel" else ToomCookKernel
        return kernel(self.taps[0], dilation=self.dilation, offset=self.offset)

    def _evaluate(self, x: Tensor) -> Tensor:
        """Return (rows, natural width, C_out) from (rows, source width, C_in) by values at points."""
        if self.evaluated is None:
            self.evaluated = PolyphaseToomCook(self.taps[0], self.dilation)
        return self.evaluated(x)

    def _gather(self, x: Tensor, width: int, shift: int) -> Tensor:
        """Return (rows, width, C_out) from (rows, source width, C_in) by a convolution."""
        if self.kernel_2d is None:
            kernel = self.taps.flip(1).permute(0, 3, 2, 1).reshape(self.groups * self.c_out, self.c_in, 1, self.kernel)
            self.kernel_2d = kernel.contiguous(memory_format=torch.channels_last)
        reach = (self.kernel - 1) * self.dilation
        # Output w reads inputs from w - shift - reach to w - shift.
        left, right = shift + reach, width - shift - x.shape[1]
        if left < 0:
            x, left = x[:, -left:], 0
        if right < 0:
            x, right = x[:, : x.shape[1] + right], 0
        padding = max(left, right)
        image = x.transpose(1, 2).unsqueeze(2)
        out = F.conv2d(image, self.kernel_2d, None, 1, (0, padding), (1, self.dilation), self.groups)
        out = out.squeeze(2).transpose(1, 2)
        return out.narrow(1, padding - left, width)


def _cropped(x: Tensor, width: int, shift: int) -> Tensor:
    """Return (rows, width, C) that begins `shift` positions before x; zero where x is not."""
    return x if shift == 0 and x.shape[1] == width else F.pad(x, (0, 0, shift, width - shift - x.shape[1]))


class ChannelMap(Operation):
    """A linear map of one of several channel axes, the same at every position and place: nothing is mixed but it."""

    def __init__(
        self, node: Node, operands: Sequence[Operand], source: Layout, weight: Tensor, channel_axis: int
    ) -> None:
        """Prepare a weight of shape (C_out, C_in)."""
        super().__init__(node, operands)
        self.layout = source.with_axis(channel_axis, weight.shape[0])
        self.around, self.matrix = source.around(channel_axis), weight.t().contiguous()

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return those of the window's positions."""
        return window.width * self.around[0] * self.around[2] * self.matrix.numel()

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        operand = only(operands)
        split = torch.unflatten(operand.delta(), 4, self.around)
        out = (split.transpose(5, 6) @ self.matrix).transpose(5, 6).flatten(4)
        return self.give(block, operand.window, delta=out, is_masked=True)


class StridedConvolution(Operation):
    """A convolution with a stride above one: every output position gathers its inputs."""

    def __init__(
        self,
        node: Node,
        operands: Sequence[Operand],
        layout: Layout,
        weight: Tensor,
        *,
        stride: int,
        dilation: int,
        padding: int,
        groups: int,
    ) -> None:
        super().__init__(node, operands)
        self.layout, self.stride, self.dilation, self.padding, self.groups = layout, stride, dilation, padding, groups
        self.weight = weight
        self.kernel = weight.shape[2]
        self.scale = Fraction(1, stride)

    def scale_outputs(self, scale: Tensor) -> bool:
        """Multiply every output channel."""
        self.weight = self.weight * scale[:, None, None]
        return True

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return every output position whose taps touch the window."""
        window = windows[0]
        assert window is not None
        return strided(window, kernel=self.kernel, stride=self.stride, dilation=self.dilation, padding=self.padding)

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return those of every output position."""
        return window.width * self.weight.numel()

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        operand = only(operands)
        x, rows = operand.delta(), operand.shape[:3]
        natural = self.window([operand.window])
        if natural.width == 0:
            return self.give(block, natural, delta=x.new_zeros((*rows, 0, self.weight.shape[0])), is_masked=True)
        # The first output of the window reads inputs from here on, relative to the input window.
        first = natural.start * self.stride - self.padding - operand.window.start
        last = first + (natural.width - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        x = F.pad(x, (0, 0, -first, last - operand.window.width)).flatten(0, 2)
        out = F.conv1d(x.transpose(1, 2), self.weight, None, self.stride, 0, self.dilation, self.groups)
        out = out.transpose(1, 2).contiguous()
        return self.give(block, natural, delta=out.view(*rows, natural.width, out.shape[-1]))


def convolution(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``conv``: weight (C_out, C_in / groups, K); stride, padding (left, right), dilation, groups, the axes."""
    p = node.parameters
    weight, stride, dilation, groups = p["weight"], p["stride"], p["dilation"], p["groups"]
    left, right = p["padding"]
    source = sole_reached(node, operands)
    pointwise = weight.shape[2] == stride == groups == 1 and left == right == 0
    if pointwise and source.is_channels(p["channel_axis"]) and not source.plain:
        return ChannelMap(node, operands, source, weight[:, :, 0], p["channel_axis"])
    axes = _positions_and_channels(source, p["position_axis"], p["channel_axis"])
    reach = (weight.shape[2] - 1) * dilation
    length = (source.length + left + right - reach - 1) // stride + 1
    layout = labelled(axes, weight.shape[0], length)
    if stride > 1:
        return StridedConvolution(
            node, operands, layout, weight, stride=stride, dilation=dilation, padding=left, groups=groups
        )
    taps = weight.unflatten(0, (groups, -1)).flip(3).permute(0, 3, 2, 1)
    return LinearConvolution(node, operands, layout, taps, up=1, dilation=dilation, offset=left - reach)


def convolution_2d(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``conv2d``: a convolution over positions, where the other spatial axis does not matter.

    Weight (C_out, C_in / groups, K, K); stride, padding (before and after) and dilation of either spatial axis; the
    ``spatial_axes`` and the ``channel_axis``. The other spatial axis has size one, or holds all letters or channels
    and is covered by the kernel at one place only.
    """
    p = node.parameters
    source = sole_reached(node, operands)
    weight: Tensor = p["weight"]
    spatial, channel_axis = list(p["spatial_axes"]), p["channel_axis"]
    pointwise = {*weight.shape[2:], *p["stride"], p["groups"]} == {1} and not any(map(any, p["padding"]))
    if pointwise and source.is_channels(channel_axis):
        return ChannelMap(node, operands, source, weight[:, :, 0, 0], channel_axis)
    along = next((i for i, axis in enumerate(spatial) if source.axes[axis] == "p"), 1)
    other = spatial[1 - along]
    before, after = p["padding"][1 - along]
    size = source.axis_size(other)
    span = (weight.shape[2 + 1 - along] - 1) * p["dilation"][1 - along] + 1
    if not source.is_channels(other) or (size + before + after - span) // p["stride"][1 - along] != 0:
        raise NoRuleError(f"it runs over two of the axes {source.axes}, not over positions alone")
    if size == 1:
        if before % p["dilation"][1 - along]:
            raise NoRuleError("its kernel misses what it runs over")
        weight = weight.select(2 + 1 - along, before // p["dilation"][1 - along])
    elif source.axes[channel_axis] == "" and weight.shape[1] == 1 and span == size and before == 0:
        weight = weight.select(1, 0) if along == 1 else weight.select(1, 0).transpose(1, 2)
        source = source.relabelled(
            ["c" if i == channel_axis else "" if i == other else axis for i, axis in enumerate(source.axes)]
        )
    else:
        raise NoRuleError(f"it runs over two of the axes {source.axes}, not over positions alone")
    settings = {
        "weight": weight.contiguous(),
        "stride": p["stride"][along],
        "dilation": p["dilation"][along],
        "padding": p["padding"][along],
        "groups": p["groups"],
        "position_axis": spatial[along],
        "channel_axis": channel_axis,
    }
    seen = Operand(operands[0].name, source, operands[0].reached, operands[0].node)
    return convolution(replace(node, op="conv", parameters=settings), [seen, *operands[1:]])


def transposed_convolution(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``conv_transpose``: weight (C_in, C_out / groups, K), stride, padding (left), dilation, groups, the axes.

    The output's length is that of the node's shape.
    """
    p = node.parameters
    source = sole_reached(node, operands)
    axes = _positions_and_channels(source, p["position_axis"], p["channel_axis"])
    weight, stride, dilation = p["weight"], p["stride"], p["dilation"]
    length = node.shape[p["position_axis"]] if node.shape is not None else None
    if length is None:
        raise NoRuleError("its output length is not known")
    layout = labelled(axes, weight.shape[1] * p["groups"], length)
    taps = weight.unflatten(0, (p["groups"], -1)).permute(0, 3, 1, 2)
    return LinearConvolution(node, operands, layout, taps, up=stride, dilation=dilation, offset=-p["padding"])


def _positions_and_channels(layout: Layout, position_axis: int, channel_axis: int) -> list[str]:
    """Return the axes of an operation over positions that mixes channels; NoRuleError for another layout."""
    axes = [""] * len(layout.axes)
    axes[0], axes[position_axis], axes[channel_axis] = "n", "p", "c"
    if not layout.plain or any(mine not in ("", axis) for mine, axis in zip(layout.axes, axes, strict=True)):
        raise NoRuleError(f"it runs over axes {layout.axes}, not over the positions of a batch of channels")
    return axes
