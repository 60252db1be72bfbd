"""TensorFlow tensors with methods, for functions of callers that are written for the models of any framework."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

REDUCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "amax": tf.reduce_max,
        "amin": tf.reduce_min,
        "logsumexp": tf.reduce_logsumexp,
        "mean": tf.reduce_mean,
        "prod": tf.reduce_prod,
        "sum": tf.reduce_sum,
    }
)
ALONG_AN_AXIS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"log_softmax": tf.nn.log_softmax, "softmax": tf.nn.softmax}
)
ELEMENTWISE: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "abs": tf.abs,
        "exp": tf.exp,
        "log": tf.math.log,
        "log1p": tf.math.log1p,
        "relu": tf.nn.relu,
        "sigmoid": tf.sigmoid,
        "sqrt": tf.sqrt,
        "square": tf.square,
        "tanh": tf.tanh,
    }
)
OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"]
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "eq": tf.equal,
        "ne": tf.not_equal,
        "lt": tf.less,
        "le": tf.less_equal,
        "gt": tf.greater,
        "ge": tf.greater_equal,
    }
)
OF_BOOLEANS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType({"add": tf.logical_or, "mul": tf.logical_and})
"""What PyTorch does where both operands are booleans, and TensorFlow does not."""
REFUSALS = (TypeError, ValueError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)
"""Errors with which TensorFlow refuses operands."""
FLOATING, COMPLEX = 2, 3
"""Kinds of numbers; booleans are 0, integers 1."""
Axes = int | Sequence[int] | None


def with_methods(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function of a tensor that gives it a `TensorView` where it asks for what tensors lack.

    That are methods, and arithmetic of booleans. What TensorFlow refuses of a view, too, is a TypeError.
    """

    def call(tensor: Any) -> Any:
        try:
            result = function(tensor)
        except (AttributeError, *REFUSALS):
            result = None
        # TensorFlow may take both factors for booleans where one of them is.
        if result is not None and getattr(result, "dtype", None) != tf.bool:
            return result
        try:
            return _tensor(function(TensorView(tensor)))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            raise TypeError(error.message.rpartition("}} ")[2]) from error  # after the node's name

    # AutoGraph would read the source of the function, which a lambda shares with its line.
    return tf.autograph.experimental.do_not_convert(call)  # type: ignore[no-any-return]


class TensorView:
    """A TensorFlow tensor with the methods of `reducers.SHARED_METHODS`; results are views, too.

    TensorFlow's own functions take it as the tensor that it holds. Axes are called ``dim`` or ``axis``, and stay with
    size one where ``keepdim`` or ``keepdims`` is true. Operands of several types become those of one as in PyTorch:
    booleans count as integers among integers, and as floating-point numbers among those.
    """

    __array_ufunc__ = None  # a number of NumPy to the left of an operator leaves it to this class
    __hash__ = object.__hash__  # by identity, as PyTorch's tensors, although == compares elements

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self.tensor, dtype, name=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in REDUCTIONS:
            return partial(self._reduced, REDUCTIONS[name])
        if name in ALONG_AN_AXIS:
            return partial(self._along, ALONG_AN_AXIS[name])
        if name in ELEMENTWISE:
            return lambda: TensorView(ELEMENTWISE[name](self.tensor))
        if name in ("shape", "dtype", "ndim", "device", "numpy"):
            return getattr(self.tensor, name)
        raise AttributeError(f"an output of a TensorFlow model has no {name!r}")

    def __getitem__(self, index: Any) -> "TensorView":
        return TensorView(self.tensor[index])

    def __len__(self) -> int:
        return len(self.tensor)

    def __iter__(self) -> Iterator["TensorView"]:
        return map(TensorView, self.tensor)

    def __neg__(self) -> "TensorView":
        return TensorView(-self.tensor)

    def __invert__(self) -> "TensorView":
        return TensorView(~self.tensor)

    def __abs__(self) -> "TensorView":
        return TensorView(tf.abs(self.tensor))

    def __bool__(self) -> bool:
        return bool(self.tensor)

    def __int__(self) -> int:
        return int(self.tensor)

    def __float__(self) -> float:
        return float(self.tensor)

    def clip(self, min: Any = None, max: Any = None) -> "TensorView":  # noqa: A002 as PyTorch names them
        """Return the elements, none below `min` or above `max`."""
        tensor = self.tensor if min is None else tf.maximum(self.tensor, _tensor(min))
        return TensorView(tensor if max is None else tf.minimum(tensor, _tensor(max)))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "TensorView":
        """Return the tensor with neighbouring axes joined to one."""
        rank = len(self.tensor.shape)
        first, last = start_dim % rank, end_dim % rank
        sizes = tf.shape(self.tensor)
        return TensorView(tf.reshape(self.tensor, tf.concat([sizes[:first], [-1], sizes[last + 1 :]], 0)))

    def reshape(self, *shape: Any) -> "TensorView":
        """Return the same elements in another shape; None, as symbols have it for the batch, is the tensor's own."""
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int | None) else shape
        own = tf.shape(self.tensor)
        return TensorView(tf.reshape(self.tensor, [own[i] if size is None else size for i, size in enumerate(sizes)]))

    def squeeze(self, dim: Axes = None, *, axis: Axes = None) -> "TensorView":
        """Return the tensor without axes of size one."""
        return TensorView(tf.squeeze(self.tensor, dim if axis is None else axis))

    def unsqueeze(self, dim: int) -> "TensorView":
        """Return the tensor with another axis, of size one."""
        return TensorView(tf.expand_dims(self.tensor, dim))

    def _reduced(
        self,
        function: Callable[..., Any],
        dim: Axes = None,
        keepdim: bool = False,
        *,
        axis: Axes = None,
        keepdims: bool = False,
    ) -> "TensorView":
        tensor = self.tensor
        is_whole = _kind(tensor.dtype) < FLOATING
        if is_whole and function in (tf.reduce_sum, tf.reduce_prod):
            tensor = tf.cast(tensor, tf.int64)
        elif is_whole and function is tf.reduce_mean:
            raise TypeError(f"there is no mean of {tensor.dtype.name} numbers; multiply them by 1.0 before")
        return TensorView(function(tensor, dim if axis is None else axis, keepdims=keepdim or keepdims))

    def _along(self, function: Callable[..., Any], dim: int = -1, *, axis: int | None = None) -> "TensorView":
        return TensorView(function(self.tensor, dim if axis is None else axis))


