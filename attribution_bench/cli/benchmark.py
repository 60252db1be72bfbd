"""`attribution-bench benchmark`: the runner on any model."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli import options
from attribution_bench.cli.reproduce_paper import BUDGET
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.models.sequence_model import SequenceModel


class Suite(StrEnum):
    """What ``--suite`` took before the engine suite had a command of its own."""

    engine = "engine"


SUITE_MOVED = "attribution-bench: `benchmark --suite engine` is deprecated and will be removed; use `engine` instead"


def benchmark(
    model: Annotated[str | None, options.MODEL_ARGUMENT] = None,
    suite: Annotated[
        Suite | None, typer.Option(help="Deprecated: the command `engine` takes its place.", hidden=True)
    ] = None,
    architectures: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    lengths: options.Lengths = None,
    sequence_counts: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    methods: options.Methods = None,
    batch_sizes: options.BatchSizes = None,
    sequences: options.SequencesFile = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="all, an index, an output, output:index, or a reducer: sum, mean, logsumexp. By default that of a "
            "model of `attribution-bench models` that has one, else all."
        ),
    ] = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    sequence_input: options.SequenceInput = None,
    alphabet: options.ModelAlphabet = None,
    device: options.Device = None,
    budget: options.Budget = BUDGET,
    output: Annotated[Path | None, typer.Option(help="Results folder; reports/benchmark by default.")] = None,
    full: options.Full = False,
    fresh: options.Fresh = False,
    threads: options.Threads = None,
) -> None:
    """Time attribution methods on any model: seconds per 100 sequences, with the best of several batch sizes.

    Writes one JSON record a cell as it ends, then tables and a figure. Model files are read without unpickling
    anything. The same command goes on after an interruption.

    \b
    Examples:
      attribution-bench benchmark basset --lengths 500,1000 --methods fastism,standard_ism
      attribution-bench benchmark 'bpnet?length=2000' --target count
      attribution-bench benchmark model.keras --sequences peaks.fa --output results
      attribution-bench benchmark my_package.models:build --lengths 2114 --target profile:1000 --batch-sizes 16,64

    Exit codes: 0 done, 1 some cells failed (the table names them), 2 bad input, 130 interrupted, 143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.benchmark.devices import default_batch_sizes, resolve_device
    from attribution_bench.benchmark.protocol import Settings
    from attribution_bench.benchmark.reproduction import check_names, windows_of
    from attribution_bench.benchmark.runner import prepare_folder
    from attribution_bench.benchmark.workloads import Row
    from attribution_bench.cli.engine import OUTPUT, measure_engine
    from attribution_bench.cli.measure import exit_code, measure, render
    from attribution_bench.cli.terminal import note
    from attribution_bench.environment import announce_threads
    from attribution_bench.models.loading import model_source
    from attribution_bench.models.targets import select
    from attribution_bench.registry import list_methods, list_peers
    from attribution_bench.sequences import read_fasta

    thread_count = announce_threads(threads)
    if suite is not None:
        note(SUITE_MOVED)
        refuse(
            f"--suite {suite} measures the built-in architectures on bundled sequences, every output of them",
            {
                "MODEL": model,
                "--sequences": sequences,
                "--layout": layout,
                "--sequence-input": sequence_input,
                "--target": target if target != "all" else None,
                "--alphabet": alphabet if alphabet != "DNA" else None,
            },
        )
        measure_engine(
            architectures,
            lengths,
            sequence_counts,
            methods,
            batch_sizes,
            str(framework),
            output or OUTPUT,
            device=device,
            budget=budget,
            full=full,
            fresh=fresh,
            threads=thread_count,
        )
    if model is None:
        raise InvalidInputError("give a MODEL to measure; the engine suite is a command of its own, `engine`")
    refuse(
        "these belong to the command `engine`", {"--architectures": architectures, "--sequence-counts": sequence_counts}
    )
    output = output or Path("reports/benchmark")
    letters = options.alphabet_of(alphabet)
    chosen = options.names(methods, tuple(list_methods()))
    check_names("method", chosen, [*list_methods(), *list_peers()])
    source = model_source(model)
    letters = letters or source.default_alphabet
    if letters.name != "DNA" and sequences is None:
        raise InvalidInputError(f"the bundled sequences are DNA; give {letters.name} ones with --sequences")
    if source.kind == "built-in":
        resolve_device(str(framework), device)
    given = read_fasta(sequences, letters) if sequences else None
    sizes = options.numbers(batch_sizes, (), "--batch-sizes", options.BATCHES)
    open_model = partial(
        source.open,
        framework=str(framework),
        device=device,
        layout=None if layout is None else layout.value,
        alphabet=letters,
        sequence_input=options.sequence_input(sequence_input),
    )
    wanted = options.numbers(lengths, (), "--lengths", options.LETTERS) or (
        given.length if given else options.stated_length(source, open_model, "--lengths"),
    )
    goal = parse_target(options.chosen_target(source, target) or "all")
    rows = []
    for length in dict.fromkeys(wanted):
        windows = windows_of(length, given)
        # Opened here once, so that what the model does not offer is said before anything is measured or written.
        opened: SequenceModel = open_model(length=length)
        select(goal, opened.outputs(length))
        rows.append(
            Row(
                source.label,
                length,
                opened.framework,
                partial(open_model, length=length, device=opened.device),
                windows,
                chosen,
                source.identity,
            )
        )
    settings = Settings(budget=budget, batch_sizes=sizes or default_batch_sizes(opened.device), full=full)
    prepare_folder(output)
    records = measure(rows, output, settings, target=goal, device=opened.device, threads=thread_count, fresh=fresh)
    render(records, output)
    raise typer.Exit(exit_code(records))


def refuse(reason: str, given: dict[str, object]) -> None:
    """Raise InvalidInputError for options that were given and do not apply."""
    named = [name for name, value in given.items() if value]
    if named:
        raise InvalidInputError(f"{reason}; leave out {', '.join(named)}")


def parse_target(text: str) -> Any:
    """Read a target: ``all``, an index, an output's name, a reducer, ``name:index`` or ``name:reducer``.

    An index is one number, or several with commas between them: one for each of the output's first axes.
    """
    name, colon, part = text.partition(":")
    if not colon:
        return _index(text)
    if not name or not part:
        raise InvalidInputError(f"target {text!r} must be name:index or name:reducer, such as profile:500")
    return name, _index(part)


def _index(text: str) -> int | tuple[int, ...] | str:
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError:
        return text
    return numbers if len(numbers) > 1 else numbers[0]
