"""Einstein sums that are dense layers."""

from string import ascii_uppercase

from torch import Tensor

from attribution_bench_plugins.fastism.capture.errors import require
from attribution_bench_plugins.fastism.graph.parameters import ContractionParameters


def contraction(equation: str, rank: int, weight: Tensor, *, weight_first: bool) -> ContractionParameters:
    """Return the parameters of a ``contract`` node for an Einstein sum of a tensor and a weight.

    Parameters
    ----------
    equation
        Such as ``ncl,dc->ndl`` or ``...c,cd->...d``.
    rank
        Number of axes of the tensor, of which the first is the batch.

    Raises
    ------
    TranslationError
        The sum is more than a dense layer: it multiplies by a weight of each position, or moves the axes that it does
        not sum over.
    """
    left, arrow, out = equation.replace(" ", "").partition("->")
    labels = left.split(",")
    require(bool(arrow) and len(labels) == 2)
    x, w = reversed(labels) if weight_first else labels
    others = ascii_uppercase[: rank - len(x.replace("...", ""))]
    x, out = x.replace("...", others), out.replace("...", others)
    summed = [label for label in x if label not in out]
    new = [label for label in w if label not in x]
    kept = [label for label in x if label in out]
    repeated = any(len(set(part)) < len(part) for part in (x, w, out))
    require(not repeated and len(x) == rank and len(new) <= 1 and bool(summed) and x[0] not in summed)
    require(set(w) == {*summed, *new} and [label for label in out if label not in new] == kept and set(new) <= set(out))
    matrix = weight.permute([w.index(label) for label in (*new, *summed)])
    return ContractionParameters(
        matrix.reshape(weight.shape[w.index(new[0])] if new else 1, -1).contiguous(),
        axes=tuple(x.index(label) for label in summed),
        to=out.index(new[0]) if new else None,
    )
