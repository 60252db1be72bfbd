"""The rows of the engine benchmark: the fast method beside its alternatives, over lengths and numbers of sequences."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.devices import resolve_device
from attribution_bench.benchmark.reproduction import build_architecture, check_names
from attribution_bench.benchmark.workloads import Row
from attribution_bench.errors import AttributionBenchError, InvalidInputError
from attribution_bench.models import chrombpnet
from attribution_bench.registry import get_method, list_methods, list_models, list_peers, working_methods
from attribution_bench.sequences import lambda_windows

ARCHITECTURES = ("basset", "factorized_basset", "bpnet", "chrombpnet")
LENGTHS = (500, 1000, 2000, 4000)
COUNTS = (1, 8, 64)
OWN_LENGTHS = {"chrombpnet": chrombpnet.LENGTH}
"""Architectures that are measured at the length of their published models, whatever lengths are asked for."""


def default_methods() -> tuple[str, ...]:
    """Return the installed methods that the suite compares: fast ones, their baselines, and others of the paper.

    Fast ones compute only what a mutation affects, baselines take full passes. Of the paper's methods those that
    compare with other sequences are added: a single gradient costs too little to be an alternative in question.
    """
    tags = {name: method.tags for name, method in working_methods().items()}
    fast = [name for name in tags if tags[name].partial_passes]
    standard = [name for name in tags if tags[name].full_passes]
    return (*fast, *standard, *(name for name in paper.METHODS if name in tags and tags[name].needs_references))


def profiled_method(methods: Sequence[str]) -> str | None:
    """Return the first method whose tags say that it profiles itself; None without one.

    One that cannot be loaded is passed over: its cells will say why.
    """
    for name in methods:
        with suppress(AttributionBenchError):
            if get_method(name).tags.profiles:
                return name
    return None


def engine_rows(
    architectures: Sequence[str] = ARCHITECTURES,
    lengths: Sequence[int] = LENGTHS,
    counts: Sequence[int] = COUNTS,
    methods: Sequence[str] | None = None,
    *,
    framework: str = "torch",
    device: str | None = None,
) -> tuple[Row, ...]:
    """Return a row for each architecture, length and number of windows of phage lambda.

    The methods are those of `default_methods` unless others are given.

    Raises
    ------
    UnknownNameError
        A method or an architecture that nobody registers.
    InvalidInputError
        An unknown framework or device, a number of sequences below 1, or a length that an architecture does not take.
    SequenceError
        A length that the genome does not have.
    MissingDependencyError
        The framework is not installed; the message names the extra.
    """
    methods = default_methods() if methods is None else methods
    check_names("method", methods, [*list_methods(), *list_peers()])
    check_names("model", architectures, list_models())
    if not lengths or not counts or min(counts) < 1:
        raise InvalidInputError(
            f"give at least one length and one number of sequences of 1 or more, not {lengths}, {counts}"
        )
    where = resolve_device(framework, device)
    rows = []
    for architecture in architectures:
        own = OWN_LENGTHS.get(architecture)
        wanted = tuple(dict.fromkeys(lengths)) if own is None else (own,)
        rows += [
            Row(
                architecture,
                length,
                framework,
                partial(build_architecture, architecture, length, framework, where),
                lambda_windows(length, count),
                tuple(methods),
                counted=True,
            )
            for length in wanted
            for count in dict.fromkeys(counts)
        ]
        # What takes the shortest sequence takes the others; one that is too short fails here, before the first cell.
        build_architecture(architecture, min(wanted), framework, where)
    return tuple(rows)
