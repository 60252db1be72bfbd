"""`attribution-bench compare`: methods against each other on one's own model and sequences."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli import cluster, options
from attribution_bench.cli.benchmark import parse_target, refuse
from attribution_bench.cli.measure import INTERRUPTED
from attribution_bench.cli.plot import parse_value
from attribution_bench.cli.terminal import console, note, say
from attribution_bench.errors import InvalidInputError
from attribution_bench.storage.places import store_path

if TYPE_CHECKING:
    from attribution_bench.evaluation import Evaluation, Settings
    from attribution_bench.jobs.distributed.cluster import Starting
    from attribution_bench.jobs.recipes import Recipe
    from attribution_bench.models import SequenceModel, Target
    from attribution_bench.sequences import Sequences
    from attribution_bench.sequences.sites import Site

SOME_FAILED = 1
REPEATED = 20
SHORT = {"reference": "ref.", "undefined": "undef."}
"""Marks of the report as a table of the terminal has room for them."""
TimeLimit = Annotated[
    float | None,
    cluster.LIMITS.option(
        "Of one step of a method on a process, which is ended beyond it; by default there is none", metavar="SECONDS"
    ),
]


def compare(
    model: options.Model,
    sequences: Annotated[
        Path | None,
        typer.Argument(
            help="FASTA of sequences of one length, plain or gzipped. Or a second store, where MODEL is a store that "
            "`attribute` wrote: then stored scores are compared with each other, and no model runs.",
            metavar="SEQUENCES",
            parser=store_path,
        ),
    ] = None,
    methods: options.Methods = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="One number to explain: an index, output:index, or a reducer such as output:sum; by default that of a "
            "model of `attribution-bench models` that has one."
        ),
    ] = None,
    sites: Annotated[
        Path | None,
        typer.Option(
            help="BED of sites that are known to matter (first column: name of the sequence; a negative score marks a "
            "site that lowers the prediction)."
        ),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            help="Exact method to agree with; by default the first that takes full passes (standard_ism), or else the "
            "first exact one."
        ),
    ] = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    sequence_input: options.SequenceInput = None,
    alphabet: options.ModelAlphabet = None,
    device: options.Device = None,
    seed: Annotated[
        int, options.SEEDS.option("Of shuffles, mutations, references and the bootstrap", metavar="NUMBER")
    ] = 0,
    repeated: Annotated[
        int,
        options.Bounds(0, 1_000_000).option(
            "Sequences on which methods run again for sensitivity and stability, 0 for none", metavar="NUMBER"
        ),
    ] = REPEATED,
    threads: options.Threads = None,
    workers: cluster.Processes = None,
    dask: cluster.Scheduler = None,
    gpus: cluster.Gpus = None,
    tries: cluster.Tries = None,
    time_limit: TimeLimit = None,
    output: Annotated[Path, typer.Option(help="Results folder.")] = Path("reports/compare"),
) -> None:
    """Compare attribution methods on one model: are they right, and what do they cost.

    Agreement with exact ISM and with each other, completeness, deletion and insertion curves, infidelity,
    sensitivity, stability, and recovery of known sites, with bootstrap intervals. Writes the scores, every number,
    and a report: open index.html. The same command goes on after an interruption.

    \b
    Examples:
      attribution-bench compare model.keras peaks.fa
      attribution-bench compare my_package.models:build peaks.fa --target count:0 --output comparison
      attribution-bench compare model.pt2 peaks.fa --methods fastism,deepshap --sites motifs.bed
      attribution-bench compare model.pt2 peaks.fa --workers 4 --output comparison
      attribution-bench compare scores.zarr --output comparison

    Exit codes: 0 done, 1 some methods failed (the report names them), 2 bad input or the cluster lost, 130 interrupted,
    143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.benchmark.reproduction import check_names
    from attribution_bench.environment import announce_threads
    from attribution_bench.evaluation import Settings
    from attribution_bench.evaluation.comparison import most_steps
    from attribution_bench.jobs.recipes import Recipe
    from attribution_bench.models.loading import model_source
    from attribution_bench.registry import list_methods, list_peers
    from attribution_bench.sequences import read_fasta
    from attribution_bench.sequences.sites import read_sites
    from attribution_bench.storage.zarr_store import is_store

    processes = cluster.workers(workers, dask, gpus, tries, time_limit)
    if is_store(store_path(model)):
        if processes is not None:
            raise InvalidInputError("stored scores are compared in one process; leave --workers, --dask and --gpus out")
        refuse(
            "stored scores are compared as they are, without a model",
            {
                "--sites": sites,
                "--truth": truth,
                "--framework": framework is not options.Framework.torch,
                "--layout": layout,
                "--sequence-input": sequence_input,
                "--alphabet": alphabet,
                "--device": device,
                "--seed": seed,
                "--repeated": repeated != REPEATED,
                "--threads": threads,
            },
        )
        stores = [store_path(model), *([] if sequences is None else [sequences])]
        compare_stores(stores, output, options.names(methods, ()), parse_value(target))
        return
    if sequences is None:
        raise InvalidInputError("give SEQUENCES to score; only a store that `attribute` wrote is compared without them")
    # Those of other processes are shared out once it is known how many there are.
    thread_count = announce_threads(threads) if processes is None else threads
    letters = options.alphabet_of(alphabet)
    chosen = options.names(methods, tuple(list_methods()))
    check_names("method", chosen, [*list_methods(), *list_peers()])
    source = model_source(model)
    letters = letters or source.default_alphabet
    given = read_fasta(sequences, letters)
    known = read_sites(sites, given) if sites is not None else ()
    arguments: dict[str, Any] = {
        "length": given.length,
        "framework": str(framework),
        "device": device,
        "layout": None if layout is None else layout.value,
        "alphabet": letters,
        "sequence_input": options.sequence_input(sequence_input),
    }
    wanted = options.chosen_target(source, target)
    # With other processes this one only looks at the model, and may be on a machine without its device.
    here = arguments if processes is None else {**arguments, "device": "cpu"}
    with cluster.started(processes, source, str(framework), most_steps(len(chosen))) as begun:
        evaluation = run(
            source.open(**here),
            given,
            chosen,
            known,
            output,
            label=source.label,
            target=None if wanted is None else parse_target(wanted),
            truth=truth,
            settings=Settings(seed=seed, repeated_sequences=repeated),
            threads=thread_count,
            identity=f"{source.name} {source.options} {source.identity} {layout} {sequence_input}",
            processes=begun,
            recipe=Recipe(source, arguments, os.getcwd()),
        )
    raise typer.Exit(SOME_FAILED if any(method.reason for method in evaluation.methods) else 0)


