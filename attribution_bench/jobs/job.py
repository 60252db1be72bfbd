"""Jobs: models, sequences, methods, and what is stored of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from attribution_bench.described import described
from attribution_bench.environment import library_versions
from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs.contents import check_contents
from attribution_bench.jobs.elsewhere import SAME_CODE, here
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.open_models import ModelDigests, Openable, OpenModels, weight_bytes
from attribution_bench.jobs.open_models import NamedModel as NamedModel
from attribution_bench.jobs.scoring import Asked, Choice, check_both_strands
from attribution_bench.jobs.shards import DEFAULT_SHARD_SIZE, Shard, shards_of
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.own_code import is_installed
from attribution_bench.sequences.source import Assuming, SequenceSource


@dataclass(frozen=True)
class Job:
    """What is to be done; the store's manifest says the same in digests."""

    models: Sequence[Openable]
    """One, or several whose scores are averaged."""
    source: SequenceSource
    methods: Mapping[str, Choice]
    """Registered name -> method and options."""
    asked: Asked
    extras: Mapping[str, NDArray[Any] | TrackRows]
    """Further inputs of the models by name, each with one row a record."""
    batch_size: int | None = None
    shard_size: int = DEFAULT_SHARD_SIZE
    threads: int | None = None
    """Threads of the framework; as the store has them, or as they stand, when None."""


@dataclass(frozen=True)
class ModelFacts:
    """What a job keeps of a model that it may have let go of again."""

    framework: str
    device: str
    digests: ModelDigests
    described: Mapping[str, Any]
    """As the manifest has it."""
    weight_bytes: int
    assumptions: tuple[str, ...]
    """What is taken for granted of both strands."""


def checked_shards(job: Job) -> list[Shard]:
    """Check what can be checked of a job without its models and sequences; returns its shards.

    Raises
    ------
    InvalidInputError
        Something of it cannot be used.
    """
    if not job.models or not job.methods:
        raise InvalidInputError("give at least one model and one method")
    if job.batch_size is not None and job.batch_size < 1:
        raise InvalidInputError(f"batch_size must be at least 1, not {job.batch_size}")
    if job.asked.members and len(job.models) < 2:
        raise InvalidInputError("each model's own values are stored of several models; there is one")
    check_contents(job.asked.contents, job.asked.dtype)
    _check_given(job)
    return shards_of(len(job.source), job.shard_size)


def checked_models(job: Job) -> list[ModelFacts]:
    """Look at every model of a job, one after the other, and check that it can be used.

    Raises
    ------
    InvalidInputError
        Models cannot be averaged, or do not read the sequences.
    UnsupportedError
        Both strands cannot be averaged.
    AttributionBenchError
        A model cannot be opened; the message is that of `ModelSource.open`.
    """
    models, found = OpenModels.of(job.models), list[ModelFacts]()
    for place, named in enumerate(models):
        (model,) = models.open((place,))
        digests = models.digests(place)
        facts = ModelFacts(
            model.framework,
            model.device,
            digests,
            {
                "label": named.label,
                "framework": model.framework,
                "layout": model.layout,
                "sequence input": model.sequence_input,
                "sha256 of weights": digests.weights,
                "sha256 of structure": digests.structure,
                "sha256 of source": named.identity,
            },
            weight_bytes(model),
            check_both_strands(model, job.asked.target, tuple(job.extras.values()), job.source.length)
            if job.asked.both_strands
            else (),
        )
        first = found[0] if found else facts
        if (facts.framework, facts.device) != (first.framework, first.device):
            raise InvalidInputError(
                f"models whose scores are averaged run in one framework and on one device, not {first.framework} on "
                f"{first.device} ({models[0].label}) and {facts.framework} on {facts.device} ({named.label})"
            )
        if model.alphabet != job.source.alphabet:
            raise InvalidInputError(
                f"the model reads {model.alphabet.name}, but the sequences are {job.source.alphabet.name}"
            )
        found.append(facts)
        del model  # so that it can be let go of before the next one is opened
    return found


