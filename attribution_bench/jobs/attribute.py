"""attribute_to_store: a user's own model on a user's own sequences, into a store, with nothing lost."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attribution_bench.conventions import Convention, check_convention
from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs.contents import DEFAULT_CONTENTS
from attribution_bench.jobs.distributed.cluster import Starting, Workers, connected
from attribution_bench.jobs.events import Observer, Summary
from attribution_bench.jobs.further_inputs import checked_rows, read_further_inputs
from attribution_bench.jobs.interruption import Stop, never
from attribution_bench.jobs.job import Job
from attribution_bench.jobs.open_models import ModelByRecipe, NamedModel, Openable, OpenModels
from attribution_bench.jobs.recipes import Recipe
from attribution_bench.jobs.run import run
from attribution_bench.jobs.scoring import Asked, Choice
from attribution_bench.jobs.shards import DEFAULT_SHARD_SIZE, shards_of
from attribution_bench.jobs.track_rows import holds_tracks, with_tracks
from attribution_bench.models import Target, as_sequence_model
from attribution_bench.models.loading import ModelSource
from attribution_bench.registry import get_method
from attribution_bench.sequences.alphabet import DNA, Alphabet
from attribution_bench.sequences.fasta import Sequences
from attribution_bench.sequences.fasta_source import FastaSource
from attribution_bench.sequences.listed_source import ListedSource
from attribution_bench.sequences.source import SequenceSource
from attribution_bench.storage.places import check_lasting, store_path

if TYPE_CHECKING:
    from distributed import Client

DEFAULT_METHODS = ("fastism",)


def attribute_to_store(
    model: Any,
    sequences: "str | os.PathLike[str] | Sequences | SequenceSource",
    output: str | os.PathLike[str],
    *,
    methods: Sequence[str] | Mapping[str, Mapping[str, Any]] = DEFAULT_METHODS,
    target: Target = None,
    additional_forward_args: Any = None,
    store: Sequence[str] = DEFAULT_CONTENTS,
    dtype: str = "float32",
    convention: Convention | None = None,
    both_strands: bool = False,
    each_model: bool = False,
    batch_size: int | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    threads: int | None = None,
    strict: bool = False,
    restart: bool = False,
    observer: Observer | None = None,
    stop: Stop = never,
    cluster: "Workers | Starting | Client | None" = None,
) -> Summary:
    """Score sequences shard by shard into a store, or go on with what an earlier call began there.

    Read it with `attribution_bench.storage.StoredScores` or ``xarray.open_zarr``.

    Parameters
    ----------
    model
        A model as `Attribution` takes it, or a list of them (folds), whose scores are stored as mean and standard
        deviation (``<name>_sd``); or `NamedModel`, to say where it comes from. A `ModelSource` or a `ModelByRecipe` is
        opened when it is needed, so that of any number of models a few are open at once.
    sequences
        A FASTA file (plain, gzip or bgzip), `Sequences`, or any `SequenceSource`, such as
        `attribution_bench.sequences.regions.RegionSource` for regions of a genome.
    output
        Folder of the store; it is made.
    methods
        Names of installed methods, or name -> options.
    target
        As in `Attribution.attribute`.
    additional_forward_args
        The model's further inputs: an ``.npz`` or ``.npy`` file, an array, `Tracks`, a tuple or a mapping of these.
        Arrays have one row for every record, those that are set aside included; `Tracks` give the values of a region.
    store
        What to store: ``scores`` (hypothetical), ``observed`` (of the reference letters), ``predictions`` of every
        mutation and ``reference_predictions`` (ISM methods), ``convergence_delta`` (methods with references).
    dtype
        Type of the stored numbers: ``float32`` or ``float16``.
    convention
        Of the scores of ISM methods; ``centred`` by default.
    both_strands
        Store the mean over each sequence and its reverse complement, in the places of the sequence.
    each_model
        Of several models, store each one's values as well (``<name>_models``).
    batch_size
        Given to the methods; their own by default.
    shard_size
        Sequences that are scored, written and resumed as one; what a killed job loses at most.
    threads
        CPU threads; by default those of the store, or as they stand.
    strict
        Raise where a sequence cannot be scored, instead of setting it aside with its reason.
    restart
        Begin anew; a store that is there is kept under another name.
    observer
        Called with every `attribution_bench.jobs.events.Event`; without one, cautions are warnings.
    stop
        Asked before each shard whether to stop; see `attribution_bench.jobs.interruption.stopping`.
    cluster
        Processes that compute the shards: `Workers`, or a Dask client of any cluster; this process by default. With
        the same number of threads the store holds the same bytes.

    Returns
    -------
    What became of the sequences. A sequence whose scores are no numbers is set aside like one that cannot be read.

    Raises
    ------
    InvalidInputError
        What is asked for cannot be done, or the folder holds another job; the difference is shown.
    OutputError
        The folder holds something else, is in use by another run, or cannot be written. Finished shards are kept.
    SetAsideError
        With ``strict``, a sequence cannot be scored.
    MissingDependencyError
        The extra ``genomics`` is not installed, or ``dask`` for a cluster.
    ClusterError
        The cluster cannot be reached, was lost, or cannot do the job. Finished shards are kept.
    AttributionBenchError
        Memory is too small for one sequence at a time, or on a cluster no shard can be computed.
    """
    models = _models(model)
    source = _source(sequences, models)
    if isinstance(additional_forward_args, str | os.PathLike):
        additional_forward_args = read_further_inputs(additional_forward_args)
    if holds_tracks(additional_forward_args):
        additional_forward_args = with_tracks(additional_forward_args, source, models.open((0,))[0])
    job = Job(
        models,
        source,
        _choices(methods),
        Asked(
            target,
            (store,) if isinstance(store, str) else tuple(store),
            dtype,
            None if convention is None else check_convention(convention),
            both_strands,
            each_model,
        ),
        checked_rows(additional_forward_args, len(source)),
        batch_size,
        shard_size,
        threads,
    )
    given: dict[str, Any] = {"strict": strict, "restart": restart, "observer": observer, "stop": stop}
    place = store_path(output)
    if cluster is None:
        return run(job, place, **given)
    check_lasting(place)
    # Processes that are starting do so meanwhile.
    models.open((0,))
    with connected(cluster, len(shards_of(len(source), shard_size))) as processes:
        from attribution_bench.jobs.distributed.shards import OnCluster

        with OnCluster(processes, stop) as runner:
            return run(job, place, **given, runner=runner)


def as_source(
    sequences: "str | os.PathLike[str] | Sequences | SequenceSource", alphabet: Alphabet, length: int | None = None
) -> SequenceSource:
    """Return sequences as a source: a FASTA file is opened, a list is wrapped, a source is itself.

    Raises
    ------
    SequenceError
        The file cannot be read.
    InvalidInputError
        The sequences are none of these.
    """
    if isinstance(sequences, Sequences):
        return ListedSource(sequences)
    if isinstance(sequences, str | os.PathLike):
        return FastaSource(sequences, alphabet, length)
    if not hasattr(sequences, "read") or not hasattr(sequences, "description"):
        raise InvalidInputError(
            f"sequences must be the path of a FASTA file, Sequences or a SequenceSource, not {type(sequences).__name__}"
        )
    return sequences


def _source(sequences: "str | os.PathLike[str] | Sequences | SequenceSource", models: OpenModels) -> SequenceSource:
    """Return sequences as a source; a file is read in the letters of the first model."""
    if isinstance(sequences, str | os.PathLike):
        return as_source(sequences, models.open((0,))[0].alphabet)
    return as_source(sequences, DNA)


def _models(model: Any) -> OpenModels:
    several = list(model) if isinstance(model, list | tuple) else [model]
    if not several:
        raise InvalidInputError("there is no model; give at least one")
    return OpenModels([_model(one) for one in several])


def _model(one: Any) -> Openable:
    if isinstance(one, NamedModel | ModelByRecipe):
        return one
    if isinstance(one, ModelSource):
        recipe = Recipe(one, {}, os.getcwd())
        return ModelByRecipe(recipe, one.label, one.identity, recipe)
    return NamedModel(as_sequence_model(one), "model")


def _choices(methods: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> dict[str, Choice]:
    if isinstance(methods, str):
        methods = (methods,)
    options = methods if isinstance(methods, Mapping) else {name: {} for name in methods}
    return {name: Choice(get_method(name), dict(given)) for name, given in options.items()}
