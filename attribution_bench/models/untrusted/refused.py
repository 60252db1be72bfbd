"""The errors of the readers of untrusted files."""

import contextlib
from collections.abc import Iterator


class Refused(ValueError):  # noqa: N818 - named for what happened to the file
    """Content that is not known to be harmless, or that is damaged; the message says what and where."""


class Damaged(Refused):
    """Content that is not as it was written, such as a file that is cut off; another copy of it would do."""


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Name the part of a file that is damaged."""
    try:
        yield
    except Damaged as error:
        raise Damaged(f"its {name} is damaged: {error}") from error


def shown(value: object) -> str:
    """Return a value as text that is short and fit for a terminal."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
