"""A comparison as a Markdown page, and the words of it that the HTML page shares."""

from collections.abc import Collection, Iterator

from attribution_bench.evaluation.metrics import Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.benchmark_tables import markdown_table, markdown_text
from attribution_bench.reporting.comparison import Comparison
from attribution_bench.reporting.faithfulness.claims import failures, sentences
from attribution_bench.reporting.faithfulness.standing import (
    best,
    close_to_best,
    contestants,
    is_reference,
    known_metrics,
    read_sites,
    scored,
    single,
    undefined_in,
)
from attribution_bench.reporting.faithfulness.texts import DASH, counted, listed, number_text
from attribution_bench.reporting.faithfulness.verdict import verdict
from attribution_bench.reporting.labels import framework_label, seconds_text

TITLE = "Attribution methods compared"
NOTHING: tuple[object, ...] = (None, "", [], {})
"""Options that say nothing."""
BEST, SHARED, CLOSE, REFERENCE, UNDEFINED = "★", "=", "☆", "reference", "undefined"
MARKS = {
    BEST: "★ marks the best mean of a metric among the methods that have one",
    SHARED: "= marks means that share the best one as it is shown",
    CLOSE: "☆ a mean whose paired difference from the best one has a 95% interval that holds 0, or is of one sequence",
    REFERENCE: "“reference” is the method that agreement is measured with",
    UNDEFINED: "“undefined” stands where a metric is defined for no sequence",
}
"""Mark of a cell -> what it says."""


def title(evaluation: Evaluation) -> str:
    """Return the heading of the report."""
    return f"{TITLE}: {evaluation.model}"


def mark(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    """Return what marks a method's mean in the table; empty for most.

    There is a best only among several: a single method with a value is not marked.
    """
    if is_reference(evaluation, method, metric):
        return REFERENCE
    if metric.name not in method.means:
        return UNDEFINED if metric.name in method.values else ""
    if len(contestants(evaluation, metric)) < 2:
        return ""
    leaders = best(evaluation, metric)
    if method.method in leaders:
        return BEST if len(leaders) == 1 else SHARED
    return CLOSE if close_to_best(evaluation, method, metric) else ""


def marks_text(evaluation: Evaluation) -> str:
    """Say what the marks of the table mean, those that stand in it."""
    metrics, methods = known_metrics(evaluation), scored(evaluation)
    found = {mark(evaluation, method, metric) for metric in metrics for method in methods}
    said = "; ".join(meaning for sign, meaning in MARKS.items() if sign in found)
    intervals = "Intervals are 95% bootstrap intervals over sequences." if any(m.means for m in methods) else ""
    return " ".join(filter(None, (f"{said}." if said else "", intervals)))


def notes(evaluation: Evaluation) -> list[str]:
    """Return what a reader of the table should know, a line each."""
    timed = (
        f"Methods were timed while other processes worked beside them, {evaluation.processes} in all; "
        "seconds are those of a busy machine."
    )
    return [timed] * (evaluation.processes > 1) + undefined_notes(evaluation)


def undefined_notes(evaluation: Evaluation) -> list[str]:
    """Return a line a metric that is undefined somewhere: where that is, and in how many sequences of each method."""
    said = []
    for metric in known_metrics(evaluation):
        missing: dict[tuple[int, int], list[str]] = {}
        for method in scored(evaluation):
            counts = undefined_in(evaluation, method, metric)
            if counts[0]:
                missing.setdefault(counts, []).append(evaluation.label(method.method))
        if missing:
            counted_of = (f"{listed(labels)} in {some} of {asked}" for (some, asked), labels in missing.items())
            where = "; ".join(f"{text} sequences" for text in counted_of)
            said.append(f"{metric.label} is undefined where {metric.undefined}: {where}.")
        elif metric.group == "recovery" and not read_sites(evaluation):
            said.append(f"{metric.label} is undefined: the target reads no known site.")
    return said


def setting(evaluation: Evaluation) -> str:
    """Say in one line what was explained, and on what."""
    lengths = sorted({len(string) for string in evaluation.strings})
    letters = " to ".join(map(str, dict.fromkeys((lengths[0], lengths[-1]))))
    count = counted(len(evaluation.names), "sequence")
    run = f"{framework_label(evaluation.framework)}, {evaluation.device}"
    return "; ".join(filter(None, (evaluation.target, f"{count} of {letters} letters", run)))


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """List what a reader needs in order to compare again, as (name, value)."""
    settings = (f"{name.replace('_', ' ')} {value}" for name, value in sorted(evaluation.settings.items()))
    versions = (f"{name} {version}" for name, version in sorted(evaluation.versions.items()))
    threads = counted(evaluation.threads, "thread")
    processes = f" in each of {evaluation.processes} processes" if evaluation.processes > 1 else ""
    return [
        ("model", f"{evaluation.model} ({framework_label(evaluation.framework)})"),
        ("target", evaluation.target),
        ("sequences", evaluation.sequence_source),
        ("machine", f"{evaluation.machine}; {evaluation.device}, {threads}{processes}"),
        ("settings", ", ".join(settings)),
        ("versions", ", ".join(versions)),
        ("compared on", evaluation.date),
    ]


def options_text(method: MethodEvaluation) -> str:
    """Say how a method was run."""
    given = {name.removeprefix("n_"): value for name, value in method.options.items() if value not in NOTHING}
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in given.items()]
    parts += [f"scores {method.convention}"] * (method.convention is not None)
    parts += ["exact"] * method.exact
    return ", ".join(parts) or "default options"