def _tensor(value: Any) -> Any:
    """Return what a view holds, and anything else as it is."""
    return value.tensor if isinstance(value, TensorView) else value


def _kind(dtype: Any) -> int:
    """Return the place of a type's kind among booleans, integers, floating-point and complex numbers."""
    if dtype.is_complex:
        return COMPLEX
    return FLOATING if dtype.is_floating else int(dtype.is_integer)


def _of_one_type(first: Any, second: Any, *, is_quotient: bool = False) -> tuple[Any, Any]:
    """Return two operands, at least one of them a tensor, as tensors of the type that PyTorch computes with.

    That is the higher one; a number of Python, or an array of NumPy, counts by its kind alone. Quotients of integers
    are floating-point numbers.
    """
    tensors = [value.dtype for value in (first, second) if tf.is_tensor(value)]
    common = max(tensors, key=lambda dtype: (_kind(dtype), dtype.size))
    for value in (first, second):
        if not tf.is_tensor(value):
            kind = _kind(tf.as_dtype(np.asarray(value).dtype))
            if kind > _kind(common):
                common = {COMPLEX: tf.complex64, FLOATING: tf.float32}.get(kind, tf.int64)
    if is_quotient and _kind(common) < FLOATING:
        common = tf.float32
    if common == tf.complex64 and tf.float64 in tensors:
        common = tf.complex128
    return tuple(
        tf.cast(value, common) if tf.is_tensor(value) else tf.constant(value, common) for value in (first, second)
    )


def _operator(name: str, *, is_reflected: bool = False) -> Callable[[Any, Any], TensorView]:
    spelled = f"{name}_" if name in ("and", "or") else name
    apply = COMPARISONS.get(name) or getattr(operator, spelled)

    def method(view: TensorView, other: Any) -> TensorView:
        given = _tensor(other)
        operands = (given, view.tensor) if is_reflected else (view.tensor, given)
        operands = _of_one_type(*operands, is_quotient=name == "truediv")
        of_booleans = OF_BOOLEANS.get(name) if operands[0].dtype == tf.bool else None
        return TensorView((of_booleans or apply)(*operands))

    return method


for _name in (*OPERATORS, *COMPARISONS):
    setattr(TensorView, f"__{_name}__", _operator(_name))
for _name in OPERATORS:
    setattr(TensorView, f"__r{_name}__", _operator(_name, is_reflected=True))
