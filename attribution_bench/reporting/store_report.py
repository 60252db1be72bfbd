"""Reports of stores: what was scored, how far methods agree, logos and influence maps of some sequences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from attribution_bench.conventions import REFERENCE_AT_ZERO, UNSIGNED, letter_heights
from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.stored_agreement import MEASURES, StoredAgreement, stored_agreements
from attribution_bench.files import write_whole
from attribution_bench.influence import influence_map
from attribution_bench.models.targets import Target
from attribution_bench.reporting.figures import render
from attribution_bench.reporting.influence_maps import influence_figure
from attribution_bench.reporting.labels import method_label
from attribution_bench.reporting.logos import logo_figure
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

    Logos are drawn of scores of one value; influence maps of methods whose predictions of a whole profile, and of the
    unchanged sequences, the store holds. The page says why another method has no map.

    Raises
    ------
    OutputError
        The store cannot be read, or the folder cannot be written.
    InvalidInputError
        Nothing is scored yet, or scores are of several values and no profile's.
    """
    stored = StoredScores(path)
    stored.check_scored()
    profile = _profile(stored)
    reasons = {} if profile is None else {method: stored.why_no_map(method) for method in stored.methods}
    selected = {} if profile is not None and not _has_one_value(stored) else selected_methods([path])
    agreements = stored_agreements(selected) if len(selected) > 1 else []
    strongest = _strongest(next(iter(selected.values()))) if selected else []
    logos = {record: write_whole(folder / f"sequence_{record}.svg", _logo(selected, record)) for record in strongest}
    mapped = [method for method, reason in reasons.items() if not reason]
    maps = {
        record: write_whole(folder / f"influence_{record}.svg", _influence(stored, mapped, record, profile or ""))
        for record in (strongest or stored.scored[:SHOWN_SEQUENCES].tolist() if mapped else [])
    }
    lines = [f"# Scores of {path.name}", "", *_counts(stored), "", *_methods(stored)]
    if agreements:
        lines += ["", "## Agreement of observed scores", "", *agreement_table(agreements)]
    if logos:
        lines += ["", "## Sequences with the strongest scores", *_pictures(stored, logos, "Logos")]
    if profile is not None:
        lines += ["", f"## What each position changes of {_cell(profile)}", *(["", INFLUENCE] if maps else [])]
        lines += _pictures(stored, maps, "Influence map")
        missing = [f"- {_cell(_label(stored, method))}: {reason}." for method, reason in reasons.items() if reason]
        lines += ["", "There is no map of", "", *missing] if missing else []
    return [write_whole(folder / "README.md", "\n".join(lines) + "\n"), *logos.values(), *maps.values()]


def selected_methods(
    paths: Sequence[Path], methods: Sequence[str] = (), target: Target = None
) -> dict[str, SelectedScores]:
    """Return the scores of one value by the methods of some stores, by labels that tell them apart.

    Parameters
    ----------
    paths
        The stores.
    methods
        Those that are wanted, each from every store that has it. Where there are none, all are that have scores of
        one value.
    target
        Which value, where scores are of several: an index, an output's name, or (name, index).

    Raises
    ------
    InvalidInputError
        A store is given twice, no store has a method that is wanted, or there are no scores of one value.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise InvalidInputError("a store is given twice; give each once")
    stores = [StoredScores(path) for path in paths]
    held = {method for stored in stores for method in stored.methods}
    absent = [method for method in methods if method not in held]
    if absent:
        raise InvalidInputError(f"there are no scores of {absent[0]!r}, but of {', '.join(sorted(held))}")
    found: dict[str, SelectedScores] = {}
    refused = []
    alike = len({path.name for path in paths}) < len(paths)
    for path, stored in zip(paths, stores, strict=True):
        for method in (one for one in stored.methods if one in (methods or held)):
            label = _label(stored, method)
            try:
                selected = SelectedScores(stored, method, target)
                found[label if len(paths) == 1 else f"{label} ({path if alike else path.name})"] = selected
            except InvalidInputError as error:
                refused.append(f"{method}: {error}")
    if refused and (methods or target is not None or not found):
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


def _label(stored: StoredScores, method: str) -> str:
    label: str = stored.metadata["methods"][method].get("method_label") or method_label(method)
    return label


def _pictures(stored: StoredScores, pictures: Mapping[int, Path], kind: str) -> list[str]:
    """Return the lines that show pictures of records, each below the record's name."""
    lines = []
    for record, file in pictures.items():
        name = _cell(stored.names[record])
        lines += ["", name, "", f"![{kind} of {name}]({file.name})"]
    return lines


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
    return bool({"scores", "observed"} & set(stored.contents)) and any(
        facts.get("convention") in UNSIGNED or sum(int(np.prod(output["shape"])) for output in facts["outputs"]) == 1
        for facts in stored.metadata["methods"].values()
    )


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


def _logo(selected: Mapping[str, SelectedScores], record: int) -> bytes:
    """Draw the letters of one sequence about the largest score by the first method."""
    heights, name, alphabet = {}, "", ""
    for title, scores in selected.items():
        convention = scores.metadata.get("convention")
        # Observed scores alone are all zero by a convention that leaves the reference letters there.
        if not (scores.projected and convention in REFERENCE_AT_ZERO):
            part = scores.part(record, record + 1)
            heights[title] = letter_heights(part.scores[0], part.one_hot[0] > 0, convention)
            name, alphabet = part.names[0], scores.store.alphabet
    middle = int(np.abs(next(iter(heights.values()))).sum(axis=0).argmax())
    length = next(iter(selected.values())).store.length
    start = max(0, min(middle - SHOWN_LETTERS // 2, length - SHOWN_LETTERS))
    shown = {title: letters[:, start : start + SHOWN_LETTERS] for title, letters in heights.items()}
    return render(logo_figure(shown, alphabet=alphabet, start=start, heading=name), "svg")


def _influence(stored: StoredScores, methods: Sequence[str], record: int, profile: str) -> bytes:
    """Draw what a mutation of each position of one sequence changes along a profile."""
    maps = {_label(stored, method): influence_map(stored.one(method, record), profile) for method in methods}
    return render(influence_figure(maps, heading=stored.names[record]), "svg")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
