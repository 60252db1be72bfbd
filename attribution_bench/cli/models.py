"""`attribution-bench models`: what can be named in the place of a model file."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from attribution_bench.models.adapters import ModelCard


def models(
    name: Annotated[
        str | None, typer.Argument(help="One of these models, to say all that is known of it.", metavar="NAME")
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
    from attribution_bench.cli.terminal import console, note, say
    from attribution_bench.errors import UnknownNameError
    from attribution_bench.models.adapters import read_catalogue
    from attribution_bench.registry import list_models
    from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

    catalogue, built_in = read_catalogue(), list_models()
    if name is not None:
        name = name.partition("?")[0]  # of one with options all of them are said
        found = None if name in built_in else catalogue.find(name)
        if name not in built_in and found is None:
            raise catalogue.noted(UnknownNameError("model", name, [*built_in, *catalogue.names]))
        for line in _described(name, _of_architecture(name) if found is None else _of_card(found.card)):
            say(line)
        return
    say(f"Built in: {', '.join(built_in)}")
    lines = []
    for card in (model.card for model in catalogue.models):
        length = "any" if card.length is None else f"{card.length:,}"
        lines.append(TerminalLine((card.name, length, card.package, "yes" if card.installed else "")))
    names = ("model", "letters", "package", "installed")
    columns = tuple(Column(name, right=name == "letters") for name in names)
    console().print(TerminalTable(columns, tuple(lines), "Models of other packages"))
    say("attribution-bench models NAME says what one predicts, its outputs, target, licence and citation.")
    for failure in catalogue.failures:
        note(f"not among these: {failure}")


def _of_architecture(name: str) -> dict[str, str]:
    """Return what is known of a built-in architecture: what its builder says, and which options it takes."""
    from attribution_bench.models.catalogue import get_model

    builder = get_model(name)
    parameters = inspect.signature(builder).parameters.values()
    options = [one.name if one.default is one.empty else f"{one.name}={one.default}" for one in parameters]
    return {
        "built in": " ".join((inspect.getdoc(builder) or "").partition("\n\n")[0].split()),
        "weights": f"the builder's, or of your own: {name}?weights=FILE",
        "options": f"{', '.join(options)}; given as {name}?{'&'.join(options[:1])}",
    }


def _of_card(card: "ModelCard") -> dict[str, str]:
    """Return all that is known of a model of another package."""
    package = f"{card.package}, {'installed' if card.installed else f'not installed ({card.install_command})'}"
    others = "" if card.fixed or card.length is None else ", or another number"
    length = "any number of letters" if card.length is None else f"{card.length:,} letters{others}"
    if "weights" in card.options:
        weights = "those that an option names"
    else:
        weights = "in the package" if card.weights else f"of your own: {card.name}?weights=FILE"
    return {
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


def _described(name: str, facts: Mapping[str, str]) -> list[str]:
    """Return a name and what is known of it, a line a fact."""
    width = max(map(len, facts))
    return [name, *(f"  {fact:<{width}}  {said}" for fact, said in facts.items())]
