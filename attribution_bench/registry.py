"""Methods and models found through entry points; nothing is imported until it is asked for."""

import warnings

from attribution_bench.attribution import Attribution
from attribution_bench.entry_points import list_plugins, load_plugin
from attribution_bench.errors import AttributionBenchError, PluginError, PluginWarning
from attribution_bench.models.catalogue import MODELS, get_model, list_models

METHODS = "attribution_bench.methods"
PEERS = "attribution_bench.peers"
"""Methods of other packages, to compare with: got by name, and left out of what runs by default."""


def list_methods() -> list[str]:
    """Names of the installed attribution methods, sorted; imports none of them."""
    return list_plugins(METHODS)


def list_peers() -> list[str]:
    """Names of the other packages' methods that there are plugins for, sorted; imports none of them."""
    return list_plugins(PEERS)


def get_method(name: str) -> type[Attribution]:
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
    peer = name not in list_methods() and name in list_peers()
    method = load_plugin(PEERS if peer else METHODS, "method", name)
    if not (isinstance(method, type) and issubclass(method, Attribution)):
        raise PluginError(f"method {name!r} is registered as {method!r}, which is no subclass of Attribution")
    return method


def working_methods() -> dict[str, type[Attribution]]:
    """Load every installed method; one that cannot be loaded is named in a PluginWarning and left out."""
    working = {}
    for name in list_methods():
        try:
            working[name] = get_method(name)
        except AttributionBenchError as error:
            warnings.warn(f"{name!r} is left out: {error}", PluginWarning, stacklevel=2)
    return working


__all__ = [
    "METHODS",
    "MODELS",
    "PEERS",
    "get_method",
    "get_model",
    "list_methods",
    "list_models",
    "list_peers",
    "list_plugins",
    "load_plugin",
    "working_methods",
]
