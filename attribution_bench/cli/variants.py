"""`attribution-bench variants`: effects of the variants of a VCF file."""

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli import options
from attribution_bench.cli.benchmark import parse_target
from attribution_bench.cli.terminal import note
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.models import SequenceModel
    from attribution_bench.models.loading import ModelSource
    from attribution_bench.variants import Effects
    from attribution_bench.variants.table import Summary

DISTANCES, SHARES = options.Bounds(0, 10_000_000), options.Bounds(0, 1)
NOTHING_SCORED = 2
INTERRUPTED = 130
SHARED_PART = 8
"""With --share-windows a variant is at most this part of the window's length from its middle."""


class EffectsName(StrEnum):
    """Which effects are computed."""

    numbers = "numbers"
    profile = "profile"
    splicing = "splicing"


class StrandsName(StrEnum):
    """Strands that the model is given."""

    plus = "+"
    minus = "-"
    both = "both"


class OverhangName(StrEnum):
    """What happens to a window that reaches beyond its contig."""

    drop = "drop"
    pad = "pad"


def variants(
    model: options.Model,
    vcf: Annotated[str, typer.Argument(help="VCF or BCF file, plain or compressed; - for stdin.", metavar="VCF")],
    genome: Annotated[Path, typer.Option(help="FASTA of the genome, plain or bgzip; its index is made if missing.")],
    output: Annotated[Path, typer.Option(help="Table of effects, tab-separated; a run that was stopped goes on.")],
    annotated: Annotated[
        Path | None, typer.Option(help="The VCF file again, with the effects in INFO: .vcf or .vcf.gz.")
    ] = None,
    effects: Annotated[
        EffectsName | None,
        typer.Option(
            help="By default what suits a model of `attribution-bench models`, else numbers. numbers: difference and "
            "fold change of each number of the target. profile: Jensen-Shannon distance of profiles, "
            "fold change of counts. splicing: largest gain and loss of each class, with offsets."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Of numbers: an index, an output, output:index, a reducer such as output:sum, or all."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Output that is the profile; not needed where it is plain.", metavar="NAME")
    ] = None,
    counts: Annotated[
        str | None, typer.Option(help="Output that is the counts; not needed where it is plain.", metavar="NAME")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(help="Classes of splicing with their indices: acceptor=1,donor=2.", metavar="NAMES"),
    ] = None,
    distance: Annotated[
        int | None,
        DISTANCES.option("Letters about the variant where gains and losses are looked for", metavar="LETTERS"),
    ] = None,
    length: Annotated[
        int | None, options.LETTERS.option("Letters of a window; by default what the model states", metavar="LETTERS")
    ] = None,
    strand: Annotated[
        StrandsName, typer.Option(help="Strand that the model is given; of both, predictions are averaged.")
    ] = StrandsName.plus,
    share_windows: Annotated[
        bool,
        typer.Option("--share-windows", help="Nearby variants share a window, which need not be centred on them."),
    ] = False,
    overhang: Annotated[
        OverhangName, typer.Option(help="Windows that reach beyond their contig: filled with N, or set aside.")
    ] = OverhangName.pad,
    max_unknown: Annotated[
        float,
        SHARES.option("Largest share of N in a window; variants with more are set aside", metavar="SHARE"),
    ] = 0.5,
    chromosome: Annotated[
        str | None, typer.Option(help="Only the variants of this contig; the index of the VCF is used where it is.")
    ] = None,
    fail_on_mismatch: Annotated[
        bool,
        typer.Option("--fail-on-mismatch", help="End where a reference allele is not what the genome has."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first allele that would be set aside, whatever the reason.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, whatever a run that was stopped has left.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Progress and summary as JSON, one object a line, on stdout.")
    ] = False,
    batch_size: Annotated[
        int | None, options.BATCHES.option("Sequences in one call of the model", metavar="NUMBER")
    ] = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    alphabet: options.AlphabetName = "DNA",
    device: options.Device = None,
    threads: options.Threads = None,
) -> None:
    """Score the variants of a VCF file: what the model predicts of both alleles, and how far apart that is.

    Substitutions compute only what they affect; insertions and deletions take the genome's own letters to keep the
    window's length. What cannot be scored is set aside with its reason, and counted at the end. The same command goes
    on where a run was stopped.

    \b
    Examples:
      attribution-bench variants model.pt2 variants.vcf.gz --genome hg38.fa.gz --output effects.tsv
      attribution-bench variants chrombpnet.h5 variants.vcf --genome hg38.fa --effects profile --strand both \\
        --output effects.tsv --annotated annotated.vcf.gz
      attribution-bench variants splice.h5 - --genome hg19.fa --effects splicing --classes acceptor=1,donor=2 \\
        --distance 50 --length 10101 --output effects.tsv < variants.vcf
      attribution-bench variants spliceai variants.vcf --genome hg19.fa --output effects.tsv

    Exit codes: 0 done, 2 bad input or no variant could be scored, 130 interrupted, 143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.environment import announce_threads, thread_count
    from attribution_bench.models.loading import model_source
    from attribution_bench.sequences import ALPHABETS
    from attribution_bench.sequences.genome import Genome
    from attribution_bench.sequences.variants import VariantReason
    from attribution_bench.variants.annotate import check_annotated_path
    from attribution_bench.variants.job import score_vcf
    from attribution_bench.variants.score import variant_scorer

    thread_number = announce_threads(threads)
    if alphabet not in ALPHABETS:
        raise InvalidInputError(f"unknown alphabet {alphabet!r}; choose one of {', '.join(ALPHABETS)}")
    if annotated is not None:
        check_annotated_path(annotated)
    chosen = _effects(effects or EffectsName.numbers, target, profile, counts, classes, distance)
    opened_genome = Genome(genome)
    source = model_source(model)
    if effects is None:
        chosen = _default_effects(source, chosen, (target, profile, counts, classes, distance))
    arguments: dict[str, Any] = {
        "framework": str(framework),
        "device": device,
        "layout": None if layout is None else layout.value,
        "alphabet": ALPHABETS[alphabet],
    }
    window = length or options.stated_length(source, partial(source.open, **arguments))
    opened = source.open(length=window, **arguments)
    choices: dict[str, Any] = {
        "length": window,
        "strand": strand.value,
        "share_within": window // SHARED_PART if share_windows else 0,
        "overhang": overhang.value,
        "largest_unknown_share": max_unknown,
        "batch_size": batch_size,
    }
    with thread_count(opened.framework, thread_number):
        scorer = variant_scorer(opened, opened_genome, effects=chosen, **choices)
        shown = _JsonProgress() if json_lines else _LineProgress()
        with shown:
            try:
                summary = score_vcf(
                    scorer,
                    vcf,
                    output,
                    annotated=annotated,
                    chromosome=chromosome,
                    settings={
                        **_settings(source, opened, opened_genome, chosen),
                        **choices,
                        "chromosome": chromosome,
                    },
                    restart=restart,
                    fatal=tuple(VariantReason) if strict else (VariantReason.REF_MISMATCH,) if fail_on_mismatch else (),
                    progress=shown.update,
                )
            except KeyboardInterrupt:
                note(f"interrupted: {output}.partial is kept; the same command goes on")
                raise typer.Exit(INTERRUPTED) from None
    shown.end(summary, [output] if annotated is None else [output, annotated])
    if summary.total and not summary.scored:
        raise typer.Exit(NOTHING_SCORED)


def _effects(
    effects: EffectsName,
    target: str | None,
    profile: str | None,
    counts: str | None,
    classes: list[str] | None,
    distance: int | None,
) -> "Effects":
    """Return the effects that the options choose; raises InvalidInputError where options are of other effects."""
    from attribution_bench.variants import ProfileEffects, ScalarEffects, SplicingEffects

    belongs: dict[EffectsName, dict[str, Any]] = {
        EffectsName.numbers: {"--target": target},
        EffectsName.profile: {"--profile": profile, "--counts": counts},
        EffectsName.splicing: {"--classes": classes, "--distance": distance},
    }
    for other, given in belongs.items():
        for option, value in given.items():
            if other != effects and value is not None:
                raise InvalidInputError(f"{option} goes with --effects {other}, not with --effects {effects}")
    if effects == EffectsName.numbers:
        return ScalarEffects(None if target is None else parse_target(target))
    if effects == EffectsName.profile:
        return ProfileEffects(profile, counts)
    indices = {}
    for text in options.names(classes, ()):
        name, equals, index = text.partition("=")
        if not name or not equals or not index.isdecimal():
            raise InvalidInputError(f"--classes takes names with indices, such as acceptor=1,donor=2, not {text!r}")
        indices[name] = int(index)
    return SplicingEffects(indices, distance=distance)


def _default_effects(source: "ModelSource", numbers: "Effects", given: tuple[Any, ...]) -> "Effects":
    """Return the effects that suit a catalogued model where no option says which; else differences of numbers."""
    from attribution_bench.variants import ScalarEffects

    if any(value is not None for value in given):
        return numbers
    if source.default_effects is not None:
        return source.default_effects  # type: ignore[no-any-return]
    return numbers if source.default_target is None else ScalarEffects(parse_target(source.default_target))


def _settings(source: "ModelSource", model: "SequenceModel", genome: Any, effects: "Effects") -> dict[str, Any]:
    """Return what the numbers depend on, for the file beside the table."""
    import hashlib

    from attribution_bench._version import __version__
    from attribution_bench.models.digest import weights_digest

    contigs = "\n".join(f"{name}\t{length}" for name, length in genome.contigs.items())
    return {
        "model": source.label,
        "model_sha256": source.identity,
        # The source of a callable does not tell which weights it loads.
        "weights_sha256": weights_digest(model),
        "genome": genome.path.name,
        "genome_contigs_sha256": hashlib.sha256(contigs.encode()).hexdigest(),
        "effects": repr(effects),
        "framework": model.framework,
        "device": model.device,
        "dtype": str(model.numpy_dtype),
        "versions": {"attribution-bench": __version__, **model.versions()},
    }


class _LineProgress:
    """Progress on a terminal, and the summary as lines, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "_LineProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, summary: "Summary") -> None:
        """Show how far the run is."""
        rate = "" if not summary.seconds_per_100 else f", {100 / summary.seconds_per_100:.3g} a second"
        self._bar.update(self._task, description=f"{summary.total:,} alleles{rate}")

    def end(self, summary: "Summary", written: list[Path]) -> None:
        """Print what became of the alleles, and the files that were written."""
        seconds = "" if summary.seconds_per_100 is None else f", {summary.seconds_per_100:.3g} seconds per 100"
        resumed = f", {summary.resumed:,} of them by a run that was stopped" if summary.resumed else ""
        lines = [f"scored {summary.scored:,} of {summary.total:,} alleles{resumed}{seconds}"]
        for reason, count in summary.set_aside.most_common():
            lines.append(f"set aside {count:,}: {reason}")
        for line in lines:
            note(line)
        for path in written:
            print(path)


class _JsonProgress:
    """Progress and summary as JSON, one object a line, on stdout."""

    def __enter__(self) -> "_JsonProgress":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, summary: "Summary") -> None:
        """Print how far the run is."""
        print(json.dumps({"event": "progress", **self._counts(summary)}), flush=True)

    def end(self, summary: "Summary", written: list[Path]) -> None:
        """Print what became of the alleles, and the files that were written."""
        print(json.dumps({"event": "summary", **self._counts(summary), "files": [str(path) for path in written]}))

    def _counts(self, summary: "Summary") -> dict[str, Any]:
        return {
            "alleles": summary.total,
            "scored": summary.scored,
            "set_aside": {reason.name: count for reason, count in summary.set_aside.items()},
            "resumed": summary.resumed,
            "seconds": round(summary.seconds, 3),
            "seconds_per_100": summary.seconds_per_100,
        }
