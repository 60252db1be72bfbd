"""SequenceModel over a torch.nn.Module."""

import contextlib
import copy
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.errors import DeviceError
from attribution_bench.models.sequence_model import Layout, SequenceModel
from attribution_bench.models.targets import Selection, check_reduced


class TorchSequenceModel(SequenceModel):
    """A torch.nn.Module as a SequenceModel."""

    framework: ClassVar[Literal["torch", "keras"]] = "torch"
    default_layout: ClassVar[Layout] = "NAL"
    model: torch.nn.Module

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters and buffers; torch's default for a model without any."""
        for tensor in itertools.chain(self.model.parameters(), self.model.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return torch.get_default_dtype()

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64 if self.dtype == torch.float64 else np.float32)

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        model = self.model
        modes = [(module, module.training) for module in model.modules()]
        parameters = [(p, p.data, p.requires_grad, p.grad) for p in model.parameters()]
        device = torch.device(self.device)
        moves = any(tensor.device != device for tensor in (*model.parameters(), *model.buffers()))
        placed = _placed(model) if moves else []
        try:
            model.eval()
            if moves:
                # Copies go to the device; the originals stay where they are, and come back below.
                model.to(device)
            yield
        finally:
            for module, training in modes:
                module.training = training
            for module, name, tensor in placed:
                setattr(module, name, tensor)
            for parameter, data, requires_grad, gradient in parameters:
                if moves:
                    parameter.data = data
                parameter.requires_grad_(requires_grad)
                parameter.grad = gradient

    def to_tensor(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def to_numpy(self, tensor: torch.Tensor) -> NDArray[Any]:
        tensor = tensor.detach()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).cpu().numpy()

    def forward(self, x: torch.Tensor, extras: tuple[torch.Tensor, ...] = ()) -> dict[str, torch.Tensor]:
        return self._named(self.model(x.transpose(1, 2) if self.layout == "NLA" else x, *extras), None)

    def select(self, outputs: dict[str, torch.Tensor], selection: Selection) -> torch.Tensor:
        value = outputs[selection.name]
        return select_tensor(value, selection)

    def no_gradient(self) -> contextlib.AbstractContextManager[Any]:
        return torch.no_grad()

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def precision_state(self) -> dict[str, Any]:
        on = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
        return {"tf32": self.device.startswith("cuda") and bool(on)}

    def in_double(self) -> "TorchSequenceModel":
        copied = copy.deepcopy(self.model).double()
        names = self.output_names
        return TorchSequenceModel(
            copied, layout=self.layout, alphabet=self.alphabet, device=self.device, output_names=names
        )

    def _resolve_device(self, device: str | None) -> str:
        if device is None:
            return str(next(self.model.parameters(), torch.empty(0)).device)
        try:
            place = torch.device(device)
            torch.empty(0, device=place)
        except (RuntimeError, AssertionError) as error:
            found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
            if torch.backends.mps.is_available():
                found.append("mps")
            raise DeviceError(f"device {device!r} is not available here; PyTorch finds {', '.join(found)}") from error
        return str(place)


def _placed(model: torch.nn.Module) -> list[tuple[torch.nn.Module, str, torch.Tensor]]:
    """Every parameter and buffer with its owner and its name there; moving a module may replace either."""
    return [
        (module, name, tensor)
        for module in model.modules()
        for name, tensor in (
            *module.named_parameters(recurse=False, remove_duplicate=False),
            *module.named_buffers(recurse=False, remove_duplicate=False),
        )
    ]


def select_tensor(value: torch.Tensor, selection: Selection) -> torch.Tensor:
    """Return the selected part (rows, *selection.shape) of one output (rows, *output)."""
    if selection.index is not None:
        index: tuple[slice | int, ...] = (slice(None), *selection.index)
        return value[index]
    if selection.reducer is None:
        return value
    if callable(selection.reducer):
        reduced: torch.Tensor = selection.reducer(value)
        check_reduced(reduced, value)
        return reduced
    # Not len(value), which torch.export would take for a constant.
    flat = value.reshape(value.shape[0], -1)
    if selection.reducer == "sum":
        return flat.sum(1)
    return flat.mean(1) if selection.reducer == "mean" else flat.logsumexp(1)
