"""`attribution-bench models`: what can be named in the place of a model file."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from attribution_bench.models.adapters import ModelCard


def models(
    name: Annotated[
        str | None, typer.Argument(help="One model of other packages, to say all that is known of it.", metavar="NAME")
    ] = None,
) -> None:
    """List the models that can be named in the place of a file: built-in architectures, and models of other packages.

    Those of other packages need that package, which is installed by you; nothing is imported or downloaded here.

    \b
    Examples:
      attribution-bench models
      attribution-bench models spliceai
      attribution-bench explain spliceai

    Exit codes: 0 done, 2 bad input.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.cli.terminal import console, say
    from attribution_bench.models.adapters import get_catalogued, list_catalogue
    from attribution_bench.registry import list_models
    from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

    if name is not None:
        for line in _lines(get_catalogued(name).card):
            say(line)
        return
    say(f"Built in: {', '.join(list_models())}")
    lines = []
    for card in list_catalogue():
        length = "any" if card.length is None else f"{card.length:,}"
        lines.append(TerminalLine((card.name, length, card.package, "yes" if card.installed else "")))
    names = ("model", "letters", "package", "installed")
    columns = tuple(Column(name, right=name == "letters") for name in names)
    console().print(TerminalTable(columns, tuple(lines), "Models of other packages"))
    say("attribution-bench models NAME says what one predicts, its outputs, target, licence and citation.")


def _lines(card: "ModelCard") -> list[str]:
    """Return all that is known of a model, a line a fact."""
    package = f"{card.package}, {'installed' if card.installed else f'not installed ({card.install_command})'}"
    others = "" if card.fixed or card.length is None else ", or another number"
    length = "any number of letters" if card.length is None else f"{card.length:,} letters{others}"
    if "weights" in card.options:
        weights = "those that an option names"
    else:
        weights = "in the package" if card.weights else f"of your own: {card.name}?weights=FILE"
    facts = {
        "predicts": card.summary,
        "package": package,
        "weights": weights,
        "length": length,
        "alphabet": card.alphabet,
        "outputs": card.outputs,
        "default target": card.target or "none; give one where there are several numbers",
        **{f"option {option}": meaning for option, meaning in card.options.items()},
        "licence": card.licence,
        "cite": card.citation,
    }
    width = max(map(len, facts))
    return [card.name, *(f"  {fact:<{width}}  {said}" for fact, said in facts.items())]
