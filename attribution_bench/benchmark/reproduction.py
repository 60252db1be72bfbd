"""The rows of the paper's Table 1, checked before anything is measured."""

from collections.abc import Sequence
from functools import partial

from attribution_bench.benchmark.devices import FRAMEWORKS, check_framework, resolve_device
from attribution_bench.benchmark.workloads import Row
from attribution_bench.errors import InvalidInputError, MissingDependencyError, UnknownNameError
from attribution_bench.models import SequenceModel
from attribution_bench.models.loading import ModelSource
from attribution_bench.registry import list_methods, list_models, list_peers
from attribution_bench.sequences import Sequences, lambda_windows

WINDOWS = 100


def paper_rows(
    architectures: Sequence[str],
    lengths: Sequence[int],
    frameworks: Sequence[str],
    methods: Sequence[str],
    *,
    device: str | None = None,
    sequences: Sequences | None = None,
) -> tuple[Row, ...]:
    """Return a row for each architecture, length and framework, on 100 windows of phage lambda unless others are given.

    Raises
    ------
    UnknownNameError
        A method or an architecture that nobody registers.
    InvalidInputError
        An unknown framework or device, a length that an architecture or the sequences do not have.
    MissingDependencyError
        A framework that is not installed; the message names the extra.
    """
    check_names("method", methods, [*list_methods(), *list_peers()])
    check_names("model", architectures, list_models())
    for framework in frameworks:
        resolve_device(framework, device)
    windows = {length: windows_of(length, sequences) for length in dict.fromkeys(lengths)}
    for architecture in architectures:
        # What takes the shortest sequence takes the others; one that is too short fails here, before the first cell.
        build_architecture(architecture, min(windows), frameworks[0], resolve_device(frameworks[0], device))
    return tuple(
        Row(
            architecture,
            length,
            framework,
            partial(build_architecture, architecture, length, framework, resolve_device(framework, device)),
            windows[length],
            tuple(methods),
        )
        for framework in frameworks
        for architecture in architectures
        for length in windows
    )


def installed_frameworks() -> tuple[str, ...]:
    """Return the frameworks that are installed; raises MissingDependencyError when there is none."""
    found = []
    for framework in FRAMEWORKS:
        try:
            check_framework(framework)
        except MissingDependencyError:
            continue
        found.append(framework)
    if not found:
        raise MissingDependencyError.of("torch", "all", "running a model")
    return tuple(found)


def build_architecture(architecture: str, length: int, framework: str, device: str | None) -> SequenceModel:
    """Build a registered architecture with its default weights; raises ModelError where it takes no such length."""
    return ModelSource("built-in", architecture).open(length=length, framework=framework, device=device)


def check_names(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise UnknownNameError for the first unknown name, InvalidInputError for none at all or one given twice."""
    if not names:
        raise InvalidInputError(f"no {kind} was given; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    if len(set(names)) < len(names):
        raise InvalidInputError(f"a {kind} is given twice in {', '.join(names)}; give each once")


def windows_of(length: int, sequences: Sequences | None) -> Sequences:
    """Return the sequences given if they have that length, else windows of phage lambda; raises InvalidInputError."""
    if length < 1:
        raise InvalidInputError(f"a length must be at least 1, not {length}")
    if sequences is None:
        return lambda_windows(length, WINDOWS)
    if sequences.length != length:
        raise InvalidInputError(
            f"the sequences have {sequences.length} letters, so that length {length} cannot be measured on them; "
            f"leave the lengths out, or give sequences of {length}"
        )
    return sequences
