"""Operators that the graph of a torch.export file may call: arithmetic on tensors, without effects outside of them.

PyTorch resolves the name of an operator to anything within ``torch``, ``math`` or ``operator`` and calls it. Here a
name is an operator of ATen or one of few others; and one of ATen is told by its kind: the schema that PyTorch itself
registers for it says what it takes and returns. Files, streams, printing and the state of the process do not pass.
"""

import re

import torch

from attribution_bench.models.untrusted.refused import Refused, shown
from attribution_bench.models.untrusted.words import words

ATEN = re.compile(r"torch\.ops\.aten\.([A-Za-z]\w*|_\w+)\.(\w+)")
ON_SIZES = frozenset(
    f"{module}{name}"
    for module, names in {
        "_operator.": "eq ne le ge lt gt neg pos mul add sub floordiv mod pow truediv and_ or_ lshift rshift",
        "math.": "ceil floor trunc sqrt",
        "torch.sym_": "not int float ite max min sqrt sum",
        "torch._sym_": "sqrt cos cosh sin sinh tan tanh asin acos atan log2",
    }.items()
    for name in words(names)
)
"""Arithmetic on sizes."""
WITH_GRAPHS = frozenset(
    f"torch.ops.higher_order.{name}"
    for name in words("wrap_with_set_grad_enabled wrap_with_autocast cond while_loop map_impl scan associative_scan")
)
"""Operators on graphs, each of which is checked as the whole is."""
ASSERTIONS = words(
    "_assert_async _assert_scalar _assert_tensor_metadata _linalg_check_errors sym_constrain_range "
    "sym_constrain_range_for_size"
)
"""Operators that return nothing: they raise, or do nothing."""
INTERNAL = re.compile(
    r"__(and|or|xor|lshift|rshift)__"
    r"|_(log_)?softmax|_(safe|masked)_softmax|_adaptive_avg_pool[23]d|_addmm_activation|_aminmax"
    r"|_functional_(assert_async|assert_scalar|sym_constrain_range|sym_constrain_range_for_size)"
    r"|_batch_norm_(no_update|with_update|with_update_functional|impl_index)|_native_batch_norm_legit\w*|_fused_rms_norm"
    r"|_cast_(Byte|Char|Double|Float|Half|Int|Long|Short)|_cdist_forward|_pdist_forward|_euclidean_dist"
    r"|_conj|_conj_copy|_conj_physical|_neg_view|_convolution|_convolution_mode|_conv_depthwise2d"
    r"|_embedding_bag|_embedding_bag_forward_only|_fft_(c2c|c2r|r2c)|_int_mm|_is_(all|any)_true"
    r"|_linalg_(det|eigh|eigvals|slogdet|solve_ex|svd)|_local_scalar_dense|_logcumsumexp"
    r"|_native_multi_head_attention|_transformer_encoder_layer_fwd|_transform_bias_rescale_qkv"
    r"|_scaled_dot_product_(attention_math|flash_attention|flash_attention_for_cpu|efficient_attention|cudnn_attention)"
    r"|_pack_padded_sequence|_pad_packed_sequence|_pad_circular|_pad_enum|_prelu_kernel"
    r"|_reshape_copy|_reshape_from_tensor|_shape_as_tensor|_stack|_trilinear"
    r"|_thnn_fused_(gru|lstm)_cell|_to_copy|_unique2?|_unsafe_(view|index|index_put|masked_index)"
    r"|_upsample_\w+_aa|_upsample_nearest_exact[123]d|_weight_norm|_weight_norm_interface|_unsafe_masked_index_put_accumulate"
)
"""Operators with an underscore that exports consist of; the others are for PyTorch's own use."""
REFUSED = re.compile(
    # State of tensors beside their values, and memory that a tensor does not own.
    r"set_?|set_data|resize\w*|requires_grad_|retain_grad|rename_?|pin_memory|data|output_nr|align_\w+"
    # Kernels that trust indices given to them.
    r"|(linalg_)?lu_solve|linalg_ldl_solve|ctc_loss"
    # Kernels for one kind of hardware or of training, which trust their callers as well.
    r"|(cudnn|miopen|mkldnn|mps|quantized|fbgemm|sparse|nested|q)_\w+|\w+_backward\w*|to_(sparse|mkldnn)\w*|lstm_mps"
)
"""Operators without an underscore that no exported model needs."""
TYPES = re.compile(
    r"(List\[|Optional\[)*(Tensor|int|bool|float|number|Device|Generator|SymInt|Layout|ScalarType|MemoryFormat)\]*"
)
"""Types of arguments and results that are harmless in any operator."""
TEXTS = words(
    """
    padding rounding_mode equation norm approximate reduce p UPLO driver ord mode indexing interpolation padding_side
    side pad_mode assert_msg api_name
    """
)
"""Arguments that are texts and choose between ways to compute, or explain an assertion."""


def check_operator(target: str) -> None:
    """Refuse an operator unless it is known to compute, and to do nothing else."""
    if target in ON_SIZES or target in WITH_GRAPHS:
        return
    match = ATEN.fullmatch(target)
    if not match:
        raise _refused(target)
    name, overload = match.groups()
    if (name.startswith("_") and not INTERNAL.fullmatch(name) and name not in ASSERTIONS) or REFUSED.fullmatch(name):
        raise _refused(target)
    try:
        schema = getattr(getattr(torch.ops.aten, name), overload)._schema
    except (AttributeError, RuntimeError) as error:
        raise Refused(
            f"its graph calls {shown(target)}, which this release of PyTorch ({torch.__version__}) does not have"
        ) from error
    for argument in schema.arguments:
        text = "str" in str(argument.type) and argument.name in TEXTS
        if argument.is_out or not (text or TYPES.fullmatch(str(argument.type))):
            raise _refused(target)
    if name not in ASSERTIONS and not schema.returns:
        raise _refused(target)
    if not all(TYPES.fullmatch(str(value.type)) for value in schema.returns):
        raise _refused(target)


def _refused(target: str) -> Refused:
    return Refused(
        f"its graph calls {shown(target)}, which is not known to compute on tensors and nothing else; exporting the "
        "model with torch.export.export(...).run_decompositions() may do without it"
    )
