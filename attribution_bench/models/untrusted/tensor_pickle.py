"""Tensors in files of torch.save, rebuilt from their bytes. No pickled object is ever made.

The pickle in such a file is run by Python's own unpickler, in which every name stands for inert data: a type of
storage for its torch.dtype, a function that rebuilds a tensor for a plain description of one. Any other is refused.
"""

import io
import math
import pickle
from typing import Any, NamedTuple

import torch

from attribution_bench.models.untrusted.refused import Damaged, Refused, shown
from attribution_bench.models.untrusted.zip_archive import folder_of, read_members

PICKLE_BYTES = 1 << 26
"""Bytes that the pickle beside the tensors may take."""
STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
BESIDE = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id", ".data/version")
"""Members beside the pickle and the tensors."""
DEEPEST = 32
"""Levels of nested values that are followed."""
VALUES = 100_000
"""Values, tensors and collections among them, that one file may hold; a pickle can name one of them many times."""
REPEATED = 1 << 24
"""Values of a tensor that repeats fewer stored ones, as an expanded buffer does."""


class Stored(NamedTuple):
    """A storage that a pickle refers to: its type, member and number of values."""

    dtype: torch.dtype
    key: str
    length: int


class Described(NamedTuple):
    """A tensor as a pickle describes it; nothing of it has been checked."""

    storage: Any
    offset: Any
    sizes: Any
    strides: Any


class Parameter(NamedTuple):
    """A parameter of a model as a pickle describes it."""

    tensor: Any
    requires_grad: Any


class _Rebuild:
    """Stands for the function that rebuilds a tensor; has no attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, sizes: Any, strides: Any, *others: Any) -> Described:
        return Described(storage, offset, sizes, strides)


class _RebuildParameter:
    """Stands for the function that makes a parameter of a tensor."""

    __slots__ = ()

    def __call__(self, tensor: Any, requires_grad: Any, *others: Any) -> Parameter:
        return Parameter(tensor, requires_grad)


class _Kind:
    """Stands for the class torch.Tensor, which is named and never called."""

    __slots__ = ()


class _RebuildMarked:
    """Stands for the function that rebuilds a tensor with attributes, which are left out.

    Exporting a model marks the tensors of its example so, where an axis of them is free.
    """

    __slots__ = ()

    def __call__(self, rebuild: Any, kind: Any, arguments: Any, attributes: Any) -> Described:
        if type(rebuild) is not _Rebuild or type(kind) is not _Kind:
            raise Refused("it holds a tensor of a class of its own")
        return rebuild(*arguments)


class _Ordered:
    """Stands for collections.OrderedDict."""

    __slots__ = ()

    def __call__(self, *items: Any) -> "_Items":
        return _Items(*items)


class _Items(dict[Any, Any]):
    """What an ordered dictionary becomes; the attributes that PyTorch pickles with it are left out."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Ignore them."""


NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Ordered(),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    ("torch._tensor", "_rebuild_from_type_v2"): _RebuildMarked(),
    ("torch", "Tensor"): _Kind(),
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


# The unpickler in Python rather than in C: that one reserves memory for any place of its memo that a pickle names.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return NAMES[module_name, global_name]
        except KeyError:
            raise Refused(f"it holds a pickle of {shown(f'{module_name}.{global_name}')}, which is no tensor") from None

    def persistent_load(self, pid: Any) -> Stored:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(count) is not int:
            raise Refused(f"it refers to {shown(pid)}, which is no storage of a tensor")
        return Stored(dtype, str(key), count)


