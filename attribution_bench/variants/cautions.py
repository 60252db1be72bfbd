"""Cautions of a run over variants: warnings of methods, told once each in the job's own words."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from attribution_bench.foreign_warnings import OWN


@contextlib.contextmanager
def told(tell: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Tell within the block what methods warn of, each text once; other warnings are shown as they were.

    Yields the function that tells a caution of the caller's own in the same way.
    """
    texts: set[str] = set()

    def once(text: str) -> None:
        if text not in texts:
            texts.add(text)
            tell(text)

    with warnings.catch_warnings():
        for category in OWN:
            warnings.simplefilter("always", category)
        former = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, OWN):
                once(str(message))
            else:
                former(message, category, *place, **more)

        warnings.showwarning = show
        yield once
