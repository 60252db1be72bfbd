"""Text as LaTeX takes it."""

import unicodedata
from collections.abc import Iterable

ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "&": r"\&", "%": r"\%",
    "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "×": r"$\times$", "–": "--", "—": "---", "…": r"\ldots{}",
    "’": "'", "‘": "`", "“": "``", "”": "''", "≤": r"$\leq$", "≥": r"$\geq$", "±": r"$\pm$", "µ": r"$\mu$",
    "≈": r"$\approx$",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Escape what LaTeX reads as commands; letters that its default fonts lack become their nearest ASCII, or ``?``."""
    return "".join(ESCAPES.get(letter) or _ascii(letter) for letter in " ".join(text.split()))


def latex_line(cells: Iterable[str]) -> str:
    """Return the line of a table."""
    return " & ".join(cells) + r" \\"


def _ascii(letter: str) -> str:
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain if plain.isprintable() and plain else "?"
