"""Figures as files: the same figure gives the same bytes."""

import io
import re
from typing import Literal
from xml.sax.saxutils import escape

import matplotlib
from matplotlib.figure import Figure

FIGURE_KINDS = ("png", "svg")


def render(
    figure: Figure, kind: str, *, title: str = "", description: str = "", text: Literal["outlines", "text"] = "outlines"
) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``, fonts embedded; the same figure gives the same bytes.

    Parameters
    ----------
    title, description
        What the file says of itself to those who cannot see it: ``<title>`` and ``<desc>`` of an SVG, and the
        properties of the other kinds. Nothing where they are empty.
    text
        How an SVG holds its text: as ``outlines``, which look the same everywhere, or as ``text``, which can be
        selected, searched and edited, and looks the same where DejaVu Sans is installed.
    """
    file = io.BytesIO()
    title, description = _printable(title), _printable(description)
    known = {"Title": title} if title else {}
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    subjects = {"svg": "Description", "pdf": "Subject", "png": "Description"}
    about = {**known, **({subjects[kind]: description} if description else {}), **dates.get(kind, {})}
    # Text is embedded as outlines or as TrueType, so that it looks the same without the font. The names of an SVG's
    # elements are random without a salt, and a file kept in git would change each time.
    svg = "none" if text == "text" else "path"
    with matplotlib.rc_context({"svg.hashsalt": "attribution-bench", "svg.fonttype": svg, "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=150, metadata=about)
    drawn = file.getvalue()
    return _described(drawn, title, description) if kind == "svg" and (title or description) else drawn


def _printable(text: str) -> str:
    """Return text on one line, without the characters that a file may not hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _described(drawn: bytes, title: str, description: str) -> bytes:
    """Return an SVG whose first elements are its title and its description, where readers of the screen look."""
    head, _, tail = re.sub(rb"\s*<title>.*?</title>", b"", drawn, count=1, flags=re.DOTALL).partition(b"<svg ")
    opening, _, rest = tail.partition(b">")
    elements = (("title", title), ("desc", description))
    about = "".join(f"\n <{name}>{escape(words)}</{name}>" for name, words in elements if words)
    return head + b"<svg " + opening + b' role="img">' + about.encode() + rest


def figure_files(name: str, figure: Figure) -> dict[str, bytes]:
    """Return the files of a figure by name, one for each of `FIGURE_KINDS`; its layout is fixed afterwards."""
    # Laying out takes as long as drawing, so it is done once for all kinds.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return {f"{name}.{kind}": render(figure, kind) for kind in FIGURE_KINDS}