def assumptions(job: Job, models: Sequence[ModelFacts]) -> list[str]:
    """Return what is taken for granted of sequences, tracks, models and the strands that are averaged, each once."""
    extras = tuple(job.extras.values())
    found = list(job.source.assumptions) if isinstance(job.source, Assuming) else []
    found += [text for extra in extras if isinstance(extra, TrackRows) for text in extra.tracks.cautions]
    found += [text for facts in models for text in facts.assumptions]
    found += _given_twice(models)
    return list(dict.fromkeys(found))


def _given_twice(models: Sequence[ModelFacts]) -> list[str]:
    """Say which of several models have the weights of one before them; those without weights are not compared."""
    first: dict[str, int] = {}
    found = []
    for place, facts in enumerate(models):
        before = first.setdefault(facts.digests.weights, place)
        if before != place and facts.weight_bytes:
            found.append(f"model {place} ({facts.described['label']}) as model {before}")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    same = f"same weights: {', '.join(found[:3])}{more}; one that is given twice counts twice in the mean"
    return [same] if found else []


def _check_given(job: Job) -> None:
    """Check that some method gives what is to be stored beside scores."""
    tags = [choice.method.tags for choice in job.methods.values()]
    given = {
        "predictions": any(tag.gives_predictions for tag in tags),
        "reference_predictions": any(tag.gives_predictions for tag in tags),
        "convergence_delta": any(tag.needs_references for tag in tags),
    }
    missing = [content for content in job.asked.contents if not given.get(content, True)]
    if missing:
        raise InvalidInputError(
            f"none of {', '.join(job.methods)} gives {', '.join(missing)}; leave that out of what is stored"
        )


def manifest_of(
    job: Job,
    models: Sequence[ModelFacts],
    further_inputs: Mapping[str, Any],
    digests: tuple[str, ...],
    device: str,
    precision: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> Manifest:
    """Return the manifest of a job.

    Parameters
    ----------
    job, models
        The job, and what is known of its models.
    further_inputs
        What `array_digests` returns of its further inputs.
    digests
        The SHA-256 of each shard's records.
    device, precision
        Where its models run, and how precisely the framework computes there.
    machine
        What it takes from the machine.
    """
    asked = job.asked
    return Manifest(
        models=tuple(facts.described for facts in models),
        sequences=dict(job.source.description),
        further_inputs=further_inputs,
        methods={name: _method(choice) for name, choice in job.methods.items()},
        settings={
            "target": described(asked.target),
            "convention": asked.convention,
            "both strands": asked.both_strands,
            "stored": list(asked.contents),
            "dtype": asked.dtype,
            "each model": asked.members,
            "batch size": job.batch_size,
            "shard size": job.shard_size,
            "device": device,
            "precision": dict(precision),
        },
        shards=digests,
        versions=library_versions(),
        machine=machine,
    )


def own_code(job: Job) -> dict[str, Any]:
    """Return what is described of a job's methods and target, the code of those that no installed package defines."""
    return {
        "target": described(job.asked.target),
        **{f"method {name}": _method(choice) for name, choice in job.methods.items()},
    }


def check_own_code(job: Job, there: Mapping[str, Any]) -> None:
    """Check that a job's methods and target are here what `own_code` returned where the job was started.

    Raises
    ------
    InvalidInputError
        Something is made of other code or settings; the message says what, and on which machine.
    """
    for name, found in own_code(job).items():
        if found != there[name]:
            raise InvalidInputError(
                f"the {name} is made of other code or settings {here()} than where the job was started; {SAME_CODE}"
            )


def _method(choice: Choice) -> dict[str, Any]:
    """Return the options of a method, and the code of one that no installed package defines, JSON-able."""
    own = {} if is_installed(choice.method) else {"own code": described(choice.method)}
    return {**described(choice.options), **own}
