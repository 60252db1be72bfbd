"""`attribution-bench attribute`: one's own model on one's own sequences, into a store."""

import inspect
import json
import os
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from attribution_bench.cli import cluster, options, sequence_source
from attribution_bench.cli.benchmark import parse_target
from attribution_bench.cli.further_inputs import Inputs, further_inputs
from attribution_bench.cli.terminal import note
from attribution_bench.errors import ClusterError, InvalidInputError, SetAsideError
from attribution_bench.storage.places import check_lasting, store_path

SOME_SET_ASIDE, NOTHING_SCORED, INTERRUPTED = 1, 2, 128
SHARDS = options.Bounds(1, 100_000)


class NumberType(StrEnum):
    """Type of the stored numbers."""

    float32 = "float32"
    float16 = "float16"


def attribute(
    model: options.Model,
    sequences: Annotated[
        str | None,
        typer.Argument(
            help="FASTA (plain, gzip or bgzip); or, with --genome, a BED or narrowPeak file, or - for stdin.",
            metavar="SEQUENCES",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            help="Folder of the store, or its address (s3://, gs://); one that is begun is gone on with.",
            parser=store_path,
            metavar="PATH",
        ),
    ] = Path("scores.zarr"),
    genome: sequence_source.GenomeFile = None,
    regions: sequence_source.Locus = None,
    length: sequence_source.WindowLength = None,
    anchor: sequence_source.Anchor = None,
    overhang: sequence_source.Overhang = sequence_source.OverhangName.drop,
    stranded: sequence_source.Stranded = False,
    methods: options.Methods = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="Option of a method, such as deepshap.n_references=20; once for each.", metavar="TEXT"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="all, an index, an output, output:index, or a reducer such as output:sum."),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            help="What to store, comma-separated: scores (hypothetical; the default), observed, predictions, "
            "reference_predictions, convergence_delta.",
            metavar="NAMES",
        ),
    ] = None,
    dtype: Annotated[NumberType, typer.Option(help="Type of the stored numbers.")] = NumberType.float32,
    convention: Annotated[
        str | None, typer.Option(help="Of the scores of ISM methods: centred (the default), delta, ...")
    ] = None,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="Mean over each sequence and its reverse complement.")
    ] = False,
    fold: Annotated[
        list[str] | None,
        typer.Option(
            help="Further model, once for each: mean and standard deviation over all of them are stored.",
            metavar="MODEL",
        ),
    ] = None,
    each_model: Annotated[bool, typer.Option("--each-model", help="Of several models, store each one's too.")] = False,
    inputs: Inputs = None,
    seed: Annotated[int, options.SEEDS.option("Of methods that draw references", metavar="NUMBER")] = 0,
    batch_size: Annotated[
        int | None, options.BATCHES.option("Sequences in one call of the model", metavar="NUMBER")
    ] = None,
    shard_size: Annotated[
        int, SHARDS.option("Sequences written at once; what a killed run loses at most", metavar="NUMBER")
    ] = 64,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where a sequence cannot be scored, instead of setting it aside.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew; a store that is there is kept under another name.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on stdout: started, shard, caution, summary.")
    ] = False,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    sequence_input: options.SequenceInput = None,
    alphabet: options.ModelAlphabet = None,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: cluster.Processes = None,
    dask: cluster.Scheduler = None,
    gpus: cluster.Gpus = None,
    tries: cluster.Tries = None,
    time_limit: cluster.TimeLimit = None,
) -> None:
    """Score sequences or regions of a genome into a store, shard by shard; the same command goes on after any end.

    The store is a Zarr folder that xarray opens. What cannot be scored is set aside with its reason and counted.

    \b
    Examples:
      attribution-bench attribute model.keras peaks.fa --output scores.zarr
      attribution-bench attribute model.pt2 peaks.narrowPeak --genome hg38.fa.gz --target count:0
      attribution-bench attribute model.pt2 --genome hg38.fa --regions chr1:1,001-2,000
      attribution-bench attribute fold0.pt2 peaks.bed --genome hg38.fa --fold fold1.pt2 --fold fold2.pt2 --both-strands
      attribution-bench attribute basset peaks.fa --methods fastism,deepshap --store scores,convergence_delta
      attribution-bench attribute model.pt2 peaks.bed --genome hg38.fa --workers 4

    Exit codes: 0 done, 1 with --strict a sequence cannot be scored or on several processes every try of a shard failed,
    2 bad input, no sequence could be scored, memory or disk too small, the cluster lost, 130 after Ctrl-C, 143 after
    SIGTERM; the shards in work are finished first.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.cli.job_progress import JobProgress, JsonLines, stopping_text
    from attribution_bench.jobs import ModelByRecipe, attribute_to_store
    from attribution_bench.jobs.attribute import DEFAULT_METHODS, as_source
    from attribution_bench.jobs.contents import DEFAULT_CONTENTS
    from attribution_bench.jobs.interruption import stopping
    from attribution_bench.jobs.recipes import Recipe
    from attribution_bench.jobs.shards import shards_of
    from attribution_bench.models.loading import model_source
    from attribution_bench.sequences.regions import RegionSource

    letters = options.alphabet_of(alphabet)
    sequence_source.check_sequences(sequences, regions, genome)
    check_lasting(output)
    chosen = method_options(options.names(methods, DEFAULT_METHODS), option or (), seed)
    processes = cluster.workers(workers, dask, gpus, tries, time_limit)
    # Those of other processes are shared out once it is known how many there are.
    thread_count = announced_threads(threads, output, restart) if processes is None else threads
    sources = [model_source(name) for name in (model, *(fold or ()))]
    letters = letters or sources[0].default_alphabet
    settings: dict[str, Any] = {
        "framework": str(framework),
        "device": device,
        "layout": None if layout is None else layout.value,
        "alphabet": letters,
        "sequence_input": options.sequence_input(sequence_input),
    }
    if genome is None:
        source = as_source(str(sequences), letters, length)
    else:
        source = sequence_source.region_source(
            sequences,
            regions,
            genome,
            length or options.stated_length(sources[0], partial(sources[0].open, **settings)),
            anchor=anchor,
            overhang=overhang,
            stranded=stranded,
            alphabet=letters,
        )
    wanted = options.chosen_target(sources[0], target)
    further = further_inputs(inputs, source.genome if isinstance(source, RegionSource) else None)
    settings["length"] = source.length
    # With other processes this one only looks at the models, and may be on a machine without their device.
    here = settings if processes is None else {**settings, "device": "cpu"}
    shards = len(shards_of(len(source), shard_size))
    with cluster.started(processes, sources[0], str(framework), shards) as given:
        models = [
            ModelByRecipe(Recipe(one, here, os.getcwd()), one.label, one.identity, Recipe(one, settings, os.getcwd()))
            for one in sources
        ]
        progress = JobProgress()
        with progress if not json_lines else nullcontext(), stopping(lambda n: announce(stopping_text(n))) as stop:
            try:
                summary = attribute_to_store(
                    models,
                    source,
                    output,
                    methods=chosen,
                    target=None if wanted is None else parse_target(wanted),
                    additional_forward_args=further or None,
                    store=options.names(store, DEFAULT_CONTENTS),
                    dtype=dtype.value,
                    convention=convention,  # type: ignore[arg-type]
                    both_strands=both_strands,
                    each_model=each_model,
                    batch_size=batch_size,
                    shard_size=shard_size,
                    threads=thread_count,
                    strict=strict,
                    restart=restart,
                    observer=JsonLines() if json_lines else progress,
                    stop=stop,
                    cluster=given,
                )
            except SetAsideError as error:
                note(f"attribution-bench: {error}")
                raise typer.Exit(SOME_SET_ASIDE) from error
            except ClusterError as error:
                # Slurm ends the scheduler and the workers of a step by the signal that it ends this process by.
                if (asked := stop()) is None:
                    raise
                note(f"attribution-bench: {error}")
                raise typer.Exit(INTERRUPTED + asked) from error
            except KeyboardInterrupt as interruption:
                note("interrupted: what is written is kept; the same command goes on")
                raise typer.Exit(INTERRUPTED + (stop() or signal.SIGINT)) from interruption
    if summary.stopped_by is not None:
        raise typer.Exit(INTERRUPTED + signal.Signals[summary.stopped_by])
    if not summary.scored:
        raise typer.Exit(NOTHING_SCORED)
    if summary.failed_shards:
        raise typer.Exit(SOME_SET_ASIDE)


def announce(text: bytes) -> None:
    """Write to stderr at once; a signal's handler may not use Python's own buffers, which it may have interrupted."""
    os.write(2, text)


def announced_threads(threads: int | None, output: Path, restart: bool) -> int:
    """Announce and return the number of threads before a framework starts: the one given, the store's, or every core.

    A store that is gone on with keeps its number, on which the rounding of numbers depends.
    """
    from attribution_bench.environment import announce_threads
    from attribution_bench.jobs.manifest import Manifest

    stored = None if restart else Manifest.read(output)
    return announce_threads(threads or (None if stored is None else stored.machine["threads"]))


def method_options(methods: Sequence[str], given: Sequence[str], seed: int) -> dict[str, dict[str, Any]]:
    """Return the options of every method: those given as ``method.name=value``, and the seed where a method has one.

    Raises
    ------
    InvalidInputError
        An option is not written so, or is of a method that does not run.
    """
    from attribution_bench.registry import get_method

    found: dict[str, dict[str, Any]] = {
        name: {"seed": seed} if "seed" in inspect.signature(get_method(name)).parameters else {} for name in methods
    }
    for text in given:
        place, equals, value = text.partition("=")
        method, dot, name = place.partition(".")
        if not (equals and dot and name):
            raise InvalidInputError(f"--option takes method.name=value, such as deepshap.n_references=20, not {text!r}")
        if method not in found:
            raise InvalidInputError(f"--option {text}: {method!r} does not run; choose among {', '.join(methods)}")
        found[method][name] = option_value(value)
    return found


def option_value(text: str) -> Any:
    """Read a value as JSON has it (20, 0.5, true, null), or as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
