"""Methods and models found through entry points; nothing is imported until it is asked for."""

import warnings
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from attribution_bench.errors import MissingDependencyError, PluginError, UnknownNameError

if TYPE_CHECKING:
    from attribution_bench.attribution import Attribution

METHODS = "attribution_bench.methods"
MODELS = "attribution_bench.models"
PEERS = "attribution_bench.peers"
"""Methods of other packages, to compare with: got by name, and left out of what runs by default."""


def list_methods() -> list[str]:
    """Names of the installed attribution methods, sorted; imports none of them."""
    return list_plugins(METHODS)


def list_peers() -> list[str]:
    """Names of the other packages' methods that there are plugins for, sorted; imports none of them."""
    return list_plugins(PEERS)


def list_models() -> list[str]:
    """Names of the installed model architectures, sorted; imports none of them."""
    return list_plugins(MODELS)


def get_method(name: str) -> "type[Attribution]":
    """Return the method class registered under a name, as a method or as a peer.

    Raises
    ------
    UnknownNameError
        No installed distribution registers the name; the message lists those that are.
    PluginError
        The plugin fails to import, is no ``Attribution``, or shares its name with another distribution's.
    MissingDependencyError
        It needs a package that is not installed; the message names the extra.
    """
    from attribution_bench.attribution import Attribution

    peer = name not in list_methods() and name in list_peers()
    method = load_plugin(PEERS if peer else METHODS, "method", name)
    if not (isinstance(method, type) and issubclass(method, Attribution)):
        raise PluginError(f"method {name!r} is registered as {method!r}, which is no subclass of Attribution")
    return method


def get_model(name: str) -> Callable[..., Any]:
    """Return the builder registered under an architecture's name; raises as `get_method` does."""
    builder = load_plugin(MODELS, "model", name)
    if not callable(builder):
        raise PluginError(f"model {name!r} is registered as {builder!r}, which cannot be called")
    return builder  # type: ignore[no-any-return]


def working_methods() -> "dict[str, type[Attribution]]":
    """Load every installed method; one that cannot be loaded is named in a warning and left out."""
    working = {}
    for name in list_methods():
        try:
            working[name] = get_method(name)
        except PluginError as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)
    return working


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
