"""Einstein sums as dense layers, or one for each group: which ones are, and with which parameters."""

import pytest
import torch

from attribution_bench_plugins.fastism.capture.einstein_sums import contraction
from attribution_bench_plugins.fastism.capture.errors import TranslationError

SIZES = {"n": 2, "c": 3, "l": 5, "d": 4, "k": 6, "h": 7}


@pytest.mark.parametrize(
    ("equation", "weight_first"),
    [
        ("ncl,dc->ndl", False),
        ("ncl,cd->nld", False),
        ("nlc,cd->nld", False),
        ("dc,nlc->dnl", True),
        ("ncl,lcd->nd", False),
        ("ncl,lc->n", False),
        ("ncl,c->nl", False),
        (" nhlc , cd -> nhld ", False),
        ("...c,cd->...d", False),
        ("ncl,dkc->ndkl", False),
        ("ncl,kdc->ndkl", False),
        ("nkc,kcd->nkd", False),
        ("kdc,nckl->ndkl", True),
        ("knc,kch->knh", False),
        ("nkcl,kc->nkl", False),
    ],
)
def test_dense_layers_give_the_same_numbers(equation: str, weight_first: bool) -> None:
    labels = [part.strip().replace("...", "nl") for part in equation.partition("->")[0].split(",")]
    tensors = [torch.randn([SIZES[label] for label in part], dtype=torch.float64) for part in labels]
    x, weight = reversed(tensors) if weight_first else tensors
    found = contraction(equation, x.dim(), weight, weight_first=weight_first)
    axes = [axis for axis in range(x.dim()) if axis not in found.axes]
    y = x.permute([*axes, *found.axes]).flatten(len(axes))
    if found.group_axis is None:
        y = y @ found.weight.t()
    else:
        place, groups = axes.index(found.group_axis), x.shape[found.group_axis]
        y = y.movedim(place, -2).unsqueeze(-2) @ found.weight.unflatten(0, (groups, -1)).mT
        y = y.squeeze(-2).movedim(-2, place)
    y = y.squeeze(-1) if found.to is None else y.movedim(-1, found.to).unflatten(found.to, found.sizes)
    torch.testing.assert_close(y, torch.einsum(equation, *tensors), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "equation",
    [
        "ncl,lk",  # its output is implicit
        "ncl,c->ncl",  # a product
        "ncl,dkc->ndlk",  # two new axes apart
        "ncl,nlc->nl",  # weights of two axes that are kept
        "ncl,dc->nl",  # a sum of weights
        "ncl,dc->ldn",  # it moves axes
        "ncl,nd->dcl",  # it sums over the batch
        "ncc,dc->nd",  # a diagonal
        "ncl,dc,kd->nkl",  # three tensors
    ],
)
def test_all_else_is_left_alone(equation: str) -> None:
    second = equation.partition("->")[0].split(",")[1]
    weight = torch.randn([SIZES[label] for label in second])
    with pytest.raises(TranslationError):
        contraction(equation, 3, weight, weight_first=False)