def markdown_summary(evaluation: Evaluation, table_1: Comparison | None, files: Collection[str]) -> str:
    """Write the comparison's README; figures are shown where their file is among ``files``."""
    parts = [f"# {markdown_text(title(evaluation))}"]
    parts += [f"**{markdown_text(sentence)}**" for sentence in failures(evaluation)]
    parts.append(_verdict_table(evaluation))
    parts.append(markdown_text(" ".join(sentences(evaluation))))
    parts.append(
        "[`index.html`](index.html) shows all of this, and the stored scores by sequence; it needs no network."
    )
    if "plane.png" in files:
        parts += ["## Speed and faithfulness", "![Seconds per 100 sequences against faithfulness](plane.png)"]
    parts += ["## Metrics", _metric_table(evaluation), marks_text(evaluation)]
    parts.append("\n".join(f"- {markdown_text(note)}" for note in notes(evaluation)))
    parts.append("\n".join(_definition(metric) for metric in known_metrics(evaluation)))
    if "agreement.png" in files:
        parts += ["## Agreement between methods", "![Mean agreement of every pair of methods](agreement.png)"]
    if "curves.png" in files:
        parts += ["## Deletion and insertion", "![What the model predicts while letters are replaced](curves.png)"]
    if table_1 is not None:
        parts += ["## Speed", markdown_table(table_1).strip()]
    parts += ["## Methods", "\n".join(_method_lines(evaluation))]
    parts += ["## How it was made", "\n".join(f"- {name}: {markdown_text(value)}" for name, value in facts(evaluation))]
    parts += [
        "## Files",
        "`evaluation.json` holds every number, `scores/` the scores of methods that have some; `metrics.csv`, "
        "`values.csv`, `agreement.csv` and `curves.csv` list the numbers with full precision.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _verdict_table(evaluation: Evaluation) -> str:
    lines = [["Verdict", "", "", ""], ["---"] * 4]
    for row in verdict(evaluation):
        subject = f"**{markdown_text(row.subject)}**"
        lines.append([row.heading, subject, markdown_text(row.number), markdown_text(row.reason)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _metric_table(evaluation: Evaluation) -> str:
    methods = scored(evaluation)
    lines = [
        ["Metric", "Better", *(markdown_text(evaluation.label(method.method)) for method in methods)],
        ["---", "---", *["---:"] * len(methods)],
        ["Seconds per 100 sequences", "lower", *(_seconds(method) for method in methods)],
    ]
    lines += [
        [markdown_text(metric.label), metric.better, *(_cell(evaluation, method, metric) for method in methods)]
        for metric in known_metrics(evaluation)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(method: MethodEvaluation) -> str:
    seconds = method.seconds_per_100_sequences
    return DASH if seconds is None else seconds_text(seconds)


def _cell(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    found, marked = method.means.get(metric.name), mark(evaluation, method, metric)
    if found is None or marked == REFERENCE:
        return marked or DASH
    interval = "one sequence" if single(method, metric) else f"{number_text(found.low)}, {number_text(found.high)}"
    text = f"{number_text(found.mean)} ({interval})"
    return " ".join(filter(None, (text, defined_text(evaluation, method, metric), marked)))


def defined_text(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    """Say of how many sequences a mean is where the metric is undefined in some; empty where it is in none."""
    undefined, asked = undefined_in(evaluation, method, metric)
    return f"of {asked - undefined} of {asked} sequences" if undefined else ""


def _definition(metric: Metric) -> str:
    return (
        f"- **{markdown_text(metric.label)}** ({metric.better} is better): {markdown_text(metric.definition)} "
        f"Undefined where {markdown_text(metric.undefined)}. {markdown_text(metric.citation)}."
    )


def _method_lines(evaluation: Evaluation) -> Iterator[str]:
    for method in evaluation.methods:
        said = [f"no scores; {method.reason}"] if method.reason is not None else [options_text(method)]
        said += [caution.removesuffix(".") for caution in method.cautions]
        yield f"- {markdown_text(f'{evaluation.label(method.method)}: ' + '; '.join(said))}."
