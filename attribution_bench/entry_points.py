"""Objects that installed packages offer under a group of entry points; nothing is imported until it is asked for."""

from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from attribution_bench.errors import MissingDependencyError, PluginError, UnknownNameError


def _entry_points(group: str) -> dict[str, list[EntryPoint]]:
    """Entry points of a group by name. One distribution seen twice on the path counts once."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = defaultdict(dict)
    for point in entry_points(group=group):
        found[point.name][(_distribution(point), point.value)] = point
    return {name: list(points.values()) for name, points in found.items()}


def list_plugins(group: str) -> list[str]:
    """Names of what is installed under a group of entry points, sorted; imports none of it."""
    return sorted(_entry_points(group))


def load_plugin(group: str, kind: str, name: str) -> Any:
    """Return what is registered under a name of a group; `kind` is what messages call it.

    Raises
    ------
    UnknownNameError
        Nothing is registered under the name; the message lists what is.
    PluginError
        It fails to import, or two distributions share the name.
    """
    found = _entry_points(group)
    if name not in found:
        raise UnknownNameError(kind, name, found)
    if len(found[name]) > 1:
        owners = ", ".join(f"{point.value} of {_distribution(point)}" for point in found[name])
        raise PluginError(f"two plugins register the {kind} {name!r}: {owners}; uninstall one of them")
    point = found[name][0]
    try:
        return point.load()
    except MissingDependencyError:
        raise
    except Exception as error:  # a plugin may fail in any way on import; it is named and re-raised
        raise PluginError(
            f"the {kind} {name!r} ({point.value} of {_distribution(point)}) cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unnamed distribution"
