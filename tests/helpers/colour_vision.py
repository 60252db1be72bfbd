"""How colours look to readers: contrast as WCAG 2 defines it, and differences as a deuteranope sees them."""

import numpy as np
from numpy.typing import NDArray

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
"""Linear RGB as seen without middle-wavelength cones: Machado et al., IEEE TVCG 15:1291, 2009, severity 1."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour: str) -> NDArray[np.float64]:
    """Return the linear RGB of ``#rrggbb``, each from 0 to 1."""
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted(float(linear(colour) @ TO_XYZ[1]) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def seen_difference(one: str, other: str, sight: NDArray[np.float64] = DEUTERANOPIA) -> float:
    """Return the distance of two colours in CIE L*a*b*; 2 to 3 is just noticed, 10 seen at a glance."""
    return float(np.linalg.norm(_lab(sight @ linear(one)) - _lab(sight @ linear(other))))


def _lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    share = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