def compare_stores(stores: Sequence[Path], output: Path, methods: Sequence[str], target: "Target") -> None:
    """Print how far stored scores agree, and write every sequence's agreement as ``agreement.tsv``.

    Parameters
    ----------
    methods
        Those to compare; all of the stores where there are none.
    target
        Which value, where scores are of several.

    Raises
    ------
    InvalidInputError
        The stores are not of the same sequences, hold one method, or not those or the value that are asked for.
    """
    from attribution_bench.evaluation.stored_agreement import MEASURES, stored_agreements
    from attribution_bench.files import write_whole
    from attribution_bench.reporting.store_report import agreement_table, selected_methods

    selected = selected_methods(stores, methods, target)
    agreements = stored_agreements(selected)
    names = next(iter(selected.values())).store.names
    lines = ["\t".join(("sequence", "name", "first", "second", *MEASURES))]
    for found in agreements:
        for row, record in enumerate(found.records.tolist()):
            values = (f"{found.values[measure][row]:.6g}" for measure in MEASURES)
            lines.append("\t".join((str(record), names[record], found.first, found.second, *values)))
    for line in agreement_table(agreements):
        say(line)
    say(str(write_whole(output / "agreement.tsv", "\n".join(lines) + "\n")))


def run(
    model: "SequenceModel",
    sequences: "Sequences",
    methods: Sequence[str],
    sites: "Sequence[Site]",
    output: Path,
    *,
    label: str,
    target: "Target",
    truth: str | None,
    settings: "Settings",
    threads: int | None,
    identity: str,
    processes: "Starting | None" = None,
    recipe: "Recipe | None" = None,
) -> "Evaluation":
    """Evaluate with a progress bar, write scores, numbers and report, and print a summary with the paths.

    An interruption says what is kept, and exits with 130.

    Parameters
    ----------
    threads
        Of this process, or of each of the others, which share the cores where it is None.
    identity
        What tells the model from others: stages that an interrupted run finished with the same one are used.
    processes
        Which do the work; this one by default.
    recipe
        How they open the model.
    """
    from attribution_bench.cli.comparison_progress import ComparisonProgress
    from attribution_bench.environment import thread_count
    from attribution_bench.evaluation import evaluate, save_evaluation
    from attribution_bench.evaluation.finished_stages import FinishedStages
    from attribution_bench.jobs.job import NamedModel
    from attribution_bench.registry import get_method

    classes = {name: get_method(name) for name in methods}
    if truth is None:
        truth = next((name for name, method in classes.items() if method.tags.full_passes), None)
    stages = FinishedStages(output, identity)
    # Where other processes do the work, this one has little to do.
    here = threads if threads and processes is None else 1
    note(f"comparing {', '.join(methods)} on {sequences.source}: {label}")
    with stages.held():
        try:
            with ComparisonProgress() as progress, thread_count(model.framework, here):
                evaluation, results = evaluate(
                    NamedModel(model, label, identity, recipe),
                    sequences,
                    classes,
                    label=label,
                    target=target,
                    sites=sites,
                    truth=truth,
                    settings=settings,
                    threads=threads,
                    observer=progress,
                    stages=stages,
                    cluster=processes,
                    tell=progress.told,
                )
            if stages.reused:
                note(f"used from the run that was interrupted: {'; '.join(stages.reused)}")
            save_evaluation(output, evaluation, results)
            render_comparison(evaluation, output)
        except KeyboardInterrupt as interruption:
            kept = f"{stages.kept} finished steps are kept in {stages.folder}" if stages.kept else "nothing is kept yet"
            note(f"interrupted: {kept}; the same command goes on")
            raise typer.Exit(INTERRUPTED) from interruption
        stages.clear()
    return evaluation


