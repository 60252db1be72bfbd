"""`attribution-bench methods`: what is installed, with tags."""


def methods() -> None:
    """List the installed attribution methods and what each needs and gives.

    A plugin that cannot be loaded is named with the reason; the others are listed all the same.
    """
    from rich.table import Table

    from attribution_bench.attribution import Tags
    from attribution_bench.cli.terminal import console, note, say
    from attribution_bench.errors import AttributionBenchError
    from attribution_bench.registry import get_method, list_methods, list_peers

    table = Table()
    table.add_column("method", no_wrap=True)
    for column in ("frameworks", "gradient", "references", "predictions", "exact"):
        table.add_column(column)
    broken = []
    for name in list_methods():
        try:
            tags: Tags = get_method(name).tags
        except AttributionBenchError as error:
            broken.append(str(error))
            table.add_row(name, "cannot be loaded", style="red")
            continue
        flags = (tags.needs_gradient, tags.needs_references, tags.gives_predictions, tags.exact)
        table.add_row(name, ", ".join(sorted(tags.frameworks)), *("yes" if flag else "" for flag in flags))
    console().print(table)
    if list_peers():
        say(f"Of other packages, to compare with by name: {', '.join(list_peers())}")
    for reason in broken:
        note(reason)
