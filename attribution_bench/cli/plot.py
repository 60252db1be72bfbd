"""`attribution-bench plot`: logos and heat maps of stored scores."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli.options import Bounds
from attribution_bench.errors import InvalidInputError
from attribution_bench.storage.places import store_path

if TYPE_CHECKING:
    from attribution_bench.reporting.logos import LetterRenderer
    from attribution_bench.reporting.one_sequence import OneSequence
    from attribution_bench.reporting.score_panels import ScorePanels
    from attribution_bench.sequences.sites import Site

LONGEST_NAME = 200
"""Characters of a sequence's name that stand above a figure."""
OFFSETS = Bounds(0, 10**12)
WIDTHS = Bounds(2, 400, "inches wide")
KINDS = {".svg": "svg", ".png": "png", ".pdf": "pdf"}


COLUMNS = ("one-column", "two-columns")
"""Widths in an article, beside those in inches."""
LINES = Bounds(10, 10_000, "positions", "length of a line")


class ScaleName(StrEnum):
    """Scale of the panels."""

    own = "own"
    shared = "shared"


class StatisticName(StrEnum):
    """Which of the changes by all letters an influence map shows."""

    largest = "largest"
    mean = "mean"


class RendererName(StrEnum):
    """What draws the letters."""

    own = "own"
    logomaker = "logomaker"