def render_comparison(evaluation: "Evaluation", output: Path) -> None:
    """Render the results folder of a comparison, print its table and what was written."""
    from attribution_bench.reporting.faithfulness import render_evaluation

    written = render_evaluation(output)
    show(evaluation)
    for method in evaluation.methods:
        if method.reason:
            note(f"{method.method}: no scores: {method.reason}")
    for path in written:
        say(str(path))


def show(evaluation: "Evaluation") -> None:
    """Print a table of methods by metrics: means over sequences, the best of each line in bold where there is one."""
    from rich.text import Text

    from attribution_bench.reporting.faithfulness.standing import known_metrics
    from attribution_bench.reporting.faithfulness.summary import BEST, REFERENCE, SHARED, mark
    from attribution_bench.reporting.faithfulness.texts import number_text
    from attribution_bench.reporting.labels import seconds_text
    from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

    scored = [method for method in evaluation.methods if method.reason is None]
    columns = (Column("mean of", right=False), *(Column(evaluation.label(method.method)) for method in scored))
    seconds = [method.seconds_per_100_sequences for method in scored]
    taken = ("-" if one is None else seconds_text(one) for one in seconds)
    lines = [TerminalLine(("Seconds per 100 ↓", *taken))]
    for metric in known_metrics(evaluation):
        cells = []
        for method in scored:
            marked, found = mark(evaluation, method, metric), method.means.get(metric.name)
            text = SHORT.get(marked, "-") if found is None or marked == REFERENCE else number_text(found.mean)
            cells.append(Text(text, style="bold" if marked in (BEST, SHARED) else ""))
        lines.append(TerminalLine((f"{metric.label} {'↑' if metric.better == 'higher' else '↓'}", *cells)))
    console().print(TerminalTable(columns, tuple(lines)))
    say(f"target {evaluation.target}; ↑ higher is better, ↓ lower is better; seconds per 100 sequences")
    say("ref.: agreement is measured with it; undef.: defined for no sequence, as the report explains")
