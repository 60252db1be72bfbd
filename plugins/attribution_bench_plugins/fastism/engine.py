"""From a request to predictions: capture, plan, groups of sequences, checks, and the fallback."""

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench import errors
from attribution_bench.attribution import RawAttribution, Request
from attribution_bench.deprecation import moved_names
from attribution_bench.errors import SelfCheckError
from attribution_bench.explanation import Explanation
from attribution_bench.models import OutputSpec, SequenceModel
from attribution_bench.models.targets import Selection
from attribution_bench_plugins.fastism.capture.from_torch import CaptureError
from attribution_bench_plugins.fastism.capture.source import Source, source_of
from attribution_bench_plugins.fastism.execution.blocks import Sizes, choose_sizes, mutate, phases, workers_for
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.explanation import explain, main_cause
from attribution_bench_plugins.fastism.graph.layout import labelled
from attribution_bench_plugins.fastism.ops.custom_rules import GivenRule, rules_for
from attribution_bench_plugins.fastism.planning.cost import LaunchCounts, Work
from attribution_bench_plugins.fastism.planning.plan import Plan, make_plan
from attribution_bench_plugins.fastism.planning.pooling_first import pool_first
from attribution_bench_plugins.fastism.planning.rewriting import split_joint_features
from attribution_bench_plugins.fastism.precision import products_in
from attribution_bench_plugins.fastism.self_check import first_divergence
from attribution_bench_plugins.standard_ism import StandardISM

LARGEST_DEFAULT_BUDGET = 4 * 2**30
"""Of memory that other programs need, too."""
FEW = "so few mutations take less time by full passes"


@dataclass(frozen=True)
class Options:
    """What the caller chose; see `FastISM`."""

    memory_budget: int | None
    self_check: bool
    rules: Mapping[str, GivenRule]
    min_speedup: float
    matmul_precision: str | None = None

    def budget(self, device: torch.device) -> int:
        """Return how many bytes the engine may use on a device."""
        return self.memory_budget or default_budget(device)


@dataclass(frozen=True)
class CompiledModel:
    """A model at one length."""

    plan: Plan | None
    """None where the model could not be captured."""
    work: Work | None
    """None where there is no plan."""
    ratio: float
    """How many times as fast as full passes the plan should be for many sequences; 1 where it is not run."""
    fallback: str
    """Why every mutation takes a full pass nevertheless; empty where the plan is run."""
    outputs: tuple[OutputSpec, ...] = ()
    fingerprint: Hashable = None
    """Of the weights that it was captured with."""
    checked: bool = False
    """Whether the plan's predictions were compared with the model's own."""

    def too_few(self, launches: LaunchCounts, options: Options) -> bool:
        """Whether so many mutations in so many pieces take less time by full passes, though more would not."""
        return self.work is not None and not self.fallback and self.work.ratio(launches) < options.min_speedup


def prepare(
    source: Source,
    length: int,
    extras: tuple[NDArray[Any], ...],
    outputs: tuple[OutputSpec, ...],
    options: Options,
) -> CompiledModel:
    """Capture a model in inference mode and plan it; a model that cannot be captured has no plan but a reason."""
    try:
        graph = pool_first(split_joint_features(source.capture(length, extras, outputs)))
    except CaptureError as error:
        return CompiledModel(None, None, 1.0, str(error))
    axes = ("n", "c", "p") if source.model.layout == "NAL" else ("n", "p", "c")
    plan = make_plan(graph, labelled(axes, len(source.model.alphabet), length), rules_for(graph, options.rules))
    sizes = choose_sizes(plan, source.dtype.itemsize, plan.letters - 1, source.kind, options.budget(source.device))
    launches = launches_of(plan, sizes, sizes.sequences, range(length), plan.letters - 1)
    work = Work.of(plan, source.kind)
    ratio = work.ratio(launches)
    if ratio < options.min_speedup:
        return CompiledModel(plan, work, 1.0, f"windows would save too little, {ratio:.2f} times ({main_cause(plan)})")
    return CompiledModel(plan, work, ratio, "")


