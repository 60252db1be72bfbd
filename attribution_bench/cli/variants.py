"""`attribution-bench variants`: effects of the variants of a VCF file."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli import cluster, options
from attribution_bench.cli.benchmark import parse_target
from attribution_bench.cli.further_inputs import Inputs, further_inputs
from attribution_bench.cli.terminal import note
from attribution_bench.errors import InvalidInputError, SetAsideError

if TYPE_CHECKING:
    from attribution_bench.cli.variant_progress import JsonProgress, LineProgress
    from attribution_bench.jobs.distributed.cluster import Starting
    from attribution_bench.jobs.job import NamedModel
    from attribution_bench.models.loading import ModelSource
    from attribution_bench.sequences import Genes, Genome
    from attribution_bench.variants import Effects
    from attribution_bench.variants.score import VariantScorer
    from attribution_bench.variants.summary import Summary

DISTANCES, SHARES = options.Bounds(0, 10_000_000), options.Bounds(0, 1)
SOME_SET_ASIDE, NOTHING_SCORED, INTERRUPTED = 1, 2, 130
SHARED_PART = 8
"""With --share-windows a variant is at most this part of the window's length from its middle."""
INSERTED = 50
"""Inserted letters for which windows of a catalogued model of splice sites have room, where it takes any length."""


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
    output: Annotated[
        Path,
        typer.Option(
            help="Table of effects, tab-separated. A run that was stopped goes on; of a table that is complete only "
            "new variants are scored."
        ),
    ],
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
    masked: Annotated[
        bool,
        typer.Option(
            "--masked",
            help="Of splicing in genes, 0 for a gain at the nearest boundary of an exon, and for a loss elsewhere.",
        ),
    ] = False,
    fold: Annotated[
        list[str] | None,
        typer.Option(
            help="Further model, once for each: mean and standard deviation over all of them are written.",
            metavar="MODEL",
        ),
    ] = None,
    each_model: Annotated[
        bool, typer.Option("--each-model", help="Of several models, write each one's effects too.")
    ] = False,
    inputs: Inputs = None,
    length: Annotated[
        int | None, options.LETTERS.option("Letters of a window; by default what the model states", metavar="LETTERS")
    ] = None,
    strand: Annotated[
        StrandsName | None,
        typer.Option(
            help="Strand that the model is given; of both, predictions are averaged. By default that of the genes "
            "where there are some, else +."
        ),
    ] = None,
    genes: Annotated[
        Path | None,
        typer.Option(
            help="Table of genes as SpliceAI has it, or grch37 or grch38 of a model that has them: variants are scored "
            "on their gene's strand, with N beyond it. By default a model of `attribution-bench models` that has genes "
            "has those of the genome."
        ),
    ] = None,
    share_windows: Annotated[
        bool,
        typer.Option(
            "--share-windows",
            help="Nearby variants share a window, which need not be centred on them; with splicing as far as --length "
            "has room beyond --distance.",
        ),
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
        typer.Option("--fail-on-mismatch", help="Fail at the first reference allele that is not what the genome has."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail at the first allele that would be set aside, whatever the reason.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew: a table that is there, complete or not, is removed.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on stdout: caution, progress, summary.")
    ] = False,
    batch_size: Annotated[
        int | None, options.BATCHES.option("Sequences in one call of the model", metavar="NUMBER")
    ] = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    sequence_input: options.SequenceInput = None,
    alphabet: options.AlphabetName = "DNA",
    device: options.Device = None,
    threads: options.Threads = None,
    workers: cluster.Processes = None,
    dask: cluster.Scheduler = None,
    gpus: cluster.Gpus = None,
    tries: cluster.Tries = None,
    time_limit: cluster.TimeLimit = None,
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
        --distance 50 --length 10201 --genes genes.txt --output effects.tsv < variants.vcf
      attribution-bench variants spliceai variants.vcf --genome hg19.fa --output effects.tsv
      attribution-bench variants fold0.pt2 variants.vcf --genome hg38.fa --fold fold1.pt2 --fold fold2.pt2 \\
        --inputs control=control.bw --output effects.tsv
      attribution-bench variants model.pt2 variants.vcf.gz --genome hg38.fa --workers 4 --output effects.tsv

    Exit codes: 0 done, 1 with --strict or --fail-on-mismatch an allele cannot be scored or on several processes every
    try of a block failed, 2 bad input, no allele could be scored or the cluster lost, 130 interrupted, 143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.cli.variant_progress import JsonProgress, LineProgress
    from attribution_bench.environment import announce_threads, thread_count
    from attribution_bench.jobs.job import NamedModel
    from attribution_bench.jobs.recipes import Recipe
    from attribution_bench.models.loading import model_source
    from attribution_bench.sequences import ALPHABETS
    from attribution_bench.sequences.genome import Genome
    from attribution_bench.sequences.variants import VariantReason
    from attribution_bench.variants.annotate import check_annotated_path
    from attribution_bench.variants.cautions import of_genes, told
    from attribution_bench.variants.identity import identity_of, read_settings
    from attribution_bench.variants.job import most_blocks, score_vcf
    from attribution_bench.variants.options import ScoringOptions
    from attribution_bench.variants.score import variant_scorer

    # A table that is gone on with keeps its number of threads, on which the rounding of numbers depends.
    stored = None if restart else read_settings(output)
    known_threads = threads or (stored or {}).get("threads")
    processes = cluster.workers(workers, dask, gpus, tries, time_limit)
    thread_number = announce_threads(known_threads) if processes is None else 1
    if alphabet not in ALPHABETS:
        raise InvalidInputError(f"unknown alphabet {alphabet!r}; choose one of {', '.join(ALPHABETS)}")
    if annotated is not None:
        check_annotated_path(annotated)
    if genes is not None and strand is not None:
        raise InvalidInputError("the strand is that of the genes; leave --strand out, or --genes")
    opened_genome = Genome(genome)
    sources = [model_source(name) for name in (model, *(fold or ()))]
    chosen = None
    if all(option is None for option in (target, profile, counts, classes)):
        chosen = _default_effects(sources[0], effects, distance, masked=masked)
    if chosen is None:
        chosen = _effects(effects or EffectsName.numbers, target, profile, counts, classes, distance, masked=masked)
    arguments: dict[str, Any] = {
        "framework": str(framework),
        "device": device,
        "layout": None if layout is None else layout.value,
        "alphabet": ALPHABETS[alphabet],
        "sequence_input": options.sequence_input(sequence_input),
    }
    window = length or (
        options.stated_length(sources[0], partial(sources[0].open, **arguments)) + _letters_more(sources[0], chosen)
    )
    arguments["length"] = window
    # With other processes this one only looks at the models, and may be on a machine without their device.
    here = arguments if processes is None else {**arguments, "device": "cpu"}
    most = None if processes is None or processes.address is not None else most_blocks(vcf)
    with cluster.started(processes, sources[0], str(framework), most) as given:
        named = [
            NamedModel(source.open(**here), source.label, source.identity, Recipe(source, arguments, os.getcwd()))
            for source in sources
        ]
        models = [one.model for one in named]
        choices = ScoringOptions(
            length=window,
            effects=chosen,
            strand=None if strand is None else strand.value,
            genes=_genes(sources[0], genes, opened_genome) if genes is not None or strand is None else None,
            overhang=overhang.value,
            largest_unknown_share=max_unknown,
            batch_size=batch_size,
            additional_forward_args=further_inputs(inputs, opened_genome),
            each_model=each_model,
            length_follows_distance=length is None and _follows_distance(sources[0], chosen),
        )
        progress: JsonProgress | LineProgress = JsonProgress() if json_lines else LineProgress()
        with thread_count(models[0].framework, thread_number), told(progress.caution) as tell, progress:
            scorer = variant_scorer(models, opened_genome, choices)
            if share_windows:
                scorer = scorer.sharing(window // SHARED_PART)
            if choices.genes is not None:
                progress.genes(choices.genes.name)
            for text in scorer.cautions:
                tell(text)
            run = partial(
                score_vcf,
                scorer,
                vcf,
                output,
                annotated=annotated,
                chromosome=chromosome,
                restart=restart,
                fatal=tuple(VariantReason) if strict else (VariantReason.REF_MISMATCH,) if fail_on_mismatch else (),
            )
            files = {"models": [{"label": one.label, "file_sha256": one.identity} for one in sources]}
            try:
                if given is None:
                    settings = {**files, **identity_of(scorer), "threads": thread_number}
                    summary = run(settings=settings, progress=progress.update)
                else:
                    summary = on_cluster(run, scorer, named, output, files, given, known_threads, progress, tell)
            except SetAsideError as error:
                note(f"attribution-bench: {error}")
                raise typer.Exit(SOME_SET_ASIDE) from error
            except KeyboardInterrupt:
                note(f"interrupted: {output}.partial is kept; the same command goes on")
                raise typer.Exit(INTERRUPTED) from None
            doubt = of_genes(choices.genes, summary)
            if doubt is not None:
                tell(doubt)
    progress.end(summary, [output] if annotated is None else [output, annotated])
    if summary.total and not summary.scored:
        raise typer.Exit(NOTHING_SCORED)
    if summary.set_aside[VariantReason.NOT_COMPUTED]:
        raise typer.Exit(SOME_SET_ASIDE)


def on_cluster(
    run: "Callable[..., Summary]",
    scorer: "VariantScorer",
    models: "Sequence[NamedModel]",
    output: Path,
    files: dict[str, Any],
    processes: "Starting",
    threads: int | None,
    progress: "JsonProgress | LineProgress",
    tell: Callable[..., None],
) -> "Summary":
    """Score on other processes what `run` reads and writes in this one; `tell` tells a caution of each kind once."""
    from attribution_bench.jobs.distributed.cluster import connected, fewer_started, more_threads
    from attribution_bench.jobs.distributed.first_worker import await_worker
    from attribution_bench.jobs.events import Caution, Cluster, Event, Retry
    from attribution_bench.variants.distributed import BlocksOnCluster, VariantFacts, posted
    from attribution_bench.variants.score import BLOCK

    retries = 0

    def told(event: Event) -> None:
        nonlocal retries
        retries += isinstance(event, Retry)
        if isinstance(event, Caution):
            tell(event.text, event.kind)
        else:
            progress.told(event)

    with connected(processes) as connection:
        await_worker(connection, told)
        each = threads or connection.threads
        with posted(connection, models, scorer.genome, scorer.options, each, told) as dispatch:
            facts: VariantFacts = dispatch.facts()
            settings = {**files, **facts.identity, "threads": each}
            blocks_there = "is only 1 block" if dispatch.workers == 1 else f"are only {dispatch.workers} blocks"
            fewer = fewer_started(f"there {blocks_there} of up to {BLOCK} variants", connection)
            for text in filter(None, (fewer, more_threads(each, connection))):
                tell(text)
            told(Cluster(dispatch.workers, each, connection.dashboard))

            def counted(summary: "Summary") -> None:
                summary.retries, summary.cores = retries, each * dispatch.workers
                progress.update(summary)

            blocks = BlocksOnCluster(scorer, dispatch, output, settings, facts, told)
            return run(settings=settings, progress=counted, blocks=blocks.blocks)


def _effects(
    effects: EffectsName,
    target: str | None,
    profile: str | None,
    counts: str | None,
    classes: list[str] | None,
    distance: int | None,
    *,
    masked: bool,
) -> "Effects":
    """Return the effects that the options choose; raises InvalidInputError where options are of other effects."""
    from attribution_bench.variants import ProfileEffects, ScalarEffects, SplicingEffects

    belongs: dict[EffectsName, dict[str, Any]] = {
        EffectsName.numbers: {"--target": target},
        EffectsName.profile: {"--profile": profile, "--counts": counts},
        EffectsName.splicing: {"--classes": classes, "--distance": distance, "--masked": masked or None},
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
    return SplicingEffects(indices, distance=distance, masked=masked)


def _default_effects(
    source: "ModelSource", effects: EffectsName | None, distance: int | None, *, masked: bool
) -> "Effects | None":
    """Return the effects that suit a catalogued model, as the options have them; None where options are of others."""
    from attribution_bench.variants import ScalarEffects, SplicingEffects

    own: Effects | None = source.default_effects
    if isinstance(own, SplicingEffects) and effects in (None, EffectsName.splicing):
        return replace(own, distance=own.distance if distance is None else distance, masked=masked or own.masked)
    if distance is not None or masked or effects not in (None, EffectsName.numbers):
        return None
    if own is not None and effects is None:
        return own
    wanted = options.chosen_target(source, None)
    return None if wanted is None else ScalarEffects(parse_target(wanted))


def _genes(source: "ModelSource", given: Path | None, genome: "Genome") -> "Genes | None":
    """Return the genes of a file, or a catalogued model's own: its default ones, or those that it has by a word."""
    from attribution_bench.models.adapters import get_catalogued
    from attribution_bench.sequences import Genes

    chosen: Genes | None
    if given is None:
        chosen = source.default_genes(genome)
    elif given.exists() or source.kind != "catalogued" or "genes" not in get_catalogued(source.name).card.options:
        chosen = Genes(given)
    else:
        others = tuple(option for option in source.options if option[0] != "genes")
        chosen = replace(source, options=(*others, ("genes", str(given)))).default_genes(genome)
    return chosen


def _letters_more(source: "ModelSource", chosen: "Effects") -> int:
    """Return how many letters a window has more than a catalogued model of splice sites states by itself.

    That is for its own distance: another one needs more or fewer on either side, and insertions take some.
    """
    if not _follows_distance(source, chosen):
        return 0
    wanted, own = (int(effects.distance) for effects in (chosen, source.default_effects))  # type: ignore[union-attr]
    return 2 * (wanted - own + INSERTED)


def _follows_distance(source: "ModelSource", chosen: "Effects") -> bool:
    """Whether windows are made as long as the distance needs: of a catalogued model that states none of its own."""
    from attribution_bench.models.adapters import get_catalogued
    from attribution_bench.variants import SplicingEffects

    own: Effects | None = source.default_effects
    if source.length is not None or not isinstance(own, SplicingEffects) or not isinstance(chosen, SplicingEffects):
        return False
    return not get_catalogued(source.name).card.fixed and None not in (own.distance, chosen.distance)
