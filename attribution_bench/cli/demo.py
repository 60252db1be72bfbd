"""`attribution-bench demo`: every method on a small trained model whose motifs are known."""

import webbrowser
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attribution_bench.cli import options

REPEATED = 6
"""Sequences on which methods run again: the demonstration is to end soon."""


class DemoModel(StrEnum):
    """The demonstration models."""

    classifier = "classifier"
    profile = "profile"


TARGETS = {DemoModel.classifier: "accessible", DemoModel.profile: "count"}


def demo(
    model: Annotated[
        DemoModel, typer.Option(help="classifier (like Basset) or profile (like BPNet, its count).")
    ] = DemoModel.classifier,
    count: Annotated[int, options.Bounds(2, 10_000).option("Sequences to score", metavar="NUMBER")] = 24,
    seed: Annotated[int, options.SEEDS.option("Of the sequences", metavar="NUMBER")] = 0,
    threads: options.Threads = None,
    output: Annotated[Path, typer.Option(help="Results folder.")] = Path("attribution-bench-demo"),
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = True,
) -> None:
    """See what the suite does, with nothing of your own: methods compared on sequences with planted motifs.

    A network that was trained on JASPAR motifs in shuffled phage DNA comes with the package, so that the truth is
    known and nothing is downloaded. Writes the sequences, their sites, the scores and a report: open index.html.

    \b
    Examples:
      attribution-bench demo
      attribution-bench demo --model profile --count 50 --output demo

    Exit codes: 0 done, 1 some methods failed (the report names them), 2 bad input, 130 interrupted, 143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.cli.compare import SOME_FAILED, run
    from attribution_bench.cli.terminal import say
    from attribution_bench.demo import demonstration_sequences
    from attribution_bench.environment import announce_threads
    from attribution_bench.evaluation import Settings
    from attribution_bench.models.loading import model_source
    from attribution_bench.registry import list_methods
    from attribution_bench.sequences.fasta import write_fasta
    from attribution_bench.sequences.sites import write_sites

    thread_count = announce_threads(threads)
    planted = demonstration_sequences(count, seed)
    source = model_source(f"demo_{model}")
    opened = source.open(length=planted.sequences.length)
    write_fasta(output / "sequences.fa", planted.sequences)
    write_sites(output / "sites.bed", planted.sites, planted.sequences)
    evaluation = run(
        opened,
        planted.sequences,
        list_methods(),
        planted.sites,
        output,
        label=source.label,
        target=(TARGETS[model], 0),
        truth=None,
        settings=Settings(repeated_sequences=REPEATED),
        threads=thread_count,
        identity=source.name,
    )
    page = (output / "index.html").resolve()
    if show:
        webbrowser.open(page.as_uri())
    say(f"The report: {page}")
    raise typer.Exit(SOME_FAILED if any(method.reason for method in evaluation.methods) else 0)
