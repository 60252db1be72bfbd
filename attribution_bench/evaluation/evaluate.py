"""Methods run on one model and one set of sequences, and every metric of what they say."""

import datetime
import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.environment import available_cores, describe_machine, library_versions
from attribution_bench.errors import AttributionBenchError, InvalidInputError
from attribution_bench.evaluation.agreement import agreements
from attribution_bench.evaluation.bootstrap import mean_interval, paired_difference
from attribution_bench.evaluation.completeness import completeness_error
from attribution_bench.evaluation.curves import area_above, curve, masking_order
from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.perturbation import infidelity, random_mutations, sensitivity
from attribution_bench.evaluation.predictor import Predictor
from attribution_bench.evaluation.recovery import recovery
from attribution_bench.evaluation.results import SCORES, Evaluation, Interval, MethodEvaluation, PairAgreement
from attribution_bench.evaluation.settings import Settings
from attribution_bench.evaluation.stability import stability
from attribution_bench.models import SequenceModel, Target
from attribution_bench.sequences import Sequences, dinucleotide_shuffle
from attribution_bench.sequences.sites import Site, site_effects

Method = Callable[..., Attribution]
"""Called with a SequenceModel, and with ``seed=`` where it takes one."""
Observer = Callable[[str, int, int], None]
"""Called with what is done next, the steps done and the steps in all."""
STAGES = 3
"""Steps of each method: its scores, what the model says of them, and the runs that are repeated."""


@dataclass(frozen=True)
class _Scored:
    """What one method says, and what it took."""

    result: AttributionResult
    seconds: float
    cautions: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class _Truth:
    """What is asked of the model once, for every method."""

    predictor: Predictor
    one_hot: NDArray[np.floating]
    predictions: NDArray[np.float64]
    """(N,) of the sequences as they are."""
    shuffled: tuple[NDArray[np.floating], ...]
    """Each (N, A, L): what letters are replaced from."""
    emptied: tuple[NDArray[np.float64], ...]
    """(N,) predictions of each of those."""
    mutated: NDArray[np.floating]
    """(N, M, A, L) random mutations."""
    changes: NDArray[np.float64]
    """(N, M): what each does to the prediction."""
    effects: NDArray[np.int8]
    """(N, L): where sites raise and lower the prediction."""

    @property
    def scale(self) -> float:
        """Median over sequences of how far the prediction is from that of the replaced sequence."""
        return float(np.median(np.abs(self.predictions - np.mean(self.emptied, axis=0))))


