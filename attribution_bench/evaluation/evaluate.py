"""Methods run on one model and one set of sequences, and every metric of what they say."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.deprecation import moved_names
from attribution_bench.environment import available_cores, describe_machine, library_versions
from attribution_bench.errors import AttributionBenchError, InvalidInputError
from attribution_bench.evaluation.agreement import agreements
from attribution_bench.evaluation.finished_stages import FinishedStages, Values
from attribution_bench.evaluation.measures import model_metrics, repeated_metrics
from attribution_bench.evaluation.predictor import target_text
from attribution_bench.evaluation.readable import readable
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.evaluation.scoring import Method, ScoredMethod, bind, method_label, score
from attribution_bench.evaluation.settings import Settings
from attribution_bench.evaluation.shared_inputs import SharedInputs, prepare_inputs
from attribution_bench.evaluation.summaries import method_evaluation, pair_agreements, with_distance_from_best
from attribution_bench.models import SequenceModel, Target
from attribution_bench.sequences import Sequences
from attribution_bench.sequences.sites import Site, site_effects
from attribution_bench.timer import CLOCK, Clock

Observer = Callable[[str, int, int], None]
"""Called with what is done next, the steps done and the steps in all."""
STAGES = 3
"""Steps of each method: its scores, what the model says of them, and the runs that are repeated."""


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
    clock: Clock = CLOCK,
    stages: FinishedStages | None = None,
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
    clock
        Times each method on all sequences, once it is warm.
    stages
        Keeps every stage as it ends, and gives those that an earlier run with the same arguments finished; none are
        kept by default.

    Returns
    -------
    The evaluation, and the result of each method that has scores.

    Raises
    ------
    InvalidInputError
        Fewer than two sequences, no method, a truth that is not among them or not exact, or a target that is no scalar.
    AttributionBenchError
        No method could score the sequences; the message gives each one's reason.
    """
    settings = settings or Settings()
    stages = stages or FinishedStages()
    threads = threads or available_cores()
    if len(sequences) < 2:
        raise InvalidInputError("methods are compared over several sequences; give at least 2")
    if not methods:
        raise InvalidInputError("no method was given to compare")
    if truth is not None and truth not in methods:
        raise InvalidInputError(f"truth must be one of the methods ({', '.join(methods)}), not {truth!r}")
    if truth is not None:
        _check_exact(truth, methods[truth])
    steps = _Steps(observer, STAGES * len(methods) + 1)
    steps.next("what the model predicts")
    inputs = prepare_inputs(model, sequences, target, sites, settings)
    machine, versions = describe_machine(model.device).cpu, library_versions()
    facts = {
        "label": label,
        "model": [model.framework, model.device, str(model.numpy_dtype), model.precision_state()],
        "sequences": [sequences.alphabet.letters, sequences.sha256],
        "sites": [asdict(site) for site in sites],
        "target": target,
        "settings": asdict(settings),
        "run": [machine, threads, versions],
    }
    stages.begin(facts, inputs.predictions)
    scored, reasons = _score_all(methods, model, inputs, target, settings, steps, clock, stages)
    if truth not in scored:
        truth = next((name for name, found in scored.items() if found.method.tags.exact), None)
    exact = None if truth is None else scored[truth]
    read = None
    if truth is not None and exact is not None:
        _check_exact(truth, exact.method)
        read = readable(truth, exact.result, sites, inputs.rounding)
    if read is not None:
        known = [site for index, site in enumerate(sites) if index not in read.unread_sites]
        effects = site_effects(known, len(sequences), sequences.length) if sites else None
        inputs = replace(inputs, effects=effects)
    evaluations = []
    for name, method in methods.items():
        if name in reasons:
            evaluations.append(MethodEvaluation(name, reason=reasons[name], label=method_label(name, method)))
            steps.next(f"{name}: failed", STAGES - 1)
            continue
        steps.next(f"{name}: what the model says of its scores")
        measured = stages.values(
            "what the model says", name, scored[name], partial(_model_metrics, scored[name], inputs, settings)
        )
        values, curves = measured["values"], measured["curves"]
        if exact is not None:
            k = settings.letters(settings.top, sequences.length)
            values |= agreements(scored[name].settled, exact.settled, k)
        steps.next(f"{name}: runs again")
        repeated = stages.values(
            "further runs", name, scored[name], partial(_repeated_metrics, method, model, inputs, target, settings)
        )
        values |= repeated["values"]
        evaluations.append(method_evaluation(name, scored[name], values, curves, settings))
    evaluation = Evaluation(
        model=label,
        framework=model.framework,
        device=model.device,
        threads=threads,
        machine=machine,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=versions,
        alphabet=model.alphabet.letters,
        target=target_text(target, inputs.predictor.selection),
        sequence_source=sequences.source,
        names=sequences.names,
        strings=sequences.strings,
        predictions=tuple(inputs.predictions.tolist()),
        sites=tuple(sites),
        truth=truth,
        shares=tuple(settings.shares.tolist()),
        settings=asdict(settings),
        methods=tuple(with_distance_from_best(evaluations, settings.seed, truth)),
        agreements=tuple(pair_agreements(scored, settings, sequences.length)),
        readable=read,
    )
    return evaluation, {name: replace(found.result, names=sequences.names) for name, found in scored.items()}


def _score_all(
    methods: Mapping[str, Method],
    model: SequenceModel,
    inputs: SharedInputs,
    target: Target,
    settings: Settings,
    steps: "_Steps",
    clock: Clock,
    stages: FinishedStages,
) -> tuple[dict[str, ScoredMethod], dict[str, str]]:
    """Run every method; returns those that have scores, and the reason of each that has none."""
    scored: dict[str, ScoredMethod] = {}
    reasons: dict[str, str] = {}
    for name, method in methods.items():
        steps.next(f"{name}: scores")
        try:
            compute = partial(score, method, model, inputs.one_hot, target, settings.seed, clock, inputs.rounding)
            scored[name] = stages.scores(name, bind(method, model, settings.seed), compute)
        except AttributionBenchError as error:
            reasons[name] = str(error)
        except Exception as error:  # a method may fail in any way; the others are still compared
            reasons[name] = f"{type(error).__name__}: {error}"
    if not scored:
        raise AttributionBenchError("no method could score: " + "; ".join(f"{n}: {r}" for n, r in reasons.items()))
    return scored, reasons


def _check_exact(truth: str, method: Method | Attribution) -> None:
    """Raise InvalidInputError for a truth whose tags say that it is not exact; a function that binds one has none."""
    tags = getattr(method, "tags", None)
    if tags is not None and not tags.exact:
        raise InvalidInputError(
            f"truth must be an exact method, which asks the model for every mutation; {truth!r} is none"
        )


def _model_metrics(scored: ScoredMethod, inputs: SharedInputs, settings: Settings) -> Values:
    values, curves = model_metrics(scored, inputs, settings)
    return {"values": values, "curves": curves}


def _repeated_metrics(
    method: Method, model: SequenceModel, inputs: SharedInputs, target: Target, settings: Settings
) -> Values:
    return {"values": repeated_metrics(method, model, inputs, target, settings)}


class _Steps:
    """Tells an observer what is done next."""

    def __init__(self, observer: Observer | None, total: int) -> None:
        self._observer, self._total, self._done = observer, total, 0

    def next(self, text: str, steps: int = 1) -> None:
        """Say what is done next, and count it as a number of steps."""
        if self._observer is not None:
            self._observer(text, self._done, self._total)
        self._done += steps


__getattr__ = moved_names(__name__, save_evaluation="attribution_bench.evaluation.results")
