"""Which ATen operations are linear, and which follow which rule of DeepLIFT."""

from collections.abc import Callable
from typing import Any

from torch import nn

from attribution_bench_plugins.deepshap import torch_composites as composites


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


LINEAR_IN_ALL = _names("add sub rsub cat stack index_put scatter slice_scatter select_scatter copy")
"""Linear in all their tensors at once."""

LINEAR_IN_FIRST = _names(
    """
    view _unsafe_view reshape permute transpose t squeeze unsqueeze expand expand_as select slice narrow split
    split_with_sizes chunk unbind clone contiguous alias _to_copy to type_as flatten unflatten pad constant_pad_nd
    reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d flip roll repeat repeat_interleave unfold
    diagonal as_strided lift_fresh_copy movedim swapaxes index index_select gather masked_fill tril triu neg sum mean
    cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d
    upsample_nearest1d upsample_nearest2d upsample_linear1d upsample_bilinear2d pixel_shuffle
    conv1d conv2d conv3d convolution conv_transpose1d conv_transpose2d conv_transpose3d
    batch_norm _native_batch_norm_legit_no_training div
    """
)
"""Linear in their first argument while the others are constant."""

LINEAR_ELSEWHERE = {"addmm": (0, 1), "where": (1, 2)}
"""Linear in the arguments at these positions."""

BILINEAR = _names("mul matmul bmm mm linear")
"""Linear in either of their first two arguments, and a product of both."""

CAPTUM: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}
"""Modules that Captum hooks. Its rescale rule lets each half of a batch keep its own gradient where x and reference
nearly agree: right for functions of straight pieces that meet in 0, a matter of rounding at others."""

ELEMENTWISE = _names(
    """
    elu selu celu prelu _prelu_kernel relu6 hardtanh hardsigmoid hardswish sigmoid log_sigmoid tanh hardshrink
    softshrink tanhshrink threshold softplus softsign gelu silu mish exp exp2 expm1 log log1p log2 log10 sqrt rsqrt
    reciprocal square pow abs erf erfc erfinv sin cos tan asin acos atan sinh cosh asinh acosh atanh clamp clamp_min
    clamp_max logit digamma lgamma special_erf special_expit
    """
)
"""Functions of one element; they follow the rescale rule."""

LARGEST = _names("max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d amax max")
"""Maxima over windows or axes."""

COMPOSITES: dict[tuple[str, tuple[int, ...]], Callable[..., Any]] = {
    ("div", (0, 1)): composites.quotient,
    ("div", (1,)): composites.inverse,
    ("scaled_dot_product_attention", (0, 1, 2)): composites.attention,
    ("einsum", (1,)): composites.einsum,
    ("glu", (0,)): composites.glu,
    ("softmax", (0,)): composites.softmax,
    ("log_softmax", (0,)): composites.log_softmax,
    ("logsumexp", (0,)): composites.logsumexp,
    ("layer_norm", (0,)): composites.layer_norm,
    ("group_norm", (0,)): composites.group_norm,
    ("rms_norm", (0,)): composites.rms_norm,
    **{("maximum", positions): composites.maximum for positions in ((0,), (1,), (0, 1))},
    **{("minimum", positions): composites.minimum for positions in ((0,), (1,), (0, 1))},
}
"""Several rules at once, by the positions of the arguments that depend on the sequence."""
