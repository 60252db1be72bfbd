"""Reports of stores: what was scored, how far methods agree, logos and influence maps of some sequences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from attribution_bench.conventions import REFERENCE_AT_ZERO
from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.stored_agreement import MEASURES, StoredAgreement, stored_agreements
from attribution_bench.files import write_whole
from attribution_bench.reporting.figures import render
from attribution_bench.reporting.influence_maps import influence_figure, read_influence_maps
from attribution_bench.reporting.labels import method_label
from attribution_bench.reporting.logos import logo_figure
from attribution_bench.reporting.score_panels import read_score_panels
from attribution_bench.storage.selected_scores import SelectedScores
from attribution_bench.storage.stored_scores import StoredScores

SHOWN_SEQUENCES = 3
"""Sequences of which logos are drawn: those whose scores have the largest sums of magnitudes, by the first method."""
INFLUENCE = (
    "Columns are mutated positions, rows positions of the output; of the changes by the other letters the largest is "
    "shown, red where it raises and blue where it lowers the prediction."
)
SHOWN_LETTERS = 200
"""Letters of a logo, about the position with the largest score."""


def render_store(path: Path, folder: Path) -> list[Path]:
    """Write ``README.md`` and pictures of some sequences into a folder; returns the paths.

    Logos are drawn of scores of one value, influence maps where the store holds predictions of a whole profile.

    Raises
    ------
    OutputError
        The store cannot be read, or the folder cannot be written.
    InvalidInputError
        Nothing is scored yet, or scores are of several values and no profile's.
    """
    stored = StoredScores(path)
    profile = _profile(stored)
    selected = {} if profile is not None and not _has_one_value(stored) else selected_methods([path])
    agreements = stored_agreements(selected) if len(selected) > 1 else []
    logos, maps = {}, {}
    records = _strongest(next(iter(selected.values()))) if selected else stored.scored[:SHOWN_SEQUENCES].tolist()
    for record in records:
        if selected:
            logos[stored.names[record]] = write_whole(folder / f"sequence_{record}.svg", _logo(path, record))
        if profile is not None:
            drawn = write_whole(folder / f"influence_{record}.svg", _influence(path, record, profile))
            maps[stored.names[record]] = drawn
    lines = [f"# Scores of {path.name}", "", *_counts(stored), "", *_methods(stored)]
    if agreements:
        lines += ["", "## Agreement of observed scores", "", *agreement_table(agreements)]
    if logos:
        lines += ["", "## Sequences with the strongest scores"]
        for name, file in logos.items():
            lines += ["", f"{_cell(name)}", "", f"![Logos of {_cell(name)}]({file.name})"]
    if maps:
        lines += ["", f"## What each position changes of {_cell(profile or '')}", "", INFLUENCE]
        for name, file in maps.items():
            lines += ["", f"{_cell(name)}", "", f"![Influence map of {_cell(name)}]({file.name})"]
    return [write_whole(folder / "README.md", "\n".join(lines) + "\n"), *logos.values(), *maps.values()]


def selected_methods(paths: Sequence[Path]) -> dict[str, SelectedScores]:
    """Return the scores of every method of some stores that are of one value, by labels that tell them apart.

    Raises
    ------
    InvalidInputError
        A store is given twice, or no method has scores of one value; export or plot one value of them.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise InvalidInputError("a store is given twice; give each once")
    found: dict[str, SelectedScores] = {}
    refused = []
    alike = len({path.name for path in paths}) < len(paths)
    for path in paths:
        stored = StoredScores(path)
        for method in stored.methods:
            label = stored.metadata["methods"][method].get("method_label") or method_label(method)
            try:
                selected = SelectedScores(stored, method)
                found[label if len(paths) == 1 else f"{label} ({path if alike else path.name})"] = selected
            except InvalidInputError as error:
                refused.append(str(error))
    if not found:
        raise InvalidInputError("; ".join(refused))
    return found


