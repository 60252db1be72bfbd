"""Every option that takes a number says its bounds, and refuses what lies beyond them in one line."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from attribution_bench.cli.app import app
from attribution_bench.cli.options import Bounds
from attribution_bench.environment import MOST_THREADS, announce_threads, thread_count
from attribution_bench.errors import InvalidInputError, ModelError
from attribution_bench.models.loading import model_source

HUGE = "99999999999999999999999999"
LISTS = {"--lengths", "--batch-sizes", "--sequence-counts", "--extra-shape"}


@dataclass(frozen=True)
class Option:
    command: str
    name: str
    hidden: bool

    def __str__(self) -> str:
        return f"{self.command} {self.name}"


def number_options() -> list[Option]:
    """Every option whose type is a number, and those that take lists of numbers."""
    found = []
    for registered in app.registered_commands:
        assert registered.callback is not None
        command = registered.name or registered.callback.__name__
        for parameter, hint in get_type_hints(registered.callback, include_extras=True).items():
            if parameter == "return":
                continue
            value, *details = get_args(hint)
            (info,) = [detail for detail in details if hasattr(detail, "param_decls")]
            name = next(iter(info.param_decls or ()), None) or f"--{parameter.replace('_', '-')}"
            if name in LISTS or {int, float} & {value, *get_args(value)}:
                found.append(Option(command, name, bool(info.hidden)))
    return found


NUMBERS = number_options()
POSITIONAL = {
    "explain": ("basset",),
    "benchmark": ("basset",),
    "compare": ("basset", "absent.fa"),
    "plot": ("absent.npz",),
    "variants": ("basset", "absent.vcf", "--genome=absent.fa"),
}


def test_the_options_are_found() -> None:
    found = {option.name for option in NUMBERS}
    assert found >= {"--threads", "--budget", "--seed", "--count", "--repeated", "--offset", "--wrap", "--length"}
    assert found >= LISTS


@pytest.mark.parametrize("option", NUMBERS, ids=str)
def test_bounds_are_said_and_kept(command: Any, tmp_path: Path, option: Option) -> None:
    said = " ".join(command(option.command, "--help").out.split())
    assert option.hidden or re.search(rf"{option.name} \w+ .*?\([0-9.,]+ to [0-9.,]+", said)
    for value in (HUGE, f"-{HUGE}", "-1", "nan", "inf", "1e400", "", "1_0x", "\x1b[31m"):
        given = (*POSITIONAL.get(option.command, ()), f"{option.name}={value}")
        outcome = command(option.command, *given, *_output(option.command, tmp_path / "out" / "x.svg"))
        assert outcome.code == 2, value
        assert outcome.err.startswith("attribution-bench: ")
        assert outcome.err.count("\n") == 1
        assert option.name in outcome.err
        assert "\x1b" not in outcome.err
        assert not (tmp_path / "out").exists()
        if value in (HUGE, "-1") and not option.hidden:
            assert re.search(r"\([0-9.,]+ to [0-9.,]+[ a-z]*\)", outcome.err)


def _output(name: str, path: Path) -> tuple[str, ...]:
    return () if name == "explain" else ("--output", str(path))


def test_bounds_hold_both_ends() -> None:
    bounds = Bounds(1, 10)
    for number in (1, 10):
        bounds.check("--count", number)
    for number, side in ((0, "at least 1"), (11, "at most 10"), (float("nan"), "at most 10")):
        with pytest.raises(InvalidInputError, match=rf"--count: the count must be {side}, not {number} \(1 to 10\)"):
            bounds.check("--count", number)


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_threads_are_bounded_in_the_library_too(threads: int) -> None:
    for use in (announce_threads, lambda number: thread_count("torch", number).__enter__()):
        with pytest.raises(InvalidInputError, match=f"from 1 to {MOST_THREADS}, not {threads}"):
            use(threads)


@pytest.mark.parametrize("name", ["basset", "bpnet", "factorized_basset", "chrombpnet"])
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("length=abc", "the length of .* must be a whole number, such as .*length=2000, not 'abc'"),
        ("length=1e9", "must be a whole number"),
        ("length=1000.0", "must be a whole number"),
        ("length=٣", "must be a whole number"),
        ("length=" + "9" * 30, "must be a whole number"),
        ("length=", "'length=' is no option"),
        ("length", "'length' is no option"),
        ("=5", "'=5' is no option"),
        ("length=2000&", "'' is no option"),
        ("length=1000&length=2000", "length of .* is given twice"),
        ("length=-100", "sequences of at least .* letters, not length=-100"),
        ("length=0", "sequences of at least .* letters, not length=0"),
        ("length=1000000000", "at most .* letters, not length=1000000000"),
        ("seed=-1", "the seed must be from 0 to 4294967295, not -1"),
        ("seed=4294967296", "the seed must be"),
        ("seed=x", "seed must be a whole number, not 'x'"),
        ("unknown=3", "it takes length"),
        ("framework=jax", "unknown framework 'jax'"),
        ("framework=3", "unknown framework 3"),
    ],
)
def test_parameters_of_architectures(name: str, query: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        model_source(f"{name}?{query}").open()


@pytest.mark.parametrize("name", ["basset", "factorized_basset"])
@pytest.mark.parametrize("outputs", ["0", "-3", "100001", "x", "1.5"])
def test_numbers_of_outputs(name: str, outputs: str) -> None:
    with pytest.raises(InvalidInputError, match=r"outputs must be (at|a whole)"):
        model_source(f"{name}?outputs={outputs}").open()


def test_a_length_is_said_once() -> None:
    source = model_source("bpnet?length=200")
    source.open(length=200)
    with pytest.raises(ModelError, match="asked for with length=200, but for sequences of 300 letters"):
        source.open(length=300)


@pytest.mark.parametrize("query", ["length=abc", "length=-100", "length=0", "length=1000&length=2000", "unknown=3"])
def test_commands_name_a_wrong_parameter(command: Any, tmp_path: Path, query: str) -> None:
    sequences = tmp_path / "sequences.fa"
    sequences.write_text(f">a\n{'ACGT' * 25}\n>b\n{'GATT' * 25}\n")
    output = ("--output", tmp_path / "out")
    for arguments in (("benchmark", "MODEL", *output), ("explain", "MODEL"), ("compare", "MODEL", sequences, *output)):
        outcome = command(*(f"basset?{query}" if argument == "MODEL" else argument for argument in arguments))
        assert outcome.code == 2
        assert outcome.err.startswith("attribution-bench: ")
        assert outcome.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
