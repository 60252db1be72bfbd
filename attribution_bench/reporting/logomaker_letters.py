"""Letters of a logo drawn by logomaker, with its colour schemes and styles of glyphs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, MissingDependencyError
from attribution_bench.reporting.letter_colours import letter_colours

STYLES: Mapping[str, type] = {
    "font_name": str,
    "font_weight": str,
    "stack_order": str,
    "center_values": bool,
    "flip_below": bool,
    "shade_below": float,
    "fade_below": float,
    "vpad": float,
    "vsep": float,
    "alpha": float,
    "width": float,
    "edgecolor": str,
    "edgewidth": float,
}
"""Settings of ``logomaker.Logo`` and its glyphs that change how letters look, and what each takes."""
TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


@dataclass(frozen=True)
class LogomakerLetters:
    """A `LetterRenderer` by logomaker (Tareen and Kinney, Bioinformatics 2020).

    It draws an artist a letter, some hundred times as slowly as this package's own, and never bars.

    Raises
    ------
    MissingDependencyError
        logomaker is not installed.
    InvalidInputError
        When it draws: logomaker refuses the colour scheme or a style.
    """

    colour_scheme: str | None = None
    """Name of one of logomaker's colour schemes, such as ``classic`` or ``colorblind_safe``, or a colour; the colours
    of `letter_colours` when None."""
    styles: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `STYLES`."""

    def __post_init__(self) -> None:
        import_logomaker()
        for name in self.styles:
            if name not in STYLES:
                raise InvalidInputError(f"unknown style of glyphs {name!r}; choose one of {', '.join(STYLES)}")

    def __call__(
        self,
        axes: Axes,
        scores: NDArray[np.floating],
        *,
        alphabet: str,
        start: int,
        colours: Mapping[str, str] | None,
        pixels: float,
    ) -> None:
        """Draw scores (A, P) from the position `start` on."""
        logomaker, pandas = import_logomaker()
        values = np.asarray(scores, dtype=float)
        frame = pandas.DataFrame(values.T, np.arange(start, start + values.shape[1]), list(alphabet))
        own = {**letter_colours(alphabet), **(colours or {})}
        settings = {"font_weight": "bold", "baseline_width": 0, **self.styles}
        try:
            logomaker.Logo(frame, ax=axes, color_scheme=self.colour_scheme or own, show_spines=True, **settings)
        except (logomaker.LogomakerError, ValueError, TypeError, KeyError) as error:
            raise InvalidInputError(f"logomaker cannot draw this: {error}") from error


def parse_style(text: str) -> tuple[str, Any]:
    """Read a style of glyphs, ``fade_below=0.5``; raises InvalidInputError where there is none such."""
    name, equals, value = text.partition("=")
    if not equals or name not in STYLES:
        raise InvalidInputError(f"a style of glyphs is NAME=VALUE with one of {', '.join(STYLES)}, not {text!r}")
    kind = STYLES[name]
    try:
        return name, TRUTHS[value.lower()] if kind is bool else kind(value)
    except (ValueError, KeyError) as error:
        takes = "true or false" if kind is bool else "a number"
        raise InvalidInputError(f"the style {name} takes {takes}, not {value!r}") from error


def import_logomaker() -> tuple[Any, Any]:
    """Return logomaker and pandas; raises MissingDependencyError where either is not installed."""
    try:
        import logomaker
        import pandas
    except ImportError as error:
        raise MissingDependencyError.of(error.name or "logomaker", "plots", "drawing with logomaker") from error
    return logomaker, pandas