def captured(
    source: Source,
    length: int,
    extras: tuple[NDArray[Any], ...],
    outputs: tuple[OutputSpec, ...],
    engines: dict[Any, CompiledModel],
    options: Options,
) -> CompiledModel:
    """Return what `prepare` does, from `engines` where nothing has changed since."""
    key = _key(length, extras)
    if key not in engines or engines[key].fingerprint != source.fingerprint:
        engines.clear()  # weights that have changed will not come back
        engines[key] = replace(
            prepare(source, length, extras, outputs, options), outputs=outputs, fingerprint=source.fingerprint
        )
    return engines[key]


def known_outputs(
    source: Source, length: int, extras: tuple[NDArray[Any], ...], engines: dict[Any, CompiledModel]
) -> tuple[OutputSpec, ...] | None:
    """Return the outputs of a model that was captured and has not changed since, else None."""
    known = engines.get(_key(length, extras))
    return known.outputs if known is not None and known.fingerprint == source.fingerprint else None


def _key(length: int, extras: tuple[NDArray[Any], ...]) -> Hashable:
    return length, tuple((extra.shape[1:], extra.dtype) for extra in extras)


def warn_of(engine: CompiledModel) -> None:
    """Tell the caller of the method that every mutation takes a full pass."""
    warnings.warn(f"fastISM falls back to standard ISM: {engine.fallback}", errors.FallbackWarning, stacklevel=5)


def attribute(source: Source, request: Request, engines: dict[Any, CompiledModel], options: Options) -> RawAttribution:
    """Compute the predictions of every mutation asked for."""
    model = source.model
    length, extras, outputs = request.one_hot.shape[2], request.extras, request.outputs
    letters, count = len(model.alphabet), len(request.one_hot)
    known = engines.get(_key(length, extras))
    # Said before anything that costs time: weights do not change the work.
    if known is not None and known.work is not None and known.fallback:
        warn_of(known)
        return _by_full_passes(model, request, known.fallback)
    alternatives = letters if (request.letters < 0).any() else letters - 1
    if known is not None and known.plan is not None:
        stride, every = known.plan.stride, len(request.positions) == length
        phases_at_least = min(stride, length) if every else len(np.unique(request.positions % stride))
        if known.too_few(LaunchCounts(count * len(request.positions) * alternatives, phases_at_least, 1), options):
            return _by_full_passes(model, request, FEW)
    positions = request.positions.tolist()
    engine = captured(source, length, extras, outputs, engines, options)
    if engine.plan is None or engine.work is None or engine.fallback:
        warn_of(engine)
        return _by_full_passes(model, request, engine.fallback)
    plan = engine.plan
    sizes = choose_sizes(plan, source.dtype.itemsize, alternatives, source.kind, options.budget(source.device))
    sizes = replace(sizes, sequences=min(sizes.sequences, request.batch_size or sizes.sequences))
    if engine.too_few(launches_of(plan, sizes, count, positions, alternatives), options):
        return _by_full_passes(model, request, FEW)
    with torch.inference_mode():
        raw = _run(source, request, plan, sizes, alternatives, options.self_check and not engine.checked)
    if options.self_check:
        keep_checked(engine, engines)
    return raw


def keep_checked(engine: CompiledModel, engines: dict[Any, CompiledModel]) -> None:
    """Remember that the self-check was passed: it is made at first use."""
    engines.update({key: replace(known, checked=True) for key, known in engines.items() if known is engine})


def _by_full_passes(model: SequenceModel, request: Request, reason: str) -> RawAttribution:
    return replace(StandardISM(model)._attribute(request), metadata={"fallback": reason})


def explain_model(
    model: SequenceModel,
    length: int,
    extras: tuple[NDArray[Any], ...],
    engines: dict[Any, CompiledModel],
    options: Options,
) -> Explanation:
    """Explain what the engine does with a model at one length."""
    outputs = model.outputs(length, extras)
    source = source_of(model, options.matmul_precision)
    with model.inference():
        engine = captured(source, length, extras, outputs, engines, options)
    return explain(engine.plan, length, source.dtype.itemsize, engine.ratio, engine.fallback)