def evaluate(
    model: SequenceModel,
    sequences: Sequences,
    methods: Mapping[str, Method],
    *,
    label: str = "model",
    target: Target = None,
    sites: Sequence[Site] = (),
    truth: str | None = None,
    settings: Settings | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
) -> tuple[Evaluation, dict[str, AttributionResult]]:
    """Run methods on the same sequences, and compare what they say.

    Parameters
    ----------
    model
        The model; it takes sequences alone.
    sequences
        N sequences, at least two.
    methods
        Name -> class of a method, or any function that returns one bound to the model. One that fails is kept with its
        reason, and does not stop the others.
    label
        Name of the model in the results.
    target
        One number of the model's outputs, as `Attribution.attribute` takes it.
    sites
        Where the truth is known, such as planted motifs; without any there are no metrics of recovery.
    truth
        Name of the exact method that the others are compared with; by default the first of ``methods`` whose tag says
        ``exact``. Without one there is no agreement with exact ISM.
    settings
        Seeds, repeats and sizes.
    threads
        Recorded with the results.
    observer
        Told what is done next.

    Returns
    -------
    The evaluation, and the result of each method that has scores.

    Raises
    ------
    InvalidInputError
        Fewer than two sequences, no method, a truth that is not among them, or a target that is no scalar.
    AttributionBenchError
        No method could score the sequences; the message gives each one's reason.
    """
    settings = settings or Settings()
    if len(sequences) < 2:
        raise InvalidInputError("methods are compared over several sequences; give at least 2")
    if not methods:
        raise InvalidInputError("no method was given to compare")
    if truth is not None and truth not in methods:
        raise InvalidInputError(f"truth must be one of the methods ({', '.join(methods)}), not {truth!r}")
    steps = _Steps(observer, STAGES * len(methods) + 1)
    steps.next("what the model predicts")
    asked = _ask(model, sequences, target, sites, settings)
    scored: dict[str, _Scored] = {}
    reasons: dict[str, str] = {}
    for name, method in methods.items():
        steps.next(f"{name}: scores")
        try:
            scored[name] = _score(method, model, asked.one_hot, target, settings.seed)
        except AttributionBenchError as error:
            reasons[name] = str(error)
        except Exception as error:  # a method may fail in any way; the others are still compared
            reasons[name] = f"{type(error).__name__}: {error}"
    if not scored:
        raise AttributionBenchError("no method could score: " + "; ".join(f"{n}: {r}" for n, r in reasons.items()))
    truth = truth if truth in scored else next((name for name, found in scored.items() if found.exact), None)
    evaluations = []
    for name, method in methods.items():
        if name in reasons:
            evaluations.append(MethodEvaluation(name, reason=reasons[name]))
            steps.next(f"{name}: failed", STAGES - 1)
            continue
        steps.next(f"{name}: what the model says of its scores")
        values, curves = _model_metrics(scored[name], asked, settings)
        if truth is not None:
            values |= agreements(
                _observed(scored[name]), _observed(scored[truth]), settings.letters(settings.top, sequences.length)
            )
        steps.next(f"{name}: runs again")
        values |= _repeated(method, model, asked, target, settings)
        evaluations.append(_evaluation(name, scored[name], values, curves, settings))
    evaluation = Evaluation(
        model=label,
        framework=model.framework,
        device=model.device,
        threads=threads or available_cores(),
        machine=describe_machine(model.device).cpu,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=library_versions(),
        alphabet=model.alphabet.letters,
        target=_target_text(target, asked.predictor),
        sequence_source=sequences.source,
        names=sequences.names,
        strings=sequences.strings,
        predictions=tuple(asked.predictions.tolist()),
        sites=tuple(sites),
        truth=truth,
        shares=tuple(_shares(settings).tolist()),
        settings=asdict(settings),
        methods=tuple(_with_best(evaluations, settings.seed)),
        agreements=tuple(_pairs(scored, settings, sequences.length)),
    )
    return evaluation, {name: _named(found.result, sequences.names) for name, found in scored.items()}


