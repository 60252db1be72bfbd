"""Names and numbers as readers see them."""

import math

from attribution_bench.description import describe_installed

ARCHITECTURES = {
    "basset": "Basset",
    "factorized_basset": "Factorized Basset",
    "bpnet": "BPNet (profile and count)",
    "chrombpnet": "ChromBPNet-sized",
}
FRAMEWORKS = {"torch": "PyTorch", "keras": "Keras"}


def architecture_label(name: str) -> str:
    """Return the paper's name of an architecture; any other name as it is."""
    return ARCHITECTURES.get(name, name)


def method_label(name: str) -> str:
    """Return the label of an installed method; any other name with spaces for underscores."""
    return describe_installed(name).label


def framework_label(name: str) -> str:
    """Return a framework's own name."""
    return FRAMEWORKS.get(name, name)


def seconds_text(seconds: float) -> str:
    """Write seconds with three significant figures, whole seconds from 100 on: ``0.0412``, ``27.4``, ``12440``."""
    if seconds == 0:
        return "0"
    rounded = float(f"{seconds:.3g}")
    if rounded >= 100:
        return f"{seconds:.0f}"
    return f"{rounded:.{2 - math.floor(math.log10(rounded))}f}" if rounded >= 1e-4 else f"{rounded:.2e}"


def paper_seconds_text(seconds: float) -> str:
    """Write a figure of the paper's table as it is printed there: two decimals, none for thousands."""
    return f"{seconds:.0f}" if seconds >= 1000 else f"{seconds:.2f}"


def ratio_text(ratio: float) -> str:
    """Write a ratio with one decimal, as the paper does, none from 100 on, two significant figures below 1."""
    rounded = float(f"{ratio:.2g}")
    if rounded >= 1 or ratio == 0:
        return f"{ratio:.0f}" if ratio >= 99.95 else f"{ratio:.1f}"
    return f"{rounded:.{1 - math.floor(math.log10(rounded))}f}"


def share_text(share: float) -> str:
    """Write a part of a whole in per cent, with two significant figures."""
    return f"{float(f'{100 * share:.2g}'):g}%"


def short(text: str, limit: int) -> str:
    """Return text on one line, cut at a limit of characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
