"""`attribution-bench methods`: what is installed, with tags."""

from collections.abc import Iterable
from importlib.util import find_spec

LEGEND = (
    "gradient: takes the model's gradient. references: compares with "
    "other sequences. predictions: predicts every mutation. exact: its predictions equal the model's own."
)
"""What the table's columns mean."""


def methods() -> None:
    """List the installed attribution methods and what each needs and gives.

    A plugin that cannot be loaded is named with the reason; the others are listed all the same.
    """
    from attribution_bench.attribution import Tags
    from attribution_bench.cli.terminal import console, note, say
    from attribution_bench.errors import AttributionBenchError
    from attribution_bench.registry import get_method, list_methods, list_peers
    from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

    names = ("method", "frameworks", "gradient", "references", "predictions", "exact")
    lines, broken = [], []
    frameworks: set[str] = set()
    for name in list_methods():
        try:
            tags: Tags = get_method(name).tags
        except AttributionBenchError as error:
            broken.append(str(error))
            lines.append(TerminalLine((name, "cannot be loaded", *[""] * 4), style="red"))
            continue
        frameworks |= tags.frameworks
        flags = (tags.needs_gradient, tags.needs_references, tags.gives_predictions, tags.exact)
        yes = ("yes" if flag else "" for flag in flags)
        lines.append(TerminalLine((name, ", ".join(sorted(tags.frameworks)), *yes)))
    console().print(TerminalTable(tuple(Column(name, right=False) for name in names), tuple(lines)))
    console().print(LEGEND)
    if frameworks:
        say(f"Of the frameworks: {installed(frameworks)}")
    if list_peers():
        say(f"Of other packages, to compare with by name: {', '.join(list_peers())}")
    for reason in broken:
        note(reason)


def installed(frameworks: Iterable[str]) -> str:
    """Say of each framework whether it is installed: ``keras is installed, torch is not``."""
    found = {name: find_spec(name) is not None for name in sorted(frameworks)}
    return ", ".join(f"{name} is installed" if there else f"{name} is not" for name, there in found.items())
