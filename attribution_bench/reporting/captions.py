"""Captions of figures: what heights and colours are, by the scores' conventions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import REFERENCE_AT_ZERO, UNSIGNED
from attribution_bench.influence import Statistic

SCORES = {
    None: "what the letter contributes, as the method gives it",
    "delta": "the change of the prediction once the letter is put in (delta)",
    "centred": "the change of the prediction once the letter is put in, less its mean over all letters (centred)",
    "centred-alternatives": "the change of the prediction once the letter is put in, less its mean over the letters "
    "that are not there (centred-alternatives)",
    "max-abs": "the largest size, over all outputs, of the change once the letter is put in (max-abs)",
    "l2": "the Euclidean norm, over all outputs, of the change once the letter is put in (l2)",
}
"""Score convention -> what a score is."""
INFLUENCE: Mapping[Statistic, str] = {
    "largest": "the change of the largest size that any letter makes",
    "mean": "the mean change by the letters that are not there",
}


def logo_caption(conventions: Mapping[str, str | None]) -> str:
    """Return what the heights of reference letters are, by the panels' titles and conventions."""
    return _sentences("Heights", {title: _height(convention) for title, convention in conventions.items()})


def score_caption(what: str, conventions: Mapping[str, str | None]) -> str:
    """Return what scores of every letter are, shown as ``Heights`` or ``Colours``."""
    return _sentences(what, {title: _score(convention) for title, convention in conventions.items()})


def heat_map_caption(conventions: Mapping[str, str | None]) -> str:
    """Return what the heights of reference letters and the colours below them are."""
    if not set(conventions.values()) & set(REFERENCE_AT_ZERO):
        return score_caption("Heights and colours", conventions)
    return f"{score_caption('Colours', conventions)} {logo_caption(conventions)}"


def influence_caption(statistic: Statistic, output: str | None) -> str:
    """Return what the colours of influence maps are."""
    where = f" of {output}" if output else ""
    what = f"what a mutation of the input position changes at the output position{where}"
    return f"Colours: {what}: {INFLUENCE[statistic]}."


def _score(convention: str | None) -> str:
    return SCORES.get(convention, f"by the convention {convention}")


def _height(convention: str | None) -> str:
    if convention not in REFERENCE_AT_ZERO:
        return _score(convention)
    mean = "the mean" if convention in UNSIGNED else "minus the mean"
    return f"{mean}, over the letters that are not there, of {_score(convention)}"


def _sentences(what: str, texts: Mapping[str, str]) -> str:
    """Return a sentence for each text, with the titles that it is of where there are several."""
    titles: dict[str, list[str]] = {}
    for title, text in texts.items():
        titles.setdefault(text, []).append(title)
    if len(titles) == 1:
        return f"{what}: {next(iter(titles))}."
    return " ".join(f"{what} of {', '.join(of)}: {text}." for text, of in titles.items())


def highest_and_lowest(panels: Mapping[str, NDArray[np.floating]], alphabet: str, start: int) -> str:
    """Return the highest and the lowest letter of panels of scores (A, P), for those who cannot see the figure."""
    return " ".join(f"{title}: {_extremes(np.asarray(scores), alphabet, start)}." for title, scores in panels.items())


def _extremes(scores: NDArray[np.floating], alphabet: str, start: int) -> str:
    found = []
    for word, place in (("highest", int(scores.argmax())), ("lowest", int(scores.argmin()))):
        row, column = np.unravel_index(place, scores.shape)
        found.append(f"{word} {scores[row, column]:.3g} ({alphabet[row]} at position {start + column})")
    return ", ".join(found) if scores.any() else "every score is 0"
