"""A comparison in plain words: one paragraph, and the Markdown page that shows it with tables and figures."""

from collections.abc import Collection, Iterable, Iterator

from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.benchmark_tables import markdown_table, markdown_text
from attribution_bench.reporting.comparison import Comparison
from attribution_bench.reporting.faithfulness.standing import (
    RECOVERY,
    best,
    close_to_best,
    headline,
    is_reference,
    known_metrics,
    pareto_front,
    scored,
)
from attribution_bench.reporting.faithfulness.texts import DASH, counted, interval_text, listed, number_text
from attribution_bench.reporting.labels import framework_label, ratio_text, seconds_text

TITLE = "Attribution methods compared"
MARKS = (
    "★ marks the best mean of a metric; ☆ a mean whose paired difference from the best one has a 95% interval that "
    "holds 0; “reference” is the method that agreement is measured with. Intervals are bootstrap intervals over "
    "sequences."
)
NOTHING: tuple[object, ...] = (None, "", [], {})
"""Options that say nothing."""
BEST, CLOSE, REFERENCE = "★", "☆", "reference"


def title(evaluation: Evaluation) -> str:
    """Return the heading of the report."""
    return f"{TITLE}: {evaluation.model}"


def sentences(evaluation: Evaluation) -> list[str]:
    """Return the paragraph that says what was compared and what came out."""
    return [
        _setting(evaluation),
        *filter(None, (_closest(evaluation), _recovery(evaluation), _cheapest(evaluation), _front(evaluation))),
    ]


def mark(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    """Return what marks a method's mean in the table; empty for most."""
    if is_reference(evaluation, method, metric):
        return REFERENCE
    if metric.name not in method.means:
        return ""
    if method.method in best(evaluation, metric):
        return BEST
    return CLOSE if close_to_best(evaluation, method, metric) else ""


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """List what a reader needs in order to compare again, as (name, value)."""
    settings = (f"{name.replace('_', ' ')} {value}" for name, value in sorted(evaluation.settings.items()))
    versions = (f"{name} {version}" for name, version in sorted(evaluation.versions.items()))
    threads = counted(evaluation.threads, "thread")
    return [
        ("model", f"{evaluation.model} ({framework_label(evaluation.framework)})"),
        ("target", evaluation.target),
        ("sequences", evaluation.sequence_source),
        ("machine", f"{evaluation.machine}; {evaluation.device}, {threads}"),
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
    parts = [f"# {markdown_text(title(evaluation))}", markdown_text(" ".join(sentences(evaluation)))]
    parts.append("[`index.html`](index.html) shows all of this with the scores of every sequence; it needs no network.")
    if "plane.png" in files:
        parts += ["## Speed and faithfulness", "![Seconds per 100 sequences against faithfulness](plane.png)"]
    parts += ["## Metrics", _metric_table(evaluation), MARKS]
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
        "`evaluation.json` holds every number, `scores/` the scores of each method; `metrics.csv`, `values.csv`, "
        "`agreement.csv` and `curves.csv` list the numbers with full precision.",
    ]
    return "\n\n".join(parts) + "\n"


def _setting(evaluation: Evaluation) -> str:
    methods, names = scored(evaluation), evaluation.names
    lengths = sorted({len(string) for string in evaluation.strings})
    letters = " to ".join(map(str, dict.fromkeys((lengths[0], lengths[-1])))) if lengths else "0"
    labels = listed([evaluation.label(method.method) for method in methods])
    failed = [evaluation.label(method.method) for method in evaluation.methods if method.reason is not None]
    return (
        f"{counted(len(methods), 'attribution method')} ({labels}) explained what {evaluation.model} "
        f"({framework_label(evaluation.framework)}, {evaluation.device}) predicts for "
        f"{counted(len(names), 'sequence')} of {letters} letters."
    ) + (f" No scores: {listed(failed)}." if failed else "")


def _closest(evaluation: Evaluation) -> str:
    metric = headline(evaluation)
    if metric is None:
        return ""
    names = best(evaluation, metric)
    if not names:
        return ""
    by_name = {method.method: method for method in scored(evaluation)}
    value = interval_text(by_name[names[0]].means[metric.name])
    if metric.group != "agreement" or evaluation.truth is None:
        return f"{metric.label} is best for {_labels(evaluation, names)}: {value}{_not_clearly(evaluation, metric)}."
    text = (
        f"The closest to exact ISM ({evaluation.label(evaluation.truth)}) is {_labels(evaluation, names)}, "
        f"{metric.label} {value}"
    )
    inexact = [method for method in scored(evaluation) if not method.exact and metric.name in method.means]
    if by_name[names[0]].exact and inexact:
        nearest = max(inexact, key=lambda method: method.means[metric.name].mean)
        text += (
            f"; of the methods that do not ask the model for every mutation, {evaluation.label(nearest.method)}, "
            f"{interval_text(nearest.means[metric.name])}"
        )
    return text + "."


def _recovery(evaluation: Evaluation) -> str:
    metric, chosen = METRICS[RECOVERY], headline(evaluation)
    names = best(evaluation, metric)
    if not names or chosen is None or chosen.name == metric.name:
        return ""
    value = interval_text(evaluation.method(names[0]).means[metric.name])
    found = f"Known sites are found best by {_labels(evaluation, names)}, {metric.label} {value}"
    return f"{found}{_not_clearly(evaluation, metric)}."


def _not_clearly(evaluation: Evaluation, metric: Metric) -> str:
    """Name the methods that the best one may be no better than."""
    close = [
        method.method
        for method in scored(evaluation)
        if method.method not in best(evaluation, metric) and close_to_best(evaluation, method, metric)
    ]
    return f", though not clearly better than {_labels(evaluation, close)}" if close else ""


def _cheapest(evaluation: Evaluation) -> str:
    timed = [
        (method.seconds_per_100_sequences, method.method)
        for method in scored(evaluation)
        if method.seconds_per_100_sequences is not None
    ]
    if not timed:
        return ""
    (seconds, name), (slowest, slow) = min(timed), max(timed)
    text = f"The cheapest is {evaluation.label(name)} with {seconds_text(seconds)} seconds per 100 sequences"
    if len(timed) > 1 and seconds:
        text += f", {ratio_text(slowest / seconds)} times as fast as {evaluation.label(slow)}"
    return text + "."


def _front(evaluation: Evaluation) -> str:
    metric = headline(evaluation)
    front = () if metric is None else pareto_front(evaluation, metric)
    if metric is None or len(scored(evaluation)) < 2 or not front:
        return ""
    return (
        f"No method is both faster and better in {metric.label} than {_labels(evaluation, front)}"
        f"{': these are the Pareto front' * (len(front) > 1)}."
    )


def _labels(evaluation: Evaluation, names: Iterable[str]) -> str:
    return listed([evaluation.label(name) for name in names])


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
    text = f"{number_text(found.mean)} ({number_text(found.low)}, {number_text(found.high)})"
    return f"{text} {marked}" if marked else text


def _definition(metric: Metric) -> str:
    return (
        f"- **{markdown_text(metric.label)}** ({metric.better} is better): {markdown_text(metric.definition)} "
        f"{markdown_text(metric.citation)}."
    )


def _method_lines(evaluation: Evaluation) -> Iterator[str]:
    for method in evaluation.methods:
        said = [f"no scores; {method.reason}"] if method.reason is not None else [options_text(method)]
        said += [caution.removesuffix(".") for caution in method.cautions]
        yield f"- {markdown_text(f'{evaluation.label(method.method)}: ' + '; '.join(said))}."