def plot(
    scores: Annotated[
        list[Path],
        typer.Argument(
            help=".npz files that AttributionResult.save wrote, one panel each, or stores that `attribute` wrote, one "
            "panel a method.",
            metavar="SCORES...",
            parser=store_path,
        ),
    ],
    output: Annotated[Path, typer.Option(help="The figure: .svg, .png or .pdf.")] = Path("logo.svg"),
    sequence: Annotated[
        str, typer.Option(help="Index of the sequence, from 0; its name where the results hold names.", metavar="N")
    ] = "0",
    range_: Annotated[
        str | None,
        typer.Option("--range", help="Positions to draw, 0-based and half-open; all by default.", metavar="START:STOP"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Which value, where scores are of several: an index such as 3 or 500,1, an output's name, or both "
            "(profile:500,1)."
        ),
    ] = None,
    hypothetical: Annotated[
        bool,
        typer.Option("--hypothetical", help="Draw what every letter would contribute, not only the reference letters."),
    ] = False,
    heat_map: Annotated[
        bool, typer.Option("--heat-map", help="Draw what every letter would contribute as colours below each logo.")
    ] = False,
    scale: Annotated[ScaleName, typer.Option(help="A scale of each panel's own, or one for all.")] = ScaleName.own,
    sites: Annotated[
        Path | None,
        typer.Option(
            help="BED of named sites to draw below, in positions of the sequence; its first column is the sequence's "
            "name, or its index where the results hold no names.",
        ),
    ] = None,
    highlight: Annotated[
        list[str] | None,
        typer.Option(help="Positions to shade, once for each range.", metavar="START:STOP"),
    ] = None,
    chromosome: Annotated[
        str | None,
        typer.Option(
            help="Label the axis with positions on this chromosome, 1-based as in genome browsers; by default with "
            "those of the sequence's interval, where the results hold it and it is not on the minus strand."
        ),
    ] = None,
    offset: Annotated[
        int,
        OFFSETS.option("0-based position of the sequence's first letter on the chromosome", metavar="NUMBER"),
    ] = 0,
    heading: Annotated[
        str | None,
        typer.Option(help="Title of the figure; by default the sequence's name, where the results hold names."),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            help=f"Inches ({WIDTHS}), or {' or '.join(COLUMNS)} of an article; by default wide enough for every letter "
            "to be read.",
            metavar="INCHES",
        ),
    ] = None,
    wrap: Annotated[
        int | None, LINES.option("Positions of a line, for long sequences; all on one by default", metavar="NUMBER")
    ] = None,
    caption: Annotated[
        str | None,
        typer.Option(help="Text below the figure; by default what heights and colours are, by the score convention."),
    ] = None,
    influence: Annotated[
        StatisticName | None,
        typer.Option(
            help="Draw what each input position changes at each output position of a profile instead: the largest "
            "change by any letter, or their mean. --target names the output where several have positions."
        ),
    ] = None,
    selectable: Annotated[
        bool,
        typer.Option(
            "--selectable-text",
            help="Keep the text of an .svg as text that can be selected and edited, not as outlines; it looks the same "
            "where the font DejaVu Sans is installed.",
        ),
    ] = False,
    renderer: Annotated[
        RendererName, typer.Option(help="What draws the letters; logomaker is slower, and has schemes and styles.")
    ] = RendererName.own,
    colour_scheme: Annotated[
        str | None,
        typer.Option(help="One of logomaker's colour schemes, such as classic, colorblind_safe or base_pairing."),
    ] = None,
    glyph_style: Annotated[
        list[str] | None,
        typer.Option(
            help="A style of logomaker's glyphs, once for each: font_name, font_weight, flip_below, shade_below, "
            "fade_below, stack_order, alpha and others.",
            metavar="NAME=VALUE",
        ),
    ] = None,
) -> None:
    """Draw stored scores of one sequence as logos, one method below the other, or as logos with heat maps.

    Every position that is given counts from the sequence's first letter (0-based, half-open), whatever the axis shows.

    \b
    Examples:
      attribution-bench plot fastism.npz
      attribution-bench plot fastism.npz deepshap.npz --range 400:600 --output logos.pdf
      attribution-bench plot scores.zarr --sequence peak_7 --output peak_7.pdf
      attribution-bench plot fastism.npz --heat-map --target profile:500 --sequence 3 --output map.png
      attribution-bench plot fastism.npz --sites motifs.bed --highlight 480:520 --chromosome chr1 --offset 1000000
      attribution-bench plot fastism.npz --wrap 100 --width two-columns --output article.pdf
      attribution-bench plot profile.npz --influence largest --output influence.png
      attribution-bench plot fastism.npz --renderer logomaker --colour-scheme classic --glyph-style fade_below=0.5

    Exit codes: 0 done, 2 bad input.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    kind = KINDS.get(output.suffix.lower())
    if kind is None:
        raise InvalidInputError(f"cannot tell what to draw from the name {output}; end it in one of {', '.join(KINDS)}")
    if hypothetical and heat_map:
        raise InvalidInputError("--heat-map shows what every letter would contribute already; leave out --hypothetical")
    if influence and (hypothetical or heat_map or wrap or renderer is not RendererName.own):
        raise InvalidInputError("--influence draws a map without letters or lines; leave out the options of logos")
    if renderer is RendererName.own and (colour_scheme or glyph_style):
        raise InvalidInputError("--colour-scheme and --glyph-style are logomaker's; add --renderer logomaker")
    if selectable and kind != "svg":
        raise InvalidInputError("--selectable-text is for .svg; text of a .pdf can always be selected, of a .png never")
    if chromosome is not None and not chromosome.strip():
        raise InvalidInputError("--chromosome needs a name, such as chr1")
    if offset and chromosome is None:
        raise InvalidInputError("--offset is a position on a chromosome; name it with --chromosome, such as chr1")
    span = None if range_ is None else _range(range_, "--range")
    highlights = [_range(text, "--highlight") for text in highlight or ()]
    inches = _width(width)

    from attribution_bench.cli.terminal import note, say
    from attribution_bench.files import write_whole
    from attribution_bench.reporting.captions import (
        heat_map_caption,
        highest_and_lowest,
        influence_caption,
        logo_caption,
        score_caption,
    )
    from attribution_bench.reporting.figures import render
    from attribution_bench.reporting.heat_maps import heat_map_figure
    from attribution_bench.reporting.influence_maps import influence_figure, read_influence_maps
    from attribution_bench.reporting.logos import logo_figure
    from attribution_bench.reporting.position_axis import check_ranges
    from attribution_bench.reporting.score_axis import score_label
    from attribution_bench.reporting.score_panels import ScorePanels, read_score_panels

    value = parse_value(target)
    panels: OneSequence | ScorePanels
    if influence:
        output_name = _whole_output(value)
        panels, maps = read_influence_maps(
            scores, sequence=sequence, span=span, output=output_name, statistic=influence.value
        )
    else:
        panels = read_score_panels(scores, sequence=sequence, span=span, target=value)
    check_ranges(highlights, panels.start, panels.stop)
    interval = panels.interval
    # On the minus strand positions in the genome fall where those of the sequence rise, which the axis does not show.
    if chromosome is None and interval is not None and interval.strand != "-":
        chromosome, offset = interval.chromosome, interval.start
    title = _heading(panels) if heading is None else heading
    settings: dict[str, Any] = {
        "start": panels.start + offset,
        "heading": title,
        "chromosome": chromosome,
        "sites": _sites(sites, panels, offset),
        "highlights": [(start + offset, stop + offset) for start, stop in highlights],
        "scale": scale.value,
        "width": inches,
    }
    drawn = f"positions {panels.start} to {panels.stop} (0-based, half-open)."
    if isinstance(panels, ScorePanels):
        settings |= {
            "alphabet": panels.alphabet,
            "wrap": wrap,
            "letters": _letters(renderer, colour_scheme, glyph_style),
        }
        drawn = f"Logos of {drawn} {highest_and_lowest(panels.observed, panels.alphabet, panels.start)}"
        conventions = panels.conventions
        if heat_map or hypothetical:
            panels.check_hypothetical("--heat-map" if heat_map else "--hypothetical")
        if heat_map:
            settings["caption"] = heat_map_caption(conventions) if caption is None else caption
            figure = heat_map_figure(panels.hypothetical, panels.present, convention=conventions, **settings)
        elif hypothetical:
            settings["caption"] = score_caption("Heights", conventions) if caption is None else caption
            labels = {name: score_label(convention) for name, convention in conventions.items()}
            figure = logo_figure(panels.hypothetical, label=labels, **settings)
        else:
            settings["caption"] = logo_caption(conventions) if caption is None else caption
            figure = logo_figure(panels.observed, **settings)
    else:
        assert influence is not None
        drawn = f"Influence maps of {drawn}"
        settings["caption"] = influence_caption(influence.value, output_name) if caption is None else caption
        figure = influence_figure(maps, **settings)
        for reason in panels.left_out:
            note(f"no map: {reason}")
    about = {"title": title or output.stem, "description": f"{drawn} {settings['caption']}".strip()}
    say(f"wrote {write_whole(output, render(figure, kind, text='text' if selectable else 'outlines', **about))}")


def _width(text: str | None) -> float | str | None:
    """Read a width: inches, or a name of `COLUMNS`."""
    if text is None or text in COLUMNS:
        return text
    try:
        inches = float(text)
    except ValueError as error:
        raise InvalidInputError(f"--width takes inches ({WIDTHS}), {' or '.join(COLUMNS)}, not {text!r}") from error
    WIDTHS.check("--width", inches)
    return inches


def _whole_output(value: Any) -> str | None:
    """Return the output's name of a target that is to be a whole output."""
    if value is None or isinstance(value, str):
        return value
    raise InvalidInputError("--influence shows a whole output; give its name alone, --target profile")


