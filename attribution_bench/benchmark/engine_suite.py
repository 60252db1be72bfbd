"""The rows of the engine benchmark: fastISM beside its alternatives, over lengths and numbers of sequences."""

from collections.abc import Sequence
from functools import partial

from attribution_bench.benchmark.devices import resolve_device
from attribution_bench.benchmark.reproduction import SEED, build_architecture, check_names
from attribution_bench.benchmark.workloads import Row
from attribution_bench.errors import InvalidInputError
from attribution_bench.models import chrombpnet
from attribution_bench.registry import get_model, list_methods, list_models, list_peers
from attribution_bench.sequences import lambda_windows

ARCHITECTURES = ("basset", "factorized_basset", "bpnet", "chrombpnet")
LENGTHS = (500, 1000, 2000, 4000)
COUNTS = (1, 8, 64)
METHODS = ("fastism", "standard_ism", "integrated_gradients", "deepshap")
OWN_LENGTHS = {"chrombpnet": chrombpnet.LENGTH}
"""Architectures that are measured at the length of their published models, whatever lengths are asked for."""


def engine_rows(
    architectures: Sequence[str] = ARCHITECTURES,
    lengths: Sequence[int] = LENGTHS,
    counts: Sequence[int] = COUNTS,
    methods: Sequence[str] = METHODS,
    *,
    framework: str = "torch",
    device: str | None = None,
) -> tuple[Row, ...]:
    """Return a row for each architecture, length and number of windows of phage lambda.

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
        # What takes the shortest sequence takes the others; one that is too short fails here, before the first cell.
        get_model(architecture)(length=min(wanted), framework=framework, seed=SEED)
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
    return tuple(rows)
