"""Figures as files: the same figure gives the same bytes."""

import io

import matplotlib
from matplotlib.figure import Figure

FIGURE_KINDS = ("png", "svg")


def render(figure: Figure, kind: str) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``, fonts embedded; the same figure gives the same bytes."""
    file = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # Text is embedded as outlines or as TrueType, so that it looks the same without the font. The names of an SVG's
    # elements are random without a salt, and a file kept in git would change each time.
    with matplotlib.rc_context({"svg.hashsalt": "attribution-bench", "svg.fonttype": "path", "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=150, metadata=dates.get(kind))
    return file.getvalue()


def figure_files(name: str, figure: Figure) -> dict[str, bytes]:
    """Return the files of a figure by name, one for each of `FIGURE_KINDS`; its layout is fixed afterwards."""
    # Laying out takes as long as drawing, so it is done once for all kinds.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return {f"{name}.{kind}": render(figure, kind) for kind in FIGURE_KINDS}
