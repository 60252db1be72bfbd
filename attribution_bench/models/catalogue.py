"""Model architectures found through entry points; none is imported until it is asked for."""

from collections.abc import Callable
from typing import Any

from attribution_bench.entry_points import list_plugins, load_plugin
from attribution_bench.errors import PluginError

MODELS = "attribution_bench.models"


def list_models() -> list[str]:
    """Names of the installed model architectures, sorted; imports none of them."""
    return list_plugins(MODELS)


def get_model(name: str) -> Callable[..., Any]:
    """Return the builder registered under an architecture's name.

    Raises
    ------
    UnknownNameError
        No installed distribution registers the name; the message lists those that are.
    PluginError
        The plugin fails to import, cannot be called, or shares its name with another distribution's.
    MissingDependencyError
        It needs a package that is not installed; the message names the extra.
    """
    builder = load_plugin(MODELS, "model", name)
    if not callable(builder):
        raise PluginError(f"model {name!r} is registered as {builder!r}, which cannot be called")
    return builder  # type: ignore[no-any-return]