def default_budget(device: torch.device) -> int:
    """Return a quarter of the memory that is free on a device, in bytes; on a CPU at most 4 GiB."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached) // 4
    return min(LARGEST_DEFAULT_BUDGET, int(psutil.virtual_memory().available) // 4)


def launches_of(plan: Plan, sizes: Sizes, count: int, positions: Sequence[int], alternatives: int) -> LaunchCounts:
    """Return in how many pieces the mutations at some positions of `count` sequences are done."""
    groups = -(-count // sizes.sequences)
    blocks = sum(1 for _ in phases(positions, plan.stride, max(1, sizes.positions // min(count, sizes.sequences))))
    return LaunchCounts(count * len(positions) * alternatives, groups * blocks, groups)


def _run(
    source: Source, request: Request, plan: Plan, sizes: Sizes, alternatives: int, self_check: bool
) -> RawAttribution:
    """Run group after group of sequences; where one does not fit the device's memory, go on with smaller blocks."""
    count, positions = len(request.one_hot), request.positions.tolist()
    store = _Predictions(request, plan.letters)
    first = 0
    with Workers(workers_for(plan, source.kind)) as workers:
        while first < count:
            rows = slice(first, min(first + sizes.sequences, count))
            try:
                _run_group(source, request, plan, rows, positions, sizes.positions, alternatives, store, workers)
            except torch.OutOfMemoryError:
                if sizes == Sizes(1, 1):
                    raise
                sizes = sizes.halved()
                continue
            if self_check and first == 0:
                check_first_sequence(source, request, plan, store.predictions)
            first = rows.stop
    return RawAttribution(predictions=store.predictions, reference_predictions=store.unmutated)


def _run_group(
    source: Source,
    request: Request,
    plan: Plan,
    rows: slice,
    positions: Sequence[int],
    positions_at_once: int,
    alternatives: int,
    store: "_Predictions",
    workers: Workers,
) -> None:
    ref, alt = _letters(request.letters[rows], plan.letters, alternatives)
    place = np.full(plan.length, -1)
    place[request.positions] = np.arange(len(positions))
    unmutated = UnmutatedActivations(plan, graph_inputs(source, request, plan, rows))
    by_output = {output.name: [s for s in request.selections if s.name == output.name] for output in request.outputs}
    for output, name in plan.graph.outputs.items():
        for selection in by_output[output]:
            store.reference(selection, rows, source.select(unmutated.native[name], selection))
    done = rows.start * len(positions)

    def report(positions_done: int) -> None:
        nonlocal done
        done += positions_done * (rows.stop - rows.start)
        request.progress(done, len(request.one_hot) * len(positions))

    ref_letters, alt_letters = ref.to(source.device), alt.to(source.device)
    with products_in(source.products, source.device):
        for emission in mutate(
            plan, unmutated, ref_letters, alt_letters, positions, positions_at_once, report, workers
        ):
            at = np.asarray(emission.positions)
            for selection in by_output[emission.output]:
                values = emission.values
                chosen = source.select(values.flatten(0, 2), selection)
                chosen = chosen.reshape(*values.shape[:3], *chosen.shape[1:])
                store.write(selection, rows, place[at], alt[:, at].numpy(), chosen)


def graph_inputs(source: Source, request: Request, plan: Plan, rows: slice | NDArray[np.int64]) -> dict[str, Tensor]:
    """Return the values of the graph's inputs for some sequences."""
    extras = (source.tensor(extra[rows]) for extra in request.extras)
    return {
        plan.graph.input: source.sequences(request.one_hot[rows]),
        **dict(zip(plan.graph.extras, extras, strict=True)),
    }


