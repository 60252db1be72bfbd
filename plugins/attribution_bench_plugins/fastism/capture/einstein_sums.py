"""Einstein sums that are dense layers, with the same weights everywhere or with weights of each group of channels."""

import math
from string import ascii_lowercase, ascii_uppercase

from torch import Tensor

from attribution_bench_plugins.fastism.capture.errors import require
from attribution_bench_plugins.fastism.graph.parameters import ContractionParameters


def contraction(equation: str, rank: int, weight: Tensor, *, weight_first: bool) -> ContractionParameters:
    """Return the parameters of a ``contract`` node for an Einstein sum of a tensor and a weight.

    Parameters
    ----------
    equation
        Such as ``ncl,dc->ndl``, ``...c,cd->...d`` or, with weights of each group ``g``, ``ngc,gcd->ngd``.
    rank
        Number of axes of the tensor.

    Raises
    ------
    TranslationError
        The sum is more than a dense layer: it multiplies by weights of several axes that it keeps, or moves the axes
        that it does not sum over.
    """
    left, arrow, out = equation.replace(" ", "").partition("->")
    labels = left.split(",")
    require(bool(arrow) and len(labels) == 2)
    x, w = reversed(labels) if weight_first else labels
    others = ascii_uppercase[: rank - len(x.replace("...", ""))]
    x, out = x.replace("...", others), out.replace("...", others)
    summed = [label for label in x if label not in out]
    new = [label for label in out if label not in x]
    kept = [label for label in out if label in x]
    shared = [label for label in kept if label in w]
    groups = [label for label in shared if weight.shape[w.index(label)] > 1]
    repeated = any(len(set(part)) < len(part) for part in (x, w, out))
    require(not repeated and len(x) == rank and bool(summed) and x[0] not in summed and len(groups) <= 1)
    require(set(w) == {*summed, *new, *shared} and kept == [label for label in x if label in out])
    place = out.index(new[0]) if new else None
    require(place is None or out[place : place + len(new)] == "".join(new))
    matrix = weight.permute([w.index(label) for label in (*shared, *new, *summed)])
    size = dict(zip(w, weight.shape, strict=True))
    return ContractionParameters(
        matrix.reshape(-1, math.prod(size[label] for label in summed)).contiguous(),
        axes=tuple(x.index(label) for label in summed),
        to=place,
        sizes=tuple(size[label] for label in new),
        group_axis=x.index(groups[0]) if groups else None,
    )


def product_equation(rank: int, weight: Tensor, *, weight_first: bool) -> str:
    """Return the Einstein sum that a matrix product with a weight of several matrices is.

    Parameters
    ----------
    rank
        Number of axes of the tensor, which the weight has at most.
    """
    *batch, rows, inner, columns = list(ascii_lowercase[: rank + 1])
    x = [*batch, inner, columns] if weight_first else [*batch, rows, inner]
    w = [*batch, rows, inner] if weight_first else [*batch, inner, columns]
    require(2 < weight.dim() <= rank)
    x_text, w_text = "".join(x), "".join(w[rank - weight.dim() :])
    operands = f"{w_text},{x_text}" if weight_first else f"{x_text},{w_text}"
    return f"{operands}->{''.join(batch)}{rows}{columns}"