def _letters(renderer: RendererName, scheme: str | None, styles: list[str] | None) -> "LetterRenderer | None":
    """Return what draws the letters; None for this package's own way."""
    if renderer is RendererName.own:
        return None
    from attribution_bench.reporting.logomaker_letters import LogomakerLetters, parse_style

    return LogomakerLetters(scheme, dict(parse_style(style) for style in styles or ()))


def _range(text: str, option: str) -> tuple[int, int]:
    start, _, stop = text.partition(":")
    try:
        return int(start), int(stop)
    except ValueError as error:
        raise InvalidInputError(f"{option} takes START:STOP such as 400:600, not {text!r}") from error


def _heading(panels: "OneSequence | ScorePanels") -> str:
    """Return the sequence's name, and its interval (1-based, both ends) where the axis does not show it."""
    from attribution_bench.reporting.labels import short

    interval = panels.interval
    reverse = ""
    if interval is not None and interval.strand == "-":
        reverse = f"{interval.chromosome}:{interval.start + 1:,}-{interval.end:,}(-)"
    return " ".join(part for part in (short(panels.name or "", LONGEST_NAME), reverse) if part)


def parse_value(text: str | None) -> Any:
    """Read one value of stored scores: ``500``, ``500,1``, ``name``, ``name:500`` or ``name:500,1``."""
    if text is None:
        return None
    name, colon, part = text.rpartition(":")
    try:
        index = tuple(int(number) for number in part.split(","))
    except ValueError as error:
        if colon:
            raise InvalidInputError(f"--target takes an index after the colon (profile:500), not {text!r}") from error
        return text
    return (name, index) if colon else index


def _sites(path: Path | None, panels: "OneSequence | ScorePanels", offset: int) -> "list[Site]":
    """Return the sites of the sequence that is drawn, in the coordinates of the axis."""
    from attribution_bench.sequences.fasta import Sequences
    from attribution_bench.sequences.sites import read_sites

    if path is None:
        return []
    # The results do not hold every letter, and sites are only looked up by name and length.
    unknown = Sequences(panels.names, ("N" * panels.length,) * len(panels.names), "stored results")
    return [
        replace(site, start=site.start + offset, stop=site.stop + offset)
        for site in read_sites(path, unknown)
        if site.sequence == panels.sequence
    ]