class _Predictions:
    """The arrays of a result as they fill up."""

    def __init__(self, request: Request, letters: int) -> None:
        self.count, self.places, self.letters = len(request.one_hot), len(request.positions), letters
        self.predictions: dict[str, NDArray[np.floating]] = {}
        self.unmutated: dict[str, NDArray[np.floating]] = {}

    def reference(self, selection: Selection, rows: slice, values: NDArray[np.floating]) -> None:
        """Store the reference predictions of some sequences, and let every letter have them to begin with."""
        name, shape = selection.name, values.shape[1:]
        if name not in self.unmutated:
            self.unmutated[name] = np.empty((self.count, *shape), values.dtype)
            self.predictions[name] = np.empty((self.count, self.letters, self.places, *shape), values.dtype)
        self.unmutated[name][rows] = values
        self.predictions[name][rows] = values[:, None, None]

    def write(
        self,
        selection: Selection,
        rows: slice,
        places: NDArray[np.int64],
        alt: NDArray[np.int64],
        values: NDArray[np.floating],
    ) -> None:
        """Store predictions (sequences, positions, alternatives, ...)."""
        sequences = np.arange(rows.start, rows.stop)[:, None, None]
        self.predictions[selection.name][sequences, alt, places[None, :, None]] = values


def _letters(letters: NDArray[np.int64], count: int, alternatives: int) -> tuple[Tensor, Tensor]:
    """Return the letters that are there (`count` where unknown), and those to put instead.

    With an unknown letter anywhere every letter is put everywhere, the one that is there included: its delta is zero.
    """
    ref = torch.as_tensor(np.where(letters < 0, count, letters))
    if alternatives == count:
        return ref, torch.arange(count).expand(*ref.shape, count)
    return ref, (ref[:, :, None] + torch.arange(1, count)) % count


def check_first_sequence(
    source: Source, request: Request, plan: Plan, predictions: dict[str, NDArray[np.floating]]
) -> None:
    """Compare mutations at both ends and in the middle of the first sequence with full passes of the model.

    Raises
    ------
    SelfCheckError
        They differ by more than rounding; the message names the first layer that does.
    """
    model = source.model
    places = sorted({0, len(request.positions) // 2, len(request.positions) - 1})
    letters = len(model.alphabet)
    mutated = np.repeat(request.one_hot[:1], len(places) * letters, axis=0)
    for row, (place, letter) in enumerate((p, a) for p in places for a in range(letters)):
        mutated[row, :, request.positions[place]] = np.arange(letters) == letter
    repeated = tuple(model.to_tensor(np.repeat(extra[:1], len(mutated), axis=0)) for extra in request.extras)
    outputs = model.forward(model.to_tensor(mutated), repeated)
    for selection in request.selections:
        truth = model.to_numpy(model.select(outputs, selection)).astype(np.float64)  # it may be whole numbers
        found = predictions[selection.name][0][:, places].swapaxes(0, 1).reshape(truth.shape)
        scale = max(float(np.abs(truth).max()), float(np.finfo(truth.dtype).tiny))
        error = float(np.abs(found - truth).max()) / scale
        if not error <= source.allowed and np.isfinite(truth).all():
            layer = first_diverging_layer(source, request, plan, places)
            raise SelfCheckError(
                f"fastISM's predictions of output {selection.name!r} differ from the model's own by {error:.1e} of "
                f"their scale, first at layer {layer!r}; nothing was returned. Please report the model; "
                "standard_ism gives exact results meanwhile"
            )


def first_diverging_layer(source: Source, request: Request, plan: Plan, places: list[int]) -> str:
    """Return the first layer at which windows and a full pass give different activations."""
    inputs = graph_inputs(source, request, plan, slice(1))
    for place in places:
        position = int(request.positions[place])
        letter = int(request.letters[0, position])
        ref = plan.letters if letter < 0 else letter
        for alt in set(range(plan.letters)) - {letter}:
            layer = first_divergence(plan, inputs, position, ref, alt, source.allowed)
            if layer is not None:
                return layer
    return "the outputs, though no single layer differs"


__getattr__ = moved_names(__name__, FallbackWarning="attribution_bench.errors")

__all__ = ["CompiledModel", "attribute", "prepare"]
