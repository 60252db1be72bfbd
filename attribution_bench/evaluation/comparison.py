"""One comparison on a model that is open: what each step of it computes, and what all of them come to."""

import datetime
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.environment import describe_machine, library_versions
from attribution_bench.errors import AttributionBenchError, InvalidInputError
from attribution_bench.evaluation.agreement import agreements
from attribution_bench.evaluation.finished_stages import FinishedStages, Values
from attribution_bench.evaluation.measures import model_metrics, repeated_metrics
from attribution_bench.evaluation.predictor import target_text
from attribution_bench.evaluation.readable import readable
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation, Readable
from attribution_bench.evaluation.scoring import Method, ScoredMethod, bind, method_label, score
from attribution_bench.evaluation.settings import Settings
from attribution_bench.evaluation.shared_inputs import SharedInputs, prepare_inputs
from attribution_bench.evaluation.summaries import method_evaluation, pair_agreements, with_distance_from_best
from attribution_bench.models import SequenceModel, Target
from attribution_bench.models.digest import structure_digest, weights_digest
from attribution_bench.sequences import Sequences
from attribution_bench.sequences.sites import Site, site_effects
from attribution_bench.timer import Clock

PREDICTIONS = "what the model predicts"
SCORES = "scores"
OF_MODEL = "what the model says"
FURTHER = "further runs"
STAGES = 3
"""Steps of each method: its scores, the runs that are repeated, and what the model says of its scores."""

Observer = Callable[[str, int, int], None]
"""Called with what is done next, the steps done and the steps in all."""


