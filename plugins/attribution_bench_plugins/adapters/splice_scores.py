"""SpliceAI's scores of variants, which models of its architecture share: their options, effects and windows."""

from typing import TYPE_CHECKING

from attribution_bench.errors import ModelError

if TYPE_CHECKING:
    from attribution_bench.variants import SplicingEffects

CONTEXT = 10_000
"""Letters of a window that no prediction is made for: half of them at each end."""
DISTANCE = 50
"""Letters about a variant in which SpliceAI looks for gains and losses."""
OPTIONS = {
    "masked": "1 for masked scores: 0 for a gain at the boundary of an exon, and for a loss elsewhere",
    "distance": "letters about a variant in which gains and losses are looked for; 50 by default",
}
"""Option -> what it means."""


def splice_scores(name: str, distance: int, masked: int) -> "SplicingEffects":
    """Return gain and loss of acceptor and donor within a distance.

    Raises
    ------
    ModelError
        The distance is no whole number of letters, or `masked` is neither 0 nor 1.
    """
    from attribution_bench.variants import SplicingEffects

    if not isinstance(distance, int) or distance < 0:
        raise ModelError(f"the distance of {name} must be a whole number of letters, not {distance}")
    if masked not in (0, 1):
        raise ModelError(f"masked of {name} is 0 or 1, not {masked}")
    return SplicingEffects({"acceptor": 1, "donor": 2}, distance=distance, masked=masked == 1)


def window_length(distance: int, context: int = CONTEXT) -> int:
    """Return the letters that a distance needs, with the context; those of the usual one for what is no number."""
    return context + 2 * (distance if isinstance(distance, int) else DISTANCE) + 1
