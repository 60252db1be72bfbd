"""`attribution-bench methods`: what is installed, with tags."""


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
    for name in list_methods():
        try:
            tags: Tags = get_method(name).tags
        except AttributionBenchError as error:
            broken.append(str(error))
            lines.append(TerminalLine((name, "cannot be loaded", *[""] * 4), style="red"))
            continue
        flags = (tags.needs_gradient, tags.needs_references, tags.gives_predictions, tags.exact)
        yes = ("yes" if flag else "" for flag in flags)
        lines.append(TerminalLine((name, ", ".join(sorted(tags.frameworks)), *yes)))
    console().print(TerminalTable(tuple(Column(name, right=False) for name in names), tuple(lines)))
    if list_peers():
        say(f"Of other packages, to compare with by name: {', '.join(list_peers())}")
    for reason in broken:
        note(reason)