def agreement_table(agreements: Sequence[StoredAgreement]) -> list[str]:
    """Return the mean agreement of every two methods as a Markdown table."""
    rows = [
        f"| {_cell(found.first)} | {_cell(found.second)} | {len(found.records):,} | "
        + " | ".join(f"{found.mean(name):.3f}" for name in MEASURES)
        + " |"
        for found in agreements
    ]
    return [f"| | | sequences | {' | '.join(MEASURES)} |", "| --- | --- | ---: |" + " ---: |" * len(MEASURES), *rows]


def _counts(stored: StoredScores) -> list[str]:
    reasons = Counter(stored.set_aside)
    models = ", ".join(stored.metadata["models"])
    strands = ", both strands averaged" if stored.metadata["both_strands"] else ""
    lines = [
        f"{reasons.pop('', 0):,} of {len(stored):,} sequences are scored ({stored.metadata['source']}), on {models}"
        f"{strands}."
    ]
    if reasons:
        rows = [f"| {_cell(reason)} | {count:,} |" for reason, count in reasons.most_common()]
        lines += ["", "| not scored | sequences |", "| --- | ---: |", *rows]
    return lines


def _methods(stored: StoredScores) -> list[str]:
    lines = ["| method | target | convention | options |", "| --- | --- | --- | --- |"]
    metadata: Mapping[str, Mapping[str, object]] = stored.metadata["methods"]
    for method, facts in metadata.items():
        options = facts["options"]
        assert isinstance(options, Mapping)
        words = ", ".join(f"{name}={value}" for name, value in options.items() if value not in (None, {}))
        cells = (facts.get("method_label") or method, facts["target"], facts.get("convention", ""), words)
        lines.append("| " + " | ".join(_cell(str(cell)) for cell in cells) + " |")
    return lines


def _profile(stored: StoredScores) -> str | None:
    """Return the output whose predictions of mutations have positions; None where the store holds none, or several."""
    if "predictions" not in stored.contents:
        return None
    outputs = {
        output["name"]
        for facts in stored.metadata["methods"].values()
        for output in facts["outputs"]
        if max(output["shape"], default=1) > 1
    }
    return outputs.pop() if len(outputs) == 1 else None


def _has_one_value(stored: StoredScores) -> bool:
    """Whether some method's scores are of one value, so that they can be drawn as letters."""
    values = (
        sum(int(np.prod(output["shape"])) for output in facts["outputs"])
        for facts in stored.metadata["methods"].values()
    )
    return 1 in values


def _strongest(selected: SelectedScores) -> list[int]:
    """Return the records with the largest sums of magnitudes of observed scores; none of which every score is zero.

    By conventions that leave the reference letters at zero, the other letters' scores count.
    """
    others = selected.metadata.get("convention") in REFERENCE_AT_ZERO
    parts, records = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for part in selected:
        parts.append(np.abs(part.scores if others else part.observed).reshape(len(part.records), -1).sum(axis=1))
        records.append(part.records)
    sums = np.concatenate(parts)
    order = np.argsort(-sums, kind="stable")[:SHOWN_SEQUENCES]
    return [int(record) for record in np.concatenate(records)[order[sums[order] > 0]]]


def _logo(path: Path, record: int) -> bytes:
    """Draw the letters about the largest score of one sequence."""
    panels = read_score_panels([path], sequence=str(record))
    first = next(iter(panels.observed.values()))
    middle, length = int(np.abs(first).sum(axis=0).argmax()), panels.stop - panels.start
    start = max(0, min(middle - SHOWN_LETTERS // 2, length - SHOWN_LETTERS))
    shown = {title: scores[:, start : start + SHOWN_LETTERS] for title, scores in panels.observed.items()}
    figure = logo_figure(shown, alphabet=panels.alphabet, start=panels.start + start, heading=panels.name or "")
    return render(figure, "svg")


def _influence(path: Path, record: int, profile: str) -> bytes:
    """Draw what a mutation of each position of one sequence changes along a profile."""
    one, maps = read_influence_maps([path], sequence=str(record), output=profile)
    return render(influence_figure(maps, start=one.start, heading=one.name or ""), "svg")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
