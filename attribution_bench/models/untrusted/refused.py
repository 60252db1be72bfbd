"""The error of the readers of untrusted files."""


class Refused(ValueError):  # noqa: N818 - named for what happened to the file
    """Content that is not known to be harmless, or that is damaged; the message says what and where."""


def shown(value: object) -> str:
    """Return a value as text that is short and fit for a terminal."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
