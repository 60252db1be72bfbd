"""Differences between what a job was and what is asked for now, in words for a message."""

import json
from collections.abc import Iterator
from typing import Any

SHOWN_DIFFERENCES = 6
LONGEST_SHOWN = 60
"""Characters of a list that a message shows; of a longer one it tells the number."""
OF_AN_OBJECT = "holds"
"""Key of what an object that is `described` holds, which says nothing to a reader."""


def differences(there: Any, here: Any, where: str) -> str:
    """Return what differs between two JSON-able values, the first ones shown; empty where nothing does.

    `where` says what holds the first one, such as ``store``.
    """
    # As JSON, since tuples come back as lists.
    found = list(_differences(json.loads(json.dumps(there)), json.loads(json.dumps(here)), "", where))
    more = f"; and {len(found) - SHOWN_DIFFERENCES} more" if len(found) > SHOWN_DIFFERENCES else ""
    return "; ".join(found[:SHOWN_DIFFERENCES]) + more


def _differences(there: Any, here: Any, place: str, where: str) -> Iterator[str]:
    """Yield what differs between two JSON values: ``settings: target: 'count' in the store, 'profile' now``."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys((*there, *here)):
            inner = place if key == OF_AN_OBJECT else f"{place}{key}: "
            yield from _differences(there.get(key), here.get(key), inner, where)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for index, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _differences(one, other, f"{place}{index}: ", where)
    elif there != here:
        yield f"{place}{_shown(there)} in the {where}, {_shown(here)} now"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        words = ", ".join(map(_shown, value))
        return f"[{words}]" if len(words) <= LONGEST_SHOWN else f"{len(value)} of them"
    text = str(value)
    # Of a digest the beginning tells two apart.
    return text[:12] + "..." if len(text) == 64 and set(text) <= set("0123456789abcdef") else repr(value)