def most_steps(methods: int) -> int:
    """Return how many steps of a number of methods are done at a time: of each its scores and its further runs."""
    return 2 * methods


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is compared, and how; see `attribution_bench.evaluation.evaluate`.

    Raises
    ------
    InvalidInputError
        Fewer than two sequences, no method, or a truth that is not among them or not exact.
    """

    label: str
    """Name of the model in the results."""
    sequences: Sequences
    methods: Mapping[str, Method]
    target: Target
    target_description: Any
    """`described` of the target before anything called it: what it keeps of calls is no part of it."""
    sites: tuple[Site, ...]
    truth: str | None
    settings: Settings
    threads: int
    """Threads of the framework, which are recorded."""
    clock: Clock

    def __post_init__(self) -> None:
        if len(self.sequences) < 2:
            raise InvalidInputError("methods are compared over several sequences; give at least 2")
        if not self.methods:
            raise InvalidInputError("no method was given to compare")
        if self.truth is not None and self.truth not in self.methods:
            raise InvalidInputError(f"truth must be one of the methods ({', '.join(self.methods)}), not {self.truth!r}")
        if self.truth is not None:
            _check_exact(self.truth, self.methods[self.truth])


class Steps:
    """Tells an observer what is done next."""

    def __init__(self, observer: Observer | None, total: int) -> None:
        self._observer, self._total, self._done = observer, total, 0

    def next(self, text: str) -> None:
        """Say what is done next, and count it."""
        if self._observer is not None:
            self._observer(text, self._done, self._total)
        self._done += 1


@dataclass(frozen=True)
class _Standard:
    """What the others are compared with."""

    truth: str | None
    """Name of an exact method; None where none has scores."""
    read: Readable | None
    unread: tuple[int, ...]
    """Indices of known sites that the target does not read."""


class Comparison:
    """A comparison on a model; the scores of a method are computed, or read, once.

    Parameters
    ----------
    question
        What is compared.
    model
        The model.
    stages
        Keeps every stage as it ends.

    Raises
    ------
    TargetError
        The target is no scalar.
    """

    def __init__(self, question: Question, model: SequenceModel, stages: FinishedStages) -> None:
        self._question, self._model, self._stages = question, model, stages
        self._inputs = prepare_inputs(model, question.sequences, question.target, question.sites, question.settings)
        self._machine = ""
        self._scored: dict[str, ScoredMethod] = {}
        self._further: dict[str, Values] = {}

    @cached_property
    def machine(self) -> str:
        """Name of the processor here."""
        return describe_machine(self._model.device).cpu

    @cached_property
    def _digests(self) -> tuple[str, str]:
        """Digests of the model's weights and structure."""
        return weights_digest(self._model), structure_digest(self._model)

    def begin(self, machine: str) -> None:
        """State what every stage depends on, on a machine that is known by a name.

        Raises
        ------
        OutputError
            The folder of the stages cannot be written.
        """
        question, model = self._question, self._model
        self._machine = machine
        facts = {
            "label": question.label,
            "model": [model.framework, model.device, str(model.numpy_dtype), model.precision, model.precision_state()],
            "digests": self._digests,
            "sequences": [question.sequences.alphabet.letters, question.sequences.sha256],
            "sites": [asdict(site) for site in question.sites],
            "target": question.target_description,
            "settings": asdict(question.settings),
            "run": [machine, question.threads, library_versions()],
        }
        self._stages.begin(facts, self._inputs.predictions)

    def scores(self, name: str) -> ScoredMethod:
        """Return the scores of a method; raises whatever the method does."""
        if name not in self._scored:
            question, inputs = self._question, self._inputs
            compute = partial(
                score,
                question.methods[name],
                self._model,
                inputs.one_hot,
                question.target,
                question.settings.seed,
                question.clock,
                inputs.rounding,
            )
            self._scored[name] = self._stages.scores(name, self._bound(name), compute)
        return self._scored[name]

    def scores_file(self, name: str) -> Path | None:
        """Return the file in which the scores of a method are kept."""
        return self._stages.scores_file(name, self._bound(name))

    def further_runs(self, name: str) -> Values:
        """Return what runs of a method that are repeated tell; they do not need its scores."""
        if name not in self._further:
            question = self._question
            compute = partial(
                _repeated_metrics, question.methods[name], self._model, self._inputs, question.target, question.settings
            )
            self._further[name] = self._stages.values(FURTHER, name, self._bound(name), compute)
        return self._further[name]

    def of_model(self, name: str, failed: Iterable[str]) -> Values:
        """Return what the model says of the scores of a method, where some methods have none."""
        scored = self.scores(name)
        unread = self._standard(failed).unread if self._question.sites else ()
        compute = partial(_model_metrics, scored, self._without_sites(unread), self._question.settings)
        digest = hashlib.sha256(scored.result.scores.tobytes()).hexdigest()
        return self._stages.values(OF_MODEL, name, scored.method, compute, (digest, unread))

    def evaluation(self, reasons: Mapping[str, str], steps: Steps) -> Evaluation:
        """Return what all steps come to.

        Parameters
        ----------
        reasons
            Method without scores -> why.
        steps
            Told what is done next.

        Raises
        ------
        AttributionBenchError
            No method has scores.
        """
        question, model = self._question, self._model
        check_scored(question, reasons)
        settings, length = question.settings, question.sequences.length
        standard = self._standard(reasons)
        exact = None if standard.truth is None else self.scores(standard.truth)
        evaluations = []
        for name, method in question.methods.items():
            if name in reasons:
                evaluations.append(MethodEvaluation(name, reason=reasons[name], label=method_label(name, method)))
                steps.next(f"{name}: failed")
                continue
            steps.next(f"{name}: what the model says of its scores")
            measured = self.of_model(name, reasons)
            values, curves = measured["values"], measured["curves"]
            if exact is not None:
                k = settings.letters(settings.top, length)
                values |= agreements(self.scores(name).settled, exact.settled, k)
            values |= self.further_runs(name)["values"]
            evaluations.append(method_evaluation(name, self.scores(name), values, curves, settings))
        scored = {name: self.scores(name) for name in question.methods if name not in reasons}
        return Evaluation(
            model=question.label,
            framework=model.framework,
            device=model.device,
            threads=question.threads,
            machine=self._machine,
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            versions=library_versions(),
            alphabet=model.alphabet.letters,
            target=target_text(question.target, self._inputs.predictor.selection),
            sequence_source=question.sequences.source,
            names=question.sequences.names,
            strings=question.sequences.strings,
            predictions=tuple(self._inputs.predictions.tolist()),
            sites=question.sites,
            truth=standard.truth,
            shares=tuple(settings.shares.tolist()),
            settings=asdict(settings),
            methods=tuple(with_distance_from_best(evaluations, settings.seed, standard.truth)),
            agreements=tuple(pair_agreements(scored, settings, length)),
            readable=standard.read,
        )

    def results(self, reasons: Mapping[str, str]) -> dict[str, AttributionResult]:
        """Return the result of each method that has scores."""
        names = self._question.sequences.names
        return {
            name: replace(self.scores(name).result, names=names)
            for name in self._question.methods
            if name not in reasons
        }

    def _bound(self, name: str) -> Attribution:
        return bind(self._question.methods[name], self._model, self._question.settings.seed)

    def _standard(self, failed: Iterable[str]) -> _Standard:
        question, without = self._question, frozenset(failed)
        having = [name for name in question.methods if name not in without]
        truth = question.truth
        if truth not in having:
            truth = next((name for name in having if self._bound(name).tags.exact), None)
        if truth is None:
            return _Standard(None, None, ())
        exact = self.scores(truth)
        _check_exact(truth, exact.method)
        read = readable(truth, exact.result, question.sites, self._inputs.rounding)
        return _Standard(truth, read, () if read is None else read.unread_sites)

    def _without_sites(self, unread: Sequence[int]) -> SharedInputs:
        """Return the inputs without the sites that the target does not read."""
        sequences = self._question.sequences
        if not unread:
            return self._inputs
        known = [site for index, site in enumerate(self._question.sites) if index not in unread]
        return replace(self._inputs, effects=site_effects(known, len(sequences), sequences.length))


def check_scored(question: Question, reasons: Mapping[str, str]) -> None:
    """Raise AttributionBenchError where every method has a reason for which it has no scores."""
    if all(name in reasons for name in question.methods):
        raise AttributionBenchError("no method could score: " + "; ".join(f"{n}: {r}" for n, r in reasons.items()))


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
