"""Warnings of other libraries: where they are errors, as under ``python -W error``, they still stop no method."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from attribution_bench.errors import (
    ConvergenceWarning,
    FallbackWarning,
    InconsistencyWarning,
    ReferenceWarning,
    TrialWarning,
)

OWN = (ConvergenceWarning, FallbackWarning, InconsistencyWarning, ReferenceWarning, TrialWarning)
"""Warnings of methods, which stay errors where the user has made them errors."""


@contextlib.contextmanager
def foreign_warnings_shown() -> Iterator[None]:
    """Show within the block what warnings filters would raise as errors, but for warnings of the suite's own.

    A library's warning that is raised inside of it leaves its work undone: a model would seem not to take its input, or
    not to be capturable. Where no filter raises anything, nothing is changed.
    """
    former: list[Any] = list(warnings.filters)
    if not any(action == "error" for action, *_ in former):
        yield
        return
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for action, message, category, module, line in former:
            where = _pattern(message), _pattern(module), line
            if action == "error":
                for own in (own for own in OWN if issubclass(own, category)):
                    _append("error", own, *where)
                action = "default"
            _append(action, category, *where)
        yield


def _append(action: Any, category: type[Warning], message: str, module: str, line: int) -> None:
    warnings.filterwarnings(action, message, category, module, line, append=True)


def _pattern(expression: Any) -> str:
    """Return the regular expression of a filter's part; empty for one that takes everything."""
    return str(getattr(expression, "pattern", expression or ""))