def save_evaluation(folder: Path, evaluation: Evaluation, results: Mapping[str, AttributionResult]) -> list[Path]:
    """Write ``scores/<method>.npz`` of each method, then ``evaluation.json``; returns their paths.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    written = [result.save(Path(folder) / SCORES / f"{name}.npz") for name, result in results.items()]
    return [*written, evaluation.save(folder)]


class _Steps:
    """Tells an observer what is done next."""

    def __init__(self, observer: Observer | None, total: int) -> None:
        self._observer, self._total, self._done = observer, total, 0

    def next(self, text: str, steps: int = 1) -> None:
        """Say what is done next, and count it as a number of steps."""
        if self._observer is not None:
            self._observer(text, self._done, self._total)
        self._done += steps


def _ask(
    model: SequenceModel, sequences: Sequences, target: Target, sites: Sequence[Site], settings: Settings
) -> _Truth:
    one_hot = sequences.one_hot()
    count, letters, length = one_hot.shape
    predictor = Predictor.of(model, target, length, settings.batch_size)
    generator = np.random.default_rng(settings.seed)
    predictions = predictor(one_hot)
    shuffles = np.stack([dinucleotide_shuffle(row, settings.shuffles, generator) for row in one_hot])
    shuffled = tuple(shuffles[:, index] for index in range(settings.shuffles))
    changed = settings.letters(settings.mutated, length)
    mutated = random_mutations(one_hot, settings.mutations, changed, generator)
    changes = predictor(mutated.reshape(-1, letters, length)).reshape(count, -1) - predictions[:, None]
    return _Truth(
        predictor,
        one_hot,
        predictions,
        shuffled,
        tuple(predictor(replaced) for replaced in shuffled),
        mutated,
        changes,
        site_effects(sites, count, length),
    )


def _score(method: Method, model: SequenceModel, one_hot: NDArray[Any], target: Target, seed: int) -> _Scored:
    """Run a method on every sequence, after a run on two that captures, traces and warms up."""
    attribution = _bound(method, model, seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attribution.attribute(one_hot[:2], target=target)
        caught.clear()
        start = time.perf_counter()
        result = attribution.attribute(one_hot, target=target)
        seconds = time.perf_counter() - start
    if not np.isfinite(result.scores).all():
        raise InvalidInputError("its scores are not all finite")
    said = dict.fromkeys(str(warning.message) for warning in caught)
    return _Scored(result, seconds, (*said, *_cautions(result)), attribution.tags.exact)


def _bound(method: Method, model: SequenceModel, seed: int) -> Attribution:
    return method(model, seed=seed) if _takes_seed(method) else method(model)


def _takes_seed(method: Method) -> bool:
    return "seed" in inspect.signature(method).parameters


def _cautions(result: AttributionResult) -> list[str]:
    """Say what a reader of the scores should know, from what the result says of itself."""
    said = []
    metadata = result.metadata
    if "convention" in metadata:
        said.append(f"Scores are {metadata['convention']}: relative to the other letters at the same position.")
    if metadata.get("fallback"):
        said.append(f"Every mutation took a full pass: {metadata['fallback']}.")
    if result.convergence_delta is not None:
        delta = result.convergence_delta
        if delta.ndim > 1:
            said.append(f"Scores are relative to {delta.shape[1]} references a sequence, and depend on them.")
        error = completeness_error(_scalar_observed(result).sum(axis=1), delta)
        error = error[np.isfinite(error)]
        if len(error):
            said.append(f"Median completeness error {np.median(error):.2g}, largest {error.max():.2g}.")
    return said


def _scalar_observed(result: AttributionResult) -> NDArray[np.float64]:
    """(N, L) scores of the reference letters."""
    return result.observed.reshape(result.observed.shape[:2]).astype(np.float64)


def _named(result: AttributionResult, names: Sequence[str]) -> AttributionResult:
    return replace(result, names=tuple(names))


def _observed(scored: _Scored) -> NDArray[np.float64]:
    return _scalar_observed(scored.result)


def _hypothetical(result: AttributionResult) -> NDArray[np.float64]:
    """(N, A, L) scores of every letter."""
    return result.scores.reshape(result.scores.shape[:3]).astype(np.float64)


def _shares(settings: Settings) -> NDArray[np.float64]:
    return np.linspace(0, 1, settings.steps + 1)


def _model_metrics(
    scored: _Scored, asked: _Truth, settings: Settings
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Return what needs the model or the known sites, and the curves."""
    observed, result = _observed(scored), scored.result
    order, shares = masking_order(observed), _shares(settings)
    deleted = [curve(asked.predictor, asked.one_hot, empty, order, shares) for empty in asked.shuffled]
    inserted = [curve(asked.predictor, empty, asked.one_hot, order, shares) for empty in asked.shuffled]
    curves = {"deletion": np.mean(deleted, axis=0), "insertion": np.mean(inserted, axis=0)}
    values = {}
    if asked.scale:  # else the model predicts the same of everything
        empty = np.mean(asked.emptied, axis=0)
        values = {name: area_above(found, empty, asked.scale, shares) for name, found in curves.items()}
    values["infidelity"] = infidelity(_hypothetical(result), asked.one_hot, asked.mutated, asked.changes)
    if result.convergence_delta is not None:
        values["completeness"] = completeness_error(observed.sum(axis=1), result.convergence_delta)
    if asked.effects.any():
        values |= recovery(observed, asked.effects)
    return values, curves


def _repeated(
    method: Method, model: SequenceModel, asked: _Truth, target: Target, settings: Settings
) -> dict[str, NDArray[np.float64]]:
    """Return what takes further runs of the method, on some of the sequences; nan for the others."""
    count, letters, length = asked.one_hot.shape
    some = np.unique(np.linspace(0, count - 1, min(count, settings.repeated_sequences)).round().astype(int))
    if not len(some):
        return {}
    found: dict[str, NDArray[np.float64]] = {}

    def scores(one_hot: NDArray[Any], seed: int) -> NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, of the run on every sequence
            result = _bound(method, model, seed).attribute(one_hot, target=target)
        return _hypothetical(result).reshape(len(one_hot), -1)

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.full(count, np.nan)
        whole[some] = values
        return whole

    generator = np.random.default_rng(settings.seed)
    chosen = asked.one_hot[some]
    mutated = random_mutations(chosen, settings.repeats, 1, generator)
    perturbed = scores(mutated.swapaxes(0, 1).reshape(-1, letters, length), settings.seed)
    found["sensitivity"] = spread(
        sensitivity(scores(chosen, settings.seed), perturbed.reshape(settings.repeats, len(some), -1))
    )
    if _takes_seed(method):
        runs = np.stack([scores(chosen, settings.seed + repeat) for repeat in range(settings.repeats)])
        found["stability"] = spread(stability(runs))
    return found


def _evaluation(
    name: str,
    scored: _Scored,
    values: Mapping[str, NDArray[np.float64]],
    curves: Mapping[str, NDArray[np.float64]],
    settings: Settings,
) -> MethodEvaluation:
    metadata = scored.result.metadata
    return MethodEvaluation(
        method=name,
        options=metadata["options"],
        seconds_per_100_sequences=scored.seconds * 100 / len(scored.result.one_hot),
        convention=metadata.get("convention"),
        exact=scored.exact,
        cautions=scored.cautions,
        values={metric: _plain(values[metric]) for metric in METRICS if metric in values},
        means=_means(values, settings.seed),
        curves={key: tuple(tuple(row) for row in rows.tolist()) for key, rows in curves.items()},
    )


def _plain(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(value if np.isfinite(value) else None for value in values.tolist())


def _means(values: Mapping[str, NDArray[np.float64]], seed: int) -> dict[str, Interval]:
    return {
        metric: mean_interval(values[metric], seed=seed)
        for metric in METRICS
        if metric in values and np.isfinite(values[metric]).any()
    }


def _with_best(evaluations: Sequence[MethodEvaluation], seed: int) -> Iterator[MethodEvaluation]:
    """Add how far each method is from the one with the best mean, sequence by sequence."""
    best: dict[str, MethodEvaluation] = {}
    for name, metric in METRICS.items():
        having = [found for found in evaluations if name in found.means]
        if having:
            choose = max if metric.better == "higher" else min
            best[name] = choose(having, key=lambda found: found.means[name].mean)
    for found in evaluations:
        behind = {}
        for name in found.means:
            mine, others = (np.array(m.values[name], dtype=float) for m in (found, best[name]))
            if np.isfinite(mine + others).any():
                behind[name] = paired_difference(mine, others, seed=seed)
        yield replace(found, behind_best=behind)


def _pairs(scored: Mapping[str, _Scored], settings: Settings, length: int) -> Iterator[PairAgreement]:
    k = settings.letters(settings.top, length)
    for first, second in combinations(scored, 2):
        values = agreements(_observed(scored[first]), _observed(scored[second]), k)
        yield PairAgreement(
            first, second, {name: _plain(found) for name, found in values.items()}, _means(values, settings.seed)
        )


def _target_text(target: Target, predictor: Predictor) -> str:
    selection = predictor.selection
    if selection.reducer is not None:
        reducer = selection.reducer
        return f"{selection.name}:{reducer if isinstance(reducer, str) else getattr(reducer, '__name__', 'function')}"
    index = ",".join(str(i) for i in selection.index or ())
    return f"{selection.name}:{index}" if index and target is not None else selection.name
