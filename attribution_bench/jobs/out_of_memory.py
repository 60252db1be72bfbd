"""Out of memory: how it is recognised in any framework, and what is given back before the next try."""

import gc
import sys
from collections.abc import Iterator

FRAMEWORK_ERRORS = ("OutOfMemoryError", "ResourceExhaustedError")
"""Names of the classes of PyTorch and TensorFlow, which are not imported for their sake."""
ALLOCATOR_TEXTS = ("DefaultCPUAllocator", "not enough memory", "CUDA out of memory", "out of memory")
"""What a RuntimeError says where PyTorch's allocators have no class for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or one that caused it, says that memory ran out."""
    return any(
        isinstance(one, MemoryError)
        or any(kind.__name__ in FRAMEWORK_ERRORS for kind in type(one).__mro__)
        or (isinstance(one, RuntimeError) and any(text in str(one) for text in ALLOCATOR_TEXTS))
        for one in _chain(error)
    )


def release_memory() -> None:
    """Give back what nobody refers to any more, that of a GPU included."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
