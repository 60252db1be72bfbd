"""Errors of tries as a command tells them: whole once, and then without what to do."""


class ToldErrors:
    """The errors that lines of a command have told.

    On a full disk every try of every shard fails with the same words; what comes after the first semicolon of an error,
    such as how to go on, is told once.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def text(self, error: str) -> str:
        """Return what is told of an error."""
        if error in self._told:
            return _what(error)
        self._told.add(error)
        return error

    def within(self, text: str) -> str:
        """Return a text in which errors that were told are shortened."""
        # One may be the beginning of another.
        for error in sorted(self._told, key=len, reverse=True):
            text = text.replace(error, _what(error))
        return text


def _what(error: str) -> str:
    """Return what went wrong, without what follows from it."""
    return error.partition("; ")[0]
