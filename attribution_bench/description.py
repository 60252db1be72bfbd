"""What stored results keep of a method beside its registered name: the label that people read, and its tags."""

from dataclasses import asdict, dataclass
from typing import Any

from attribution_bench.attribution import Attribution, Tags
from attribution_bench.errors import AttributionBenchError
from attribution_bench.registry import get_method


@dataclass(frozen=True)
class Description:
    """A method as results describe it."""

    label: str
    """Name that people read."""
    tags: Tags | None
    """Tags of the method; None where nothing is known of it."""


def describe(name: str, method: Attribution | type[Attribution]) -> Description:
    """Return the description of a method that is registered under a name.

    The label is the class's own unless the class is registered under another name than it has: then the registered name
    tells its results from those of the class under its own.
    """
    own = method.label if method.name == name else ""
    return Description(own or plain_label(name), method.tags)


def describe_installed(name: str) -> Description:
    """Return the description of the method that is installed under a name, for results that were stored without one.

    This is the one place where a name stands for what a method is. Records, evaluations, logo scores and profiles that
    were written before they held a description are completed here as they are read; where no method of that name is
    installed, or it cannot be loaded, its tags stay unknown.
    """
    try:
        return describe(name, get_method(name))
    except AttributionBenchError:
        return Description(plain_label(name), None)


def plain_label(name: str) -> str:
    """Return a registered name as people read it where there is no label: with spaces for underscores."""
    return name.replace("_", " ")


def tags_to_json(tags: Tags) -> dict[str, Any]:
    """Return tags as plain data that JSON can hold, which `typed_json.read_as` reads."""
    return {**asdict(tags), "frameworks": sorted(tags.frameworks)}
