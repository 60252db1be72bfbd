"""Old public names, which keep working for one release: each use warns, and names what replaces it."""

import functools
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, ParamSpec

from attribution_bench.errors import InvalidInputError

P = ParamSpec("P")


def renamed_options(**renamed: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Return a decorator of an ``__init__`` that takes options by their old names too, as in ``old="new"``.

    The signature that callers see is that of the decorated function, with the new names only; its attribute
    ``renamed`` maps the old names to the new ones.

    Raises
    ------
    InvalidInputError
        From the decorated function: an option is given by both names.
    """

    def decorate(init: Callable[P, None]) -> Callable[P, None]:
        owner = init.__qualname__.removesuffix(".__init__")

        @functools.wraps(init)
        def with_old_names(*args: P.args, **kwargs: P.kwargs) -> None:
            for old, new in renamed.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    raise InvalidInputError(
                        f"{owner}: {old!r} is the old name of {new!r}; give the option once, as {new!r}"
                    )
                warn_renamed(f"{owner}'s option {old!r}", f"{new!r}", stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            init(*args, **kwargs)

        with_old_names.renamed = renamed  # type: ignore[attr-defined]
        return with_old_names

    return decorate


def moved_names(module: str, **homes: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module whose names have moved, as in ``Name="its.new.module"``."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home = homes[name]
        warn_renamed(f"{module}.{name}", f"{home}.{name}", stacklevel=2)
        return getattr(import_module(home), name)

    return get


def warn_renamed(old: str, new: str, *, stacklevel: int = 1) -> None:
    """Warn that an old name will be removed; a stacklevel of 1 is the line that calls this function."""
    warnings.warn(
        f"{old} is now {new}; the old name will be removed in the next release",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )
