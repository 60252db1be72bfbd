"""Jobs: models, sequences, methods, and what is stored of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from attribution_bench.environment import library_versions
from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs import further_inputs
from attribution_bench.jobs.contents import check_contents
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.recipes import Recipe
from attribution_bench.jobs.scoring import Asked, Choice, check_both_strands, described_options
from attribution_bench.jobs.shards import DEFAULT_SHARD_SIZE, Shard, shards_of
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.models import SequenceModel
from attribution_bench.models.digest import weights_digest
from attribution_bench.sequences.source import Assuming, SequenceSource


@dataclass(frozen=True)
class NamedModel:
    """A model, and where it comes from."""

    model: SequenceModel
    label: str
    identity: str = ""
    """Digest of its file or source, where it has one."""
    recipe: Recipe | None = None
    """How another process opens the same model; without one it is given the model itself."""


@dataclass(frozen=True)
class Job:
    """What is to be done; the store's manifest says the same in digests."""

    models: Sequence[NamedModel]
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


def checked_shards(job: Job) -> list[Shard]:
    """Check what can be checked of a job before its sequences are read; returns its shards.

    Raises
    ------
    InvalidInputError
        Something of it cannot be used.
    UnsupportedError
        Both strands cannot be averaged.
    """
    if not job.models or not job.methods:
        raise InvalidInputError("give at least one model and one method")
    if job.batch_size is not None and job.batch_size < 1:
        raise InvalidInputError(f"batch_size must be at least 1, not {job.batch_size}")
    if job.asked.members and len(job.models) < 2:
        raise InvalidInputError("each model's own values are stored of several models; there is one")
    check_contents(job.asked.contents, job.asked.dtype)
    _check_given(job)
    first, *others = (named.model for named in job.models)
    for model in others:
        if (model.framework, model.device) != (first.framework, first.device):
            raise InvalidInputError(
                f"models whose scores are averaged run in one framework and on one device, not {first.framework} on "
                f"{first.device} and {model.framework} on {model.device}"
            )
    if first.alphabet != job.source.alphabet:
        raise InvalidInputError(
            f"the model reads {first.alphabet.name}, but the sequences are {job.source.alphabet.name}"
        )
    assumptions(job)
    return shards_of(len(job.source), job.shard_size)


def assumptions(job: Job) -> list[str]:
    """Return what is taken for granted of sequences, of tracks and of the strands that are averaged, each once.

    Raises
    ------
    UnsupportedError
        The strands cannot be averaged.
    """
    asked, extras, length = job.asked, tuple(job.extras.values()), job.source.length
    found = list(job.source.assumptions) if isinstance(job.source, Assuming) else []
    found += [text for extra in extras if isinstance(extra, TrackRows) for text in extra.tracks.cautions]
    if asked.both_strands:
        found += [
            text for named in job.models for text in check_both_strands(named.model, asked.target, extras, length)
        ]
    return list(dict.fromkeys(found))


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
    job: Job, shards: Sequence[Shard], digests: tuple[str, ...], device: str, machine: Mapping[str, Any]
) -> Manifest:
    """Return the manifest of a job.

    Parameters
    ----------
    job
        The job.
    shards, digests
        Its shards, and the SHA-256 of each one's records.
    device
        Where its models run.
    machine
        What it takes from the machine.
    """
    asked, stretches = job.asked, [slice(shard.start, shard.stop) for shard in shards]
    return Manifest(
        models=tuple(
            {
                "label": named.label,
                "framework": named.model.framework,
                "layout": named.model.layout,
                "sequence input": named.model.sequence_input,
                "sha256 of weights": weights_digest(named.model),
                "sha256 of file": named.identity,
            }
            for named in job.models
        ),
        sequences=dict(job.source.description),
        further_inputs=further_inputs.described(job.extras, stretches),
        methods={name: described_options(choice.options) for name, choice in job.methods.items()},
        settings={
            **described_options({"target": asked.target}),
            "convention": asked.convention,
            "both strands": asked.both_strands,
            "stored": list(asked.contents),
            "dtype": asked.dtype,
            "each model": asked.members,
            "batch size": job.batch_size,
            "shard size": job.shard_size,
            "device": device,
        },
        shards=digests,
        versions=library_versions(),
        machine=machine,
    )
