"""State of a torch.nn.Module that its own calls may change, and how to put it back."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from attribution_bench.models.checksums import FACTOR, ROW, SHIFT, checksums
from attribution_bench.models.disturbance import HeldGenerator, HostRandomness, Kept

NUMPY_DTYPES = frozenset(
    (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    )
)
"""Types of elements that NumPy has, too."""


class TorchRandomness:
    """The random state of PyTorch, on the host and on one device."""

    name = "torch"

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._states = self._current()

    def _current(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        return states

    def is_unchanged(self) -> bool:
        return all(torch.equal(now, then) for now, then in zip(self._current(), self._states, strict=True))

    def restore(self) -> None:
        torch.set_rng_state(self._states[0])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self._states[1], self._device)


class HeldTorchGenerator:
    """A generator of PyTorch that a module holds."""

    def __init__(self, name: str, generator: torch.Generator) -> None:
        self.name, self._generator, self._state = name, generator, generator.get_state()

    def is_unchanged(self) -> bool:
        return torch.equal(self._generator.get_state(), self._state)

    def restore(self) -> None:
        self._generator.set_state(self._state)


class KeptTensor:
    """A parameter or buffer with the values that it had."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        self.name, self.tensor = name, tensor
        self._values = tensor.detach().clone()

    def is_unchanged(self) -> bool:
        now = self.tensor.detach()
        if now.shape != self._values.shape or now.layout is not self._values.layout:
            return False
        # Of sparse tensors no operator tells whether they are equal.
        return now.is_meta or all(map(_is_equal, _compared(now), _compared(self._values)))

    def restore(self) -> None:
        if not self.is_unchanged():
            with torch.no_grad():
                # Through `data`, so that the tensor's counter of changes, by which new weights are noticed, stays.
                # What `data` gives of coordinates shares no memory with them.
                is_shared = self.tensor.layout is not torch.sparse_coo
                (self.tensor.data if is_shared else self.tensor).copy_(self._values)


def _is_equal(now: Tensor, then: Tensor) -> bool:
    """Whether two tensors have the same shape and elements; NaN counts as itself."""
    return torch.equal(now, then) or (now.shape == then.shape and bool(((now == then) | (now != now)).all()))


def _compared(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return dense tensors that are equal where tensors of one shape and layout are."""
    return dense_parts(tensor) or (tensor.to_dense() if tensor.layout is not torch.strided else tensor,)


def randomness(module: nn.Module, device: torch.device) -> list[Kept]:
    """Return the random states that a module's calls may change."""
    held: list[Kept] = [HostRandomness(), TorchRandomness(device)]
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Generator):
                held.append(HeldTorchGenerator(f"{path}.{name}".lstrip("."), value))
            elif isinstance(value, np.random.Generator):
                held.append(HeldGenerator(f"{path}.{name}".lstrip("."), value))
    return held


def named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield a module's parameters and buffers by their names."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def change_counter(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 for one of inference mode, which keeps no count."""
    return 0 if tensor.is_inference() else tensor._version


def dense_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in whose memory a tensor's values are: itself, or the indices and values of a sparse one.

    Of tensors that are kept in other ways (quantised, of classes of their own, without values) there is none.
    """
    if tensor.is_meta or tensor.is_quantized or type(tensor) not in (Tensor, nn.Parameter):
        return ()
    if tensor.layout is torch.strided:
        return (tensor,)
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return ()


def place(tensor: Tensor) -> Hashable:
    """Return where a tensor's memory begins; that of each of its parts where it is sparse."""
    if tensor.layout is torch.strided:
        return tensor.data_ptr()
    return tuple(part.data_ptr() for part in dense_parts(tensor))


def contents(tensors: Sequence[Tensor], threads: int = 1) -> Hashable:
    """Return a value that differs once any of the tensors' values do, however they were written.

    What is written through ``data`` or an array of NumPy that shares memory is counted by no tensor. Of tensors without
    `dense_parts` the count of changes stands for the values.

    Parameters
    ----------
    threads
        Threads of the host that may read them.
    """
    counts, on_host, on_device = [], [], []
    for tensor in tensors:
        parts = dense_parts(tensor)
        if not parts:
            counts.append(change_counter(tensor))
        for part in parts:
            if part.device.type == "cpu":
                plain = part.detach()
                if plain.is_conj() or plain.is_neg():
                    plain = plain.resolve_conj().resolve_neg()
                on_host.append((plain if plain.dtype in NUMPY_DTYPES else _bytes(plain)).numpy())
            else:
                on_device.append(device_checksums(part))
    found = torch.cat(on_device).cpu().numpy().tobytes() if on_device else b""
    return tuple(counts), checksums(on_host, threads), found


def device_checksums(tensor: Tensor) -> Tensor:
    """Return the sums of `checksums` of a tensor, (sums,), on its own device; what fills no row counts as one."""
    values = _bytes(tensor.detach())
    words = torch.nn.functional.pad(values, (0, -values.numel() % (8 * ROW))).view(torch.int64).view(-1, ROW)
    # PyTorch fills up with signs what it shifts, by which mixed words of different words could be equal.
    mixed = (words >> SHIFT).bitwise_and_((1 << 64 - SHIFT) - 1).bitwise_xor_(words)
    columns = mixed.sum(0)
    factors = torch.full((ROW,), FACTOR - (1 << 64), dtype=torch.int64, device=words.device).cumprod(0)
    return torch.cat([columns, mixed.mul_(factors).sum(1)])


def _bytes(tensor: Tensor) -> Tensor:
    """Return a tensor's memory, (bytes,), in the order of its elements."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def has_no_values(tensor: Tensor) -> bool:
    """Whether a parameter or buffer has no values: on the meta device, or of a lazy layer."""
    return tensor.is_meta or is_lazy(tensor)
