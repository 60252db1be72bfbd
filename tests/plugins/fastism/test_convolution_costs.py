"""Costs of convolution algorithms: those of the models of the paper and of edge cases, pinned, and what is chosen."""

from dataclasses import dataclass

import pytest
import torch

from attribution_bench_plugins.fastism.convolution.choice import ALGORITHMS, cheapest
from attribution_bench_plugins.fastism.convolution.linear_filter import LinearFilter
from attribution_bench_plugins.fastism.kernels import compiling, register_tile
from attribution_bench_plugins.fastism.kernels.machine import Machine
from attribution_bench_plugins.fastism.values.window import Window


@dataclass(frozen=True)
class Case:
    """A filter on windows, with the costs of the algorithms that are available on a processor with AVX-512."""

    costs: dict[str, int]
    kernel: int
    channels: tuple[int, int]
    source: int
    with_compiler: tuple[str, int, int]
    """The algorithm that is chosen, its multiply-accumulates and its partial sums."""
    without_compiler: tuple[str, int, int]
    dilation: int = 1
    upsampling: int = 1
    extra: int = 0
    """Positions by which the output window is wider than what the taps reach; negative where it is cut."""
    dtype: torch.dtype = torch.float32


CASES = {
    "second layer of Basset": Case(
        {
            **{"overlap-add": 5082000, "direct kernel": 7354000, "direct": 6864000},
            **{"Toom-Cook": 2255000, "Toom-Cook kernel": 1948160},
        },
        kernel=11,
        channels=(300, 200),
        source=7,
        with_compiler=("Toom-Cook kernel", 1320000, 0),
        without_compiler=("Toom-Cook", 1320000, 11000),
    ),
    "dilated layer of BPNet": Case(
        {
            **{"overlap-add": 2400384, "direct kernel": 895044, "direct": 1671168},
            **{"Toom-Cook": 5078016, "Toom-Cook kernel": 715968},
        },
        kernel=3,
        channels=(64, 64),
        source=133,
        dilation=64,
        with_compiler=("Toom-Cook kernel", 1069056, 0),
        without_compiler=("direct", 1634304, 0),
    ),
    "profile head of BPNet": Case(
        {
            **{"overlap-add": 5810850, "overlap-add kernel": 2304202, "direct kernel": 36502713},
            **{"direct": 26880000, "Toom-Cook": 44764825},
        },
        kernel=25,
        channels=(64, 1),
        source=1047,
        with_compiler=("overlap-add kernel", 1675200, 0),
        without_compiler=("overlap-add", 1675200, 26175),
    ),
    "source narrower than the dilation": Case(
        {"overlap-add": 90240, "direct kernel": 9480, "direct": 98304, "Toom-Cook": 291840},
        kernel=3,
        channels=(64, 64),
        source=5,
        dilation=16,
        dtype=torch.float64,
        with_compiler=("direct kernel", 61440, 0),
        without_compiler=("overlap-add", 61440, 960),
    ),
    "output window wider than the reach": Case(
        {
            **{"overlap-add": 27000, "direct kernel": 15300, "direct": 23040},
            **{"Toom-Cook": 67600, "Toom-Cook kernel": 10640},
        },
        kernel=3,
        channels=(20, 20),
        source=9,
        dilation=2,
        extra=3,
        with_compiler=("Toom-Cook kernel", 5200, 0),
        without_compiler=("direct", 10800, 0),
    ),
    "more taps than Toom-Cook is searched for": Case(
        {"overlap-add": 4790016, "direct kernel": 5024328, "direct": 4561920},
        kernel=33,
        channels=(96, 96),
        source=12,
        with_compiler=("direct", 3649536, 0),
        without_compiler=("direct", 3649536, 0),
    ),
    "last stage of SpliceAI": Case(
        {
            **{"overlap-add": 325457344, "direct kernel": 169441708, "direct": 168103936},
            **{"blocked Toom-Cook kernel": 85062720},
        },
        kernel=41,
        channels=(32, 32),
        source=4001,
        dilation=25,
        with_compiler=("blocked Toom-Cook kernel", 80819200, 0),
        without_compiler=("direct", 167977984, 0),
    ),
    "last layer of SpliceAI, of which 101 positions are read": Case(
        {
            **{"overlap-add": 89559744, "direct kernel": 4618672, "direct": 4366336},
            **{"blocked Toom-Cook kernel": 9669184},
        },
        kernel=41,
        channels=(32, 32),
        source=1101,
        dilation=25,
        extra=-2000,
        with_compiler=("direct", 261120, 0),
        without_compiler=("direct", 261120, 0),
    ),
    "a long kernel on neighbouring positions": Case(
        {
            **{"overlap-add": 7280640, "overlap-add kernel": 6107136, "direct kernel": 6246864, "direct": 6340608},
            **{"Toom-Cook": 4843776, "blocked Toom-Cook kernel": 3943040},
        },
        kernel=9,
        channels=(128, 128),
        source=40,
        with_compiler=("blocked Toom-Cook kernel", 3440640, 0),
        without_compiler=("Toom-Cook", 1949696, 30464),
    ),
    "upsampling": Case(
        {"overlap-add": 222000, "overlap-add kernel": 86818},
        kernel=25,
        channels=(64, 1),
        source=40,
        upsampling=2,
        with_compiler=("overlap-add kernel", 64000, 0),
        without_compiler=("overlap-add", 64000, 1000),
    ),
    "taps too large for the overlap-add kernel": Case(
        {"overlap-add": 12487680},
        kernel=15,
        channels=(512, 512),
        source=3,
        upsampling=4,
        with_compiler=("overlap-add", 11796480, 23040),
        without_compiler=("overlap-add", 11796480, 23040),
    ),
    "element type without kernels": Case(
        {"overlap-add": 185156, "direct": 315392},
        kernel=7,
        channels=(64, 2),
        source=41,
        dilation=2,
        dtype=torch.bfloat16,
        with_compiler=("overlap-add", 36736, 574),
        without_compiler=("overlap-add", 36736, 574),
    ),
}


@pytest.mark.parametrize("compiler", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_costs_and_choices(name: str, compiler: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_tile, "host_machine", lambda: Machine(vector_bytes=64, vector_registers=32))
    monkeypatch.setattr(compiling, "has_compiler", lambda: compiler)
    case = CASES[name]
    taps = torch.zeros(1, case.kernel, *case.channels, dtype=case.dtype)
    filter_ = LinearFilter(taps, case.upsampling, case.dilation, offset=-2)
    width = filter_.output_window(Window(5, 1, case.source)).width + case.extra
    available = [each for each in (kind(filter_) for kind in ALGORITHMS) if each.is_available(case.source)]
    expected = {each: cost for each, cost in case.costs.items() if compiler or not each.endswith("kernel")}
    assert {each.name: each.cost(case.source, width) for each in available} == expected
    chosen = cheapest(available, case.source, width)
    counts = chosen.multiply_accumulates(case.source, width, shift=0), chosen.partial_sums(case.source)
    assert (chosen.name, *counts) == (case.with_compiler if compiler else case.without_compiler)


@pytest.mark.parametrize(("upsampling", "only"), [(1, "direct"), (2, "overlap-add")])
def test_groups_have_one_algorithm(upsampling: int, only: str) -> None:
    filter_ = LinearFilter(torch.zeros(2, 3, 8, 8), upsampling, dilation=1, offset=0)
    assert [kind.name for kind in ALGORITHMS if kind(filter_).is_available(9)] == [only]
