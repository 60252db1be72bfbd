"""Errors of capture."""


class CaptureError(Exception):
    """A model that cannot be captured as a graph; the message is the reason."""


class TranslationError(Exception):
    """A call that corresponds to no op with a rule; its node becomes opaque. A message says what stopped it."""


def require(condition: bool) -> None:
    """Raise TranslationError where a condition of a translation does not hold."""
    if not condition:
        raise TranslationError