def read_tensors(content: bytes) -> Any:
    """Return what torch.save wrote: tensors in dictionaries, lists and tuples, beside plain values.

    Raises
    ------
    Refused
        The file is damaged, or holds an object that is no tensor.
    """
    members = read_members(io.BytesIO(content))
    folder = folder_of(members)
    named = {name.removeprefix(folder): member for name, member in members.items()}
    for name in named:
        if not (name == "data.pkl" or name in BESIDE or (name.startswith("data/") and name[5:].isdecimal())):
            raise Refused(f"it holds the member {shown(name)} among tensors")
    if named.get("byteorder", b"little") != b"little":
        raise Refused("its tensors are not stored in little-endian order")
    if len(named.get("data.pkl", b"")) > PICKLE_BYTES:
        raise Refused(f"the pickle beside its tensors takes more than {PICKLE_BYTES} bytes")
    try:
        value = _Unpickler(io.BytesIO(named["data.pkl"])).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle fails in many ways; the failure is named and re-raised
        raise Refused(f"the description of its tensors is damaged: {type(error).__name__}") from error
    storages = {name[5:]: member for name, member in named.items() if name.startswith("data/")}
    return _Builder(storages).built(value, DEEPEST)


class _Builder:
    """Makes tensors of their descriptions; those of one storage share its memory."""

    def __init__(self, members: dict[str, bytes]) -> None:
        self.members = members
        self.storages: dict[str, torch.Tensor] = {}
        self.left = VALUES

    def built(self, value: Any, depth: int) -> Any:
        """Return a value with tensors in the place of descriptions."""
        self.left -= 1
        if depth == 0 or self.left == 0:
            raise Refused("its values are nested too deeply, or too many")
        if isinstance(value, Described):
            return self.tensor(value)
        if isinstance(value, Parameter) and isinstance(value.tensor, Described):
            tensor = self.tensor(value.tensor)
            return torch.nn.Parameter(tensor, requires_grad=value.requires_grad is True and tensor.is_floating_point())
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) in (list, tuple):
            parts = [self.built(part, depth - 1) for part in value]
            return tuple(parts) if type(value) is tuple else parts
        if type(value) in (dict, _Items) and all(type(key) in (str, int) for key in value):
            return {key: self.built(part, depth - 1) for key, part in value.items()}
        raise Refused(f"it holds a value of the type {type(value).__name__} among its tensors")

    def tensor(self, described: Described) -> torch.Tensor:
        """Return one tensor."""
        storage = described.storage
        if not isinstance(storage, Stored) or storage.key not in self.members:
            raise Refused("it describes a tensor without its values")
        content = self.members[storage.key]
        if len(content) != storage.length * storage.dtype.itemsize:
            raise Refused(f"it states {storage.length} values where {len(content)} bytes are stored")
        sizes, strides = described.sizes, described.strides
        check_extent(sizes, strides, described.offset, storage.length)
        flat = self.storages.get(storage.key)
        if flat is None:
            flat = self.storages[storage.key] = flat_tensor(content, storage.dtype)
        elif flat.dtype != storage.dtype:
            raise Refused("it states two types for one storage")
        return flat.as_strided(sizes, strides, described.offset)


def flat_tensor(content: bytes, dtype: torch.dtype) -> torch.Tensor:
    """Return the values in bytes as a tensor of one dimension."""
    return torch.frombuffer(bytearray(content), dtype=dtype) if content else torch.empty(0, dtype=dtype)


def check_extent(sizes: Any, strides: Any, offset: Any, count: int) -> None:
    """Refuse a view that does not lie within a storage of ``count`` values."""
    for numbers in (sizes, strides, [offset]):
        if not isinstance(numbers, list | tuple) or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
            raise Refused("it states sizes of a tensor that are no sizes")
    if len(sizes) != len(strides) or len(sizes) > 64:
        raise Refused("it states another number of strides than of sizes for a tensor")
    end = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) + 1
    if 0 in sizes:
        end = offset
    if end > count:
        raise Damaged(f"it states a tensor that ends at value {end} of {count}")
    # Copies of a tensor that repeats its values take room that the file does not.
    values = math.prod(sizes)
    if values > max(count, REPEATED):
        raise Refused(f"it states a tensor of {values} values where {count} are stored")
