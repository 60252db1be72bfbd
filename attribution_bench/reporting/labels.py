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
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def architecture_label(name: str) -> str:
    """Return the paper's name of an architecture; any other name as it is."""
    return ARCHITECTURES.get(name, name)


def method_label(name: str) -> str:
    """Return the label of an installed method; any other name with spaces for underscores."""
    return describe_installed(name).label


def framework_label(name: str) -> str:
    """Return a framework's own name."""
    return FRAMEWORKS.get(name, name)


def seconds_text(seconds: float, digits: int = 3) -> str:
    """Write seconds with that many significant figures: ``0.0412``, ``27.4``, ``12400``."""
    if seconds == 0:
        return "0"
    rounded = float(f"{seconds:.{digits}g}")
    return f"{rounded:.{_decimals(rounded, digits)}f}" if rounded >= 1e-4 else f"{rounded:.{digits - 1}e}"


def paper_seconds_text(seconds: float) -> str:
    """Write a figure of the paper's table as it is printed there: two decimals, none for thousands."""
    return f"{seconds:.0f}" if seconds >= 1000 else f"{seconds:.2f}"


def ratio_text(ratio: float, digits: int = 3) -> str:
    """Write a ratio with that many significant figures, as the paper does: at most one decimal, two figures below 1."""
    below = min(digits, 2)
    rounded = float(f"{ratio:.{below}g}")
    if 0 < rounded < 1:
        return f"{rounded:.{_decimals(rounded, below)}f}"
    rounded = float(f"{ratio:.{digits}g}")
    return f"{ratio:.1f}" if digits > 1 and _decimals(rounded, digits) > 0 else f"{rounded:.0f}"


def power_text(number: float, digits: int = 2) -> str:
    """Write a positive number with a power of ten that no line breaks: ``1.3 × 10⁻⁵``."""
    mantissa, _, exponent = f"{number:.{digits - 1}e}".partition("e")
    return f"{mantissa}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def share_text(share: float) -> str:
    """Write a part of a whole in per cent, with two significant figures."""
    return f"{float(f'{100 * share:.2g}'):g}%"


def short(text: str, limit: int) -> str:
    """Return text on one line, cut at a limit of characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _decimals(rounded: float, digits: int) -> int:
    """Return how many decimals show that many significant figures of a number that was rounded to them."""
    return max(0, digits - 1 - math.floor(math.log10(rounded))) if rounded else digits
