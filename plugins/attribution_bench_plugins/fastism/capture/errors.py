"""Errors of capture."""


class CaptureError(Exception):
    """A model that cannot be captured as a graph; the message is the reason."""


class TranslationError(Exception):
    """A call that corresponds to no op with a rule; its node becomes opaque. A message says what stopped it."""


def told(error: BaseException) -> str:
    """Return an error of others as it is told within a reason: its class and its first line, cut where it is long."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__


def require(condition: bool) -> None:
    """Raise TranslationError where a condition of a translation does not hold."""
    if not condition:
        raise TranslationError
