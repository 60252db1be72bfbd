"""SequenceModel over a torch.nn.Module."""

import contextlib
import copy
import itertools
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.errors import DeviceError, ModelError
from attribution_bench.models.consistency import Trace
from attribution_bench.models.disturbance import Disturbance, undone
from attribution_bench.models.exported import ExportedModel
from attribution_bench.models.reducers import apply_reducer
from attribution_bench.models.sequence_model import Layout, SequenceModel
from attribution_bench.models.targets import Selection
from attribution_bench.models.torch_inputs import in_order, place_of_input, refuse_look_alikes
from attribution_bench.models.torch_settings import held_settings
from attribution_bench.models.torch_state import (
    KeptTensor,
    change_counter,
    has_no_values,
    named_tensors,
    randomness,
)
from attribution_bench.models.torch_trace import known_faults, traced
from attribution_bench.own_code import names_written


class TorchSequenceModel(SequenceModel):
    """A torch.nn.Module as a SequenceModel."""

    framework: ClassVar[Literal["torch", "keras"]] = "torch"
    default_layout: ClassVar[Layout] = "NAL"
    model: torch.nn.Module

    def __init__(self, model: torch.nn.Module, **options: Any) -> None:
        self.own_changes: tuple[str, ...] = ()
        """Names of the tensors that the model's own calls have been seen to change, as a constraint of weights does."""
        self.computing_dtypes: frozenset[torch.dtype] = frozenset()
        """Floating-point types in which its layers have been seen to compute, as bfloat16 under `torch.autocast`."""
        self._kept: list[KeptTensor] = []
        """Those of them that the innermost `inference` puts back at its end."""
        super().__init__(model, **options)

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
        # One walk over the modules for all that is looked at: a call of a small model is hardly longer than several.
        modules = tuple(model.modules())
        held = [p for module in modules for p in module._parameters.values() if p is not None]
        tensors = [*held, *(b for module in modules for b in module._buffers.values() if b is not None)]
        if any(map(has_no_values, tensors)):
            missing = next(name for name, tensor in named_tensors(model) if has_no_values(tensor))
            raise ModelError(
                f"{missing!r} of the model has no values: on the meta device, or in a lazy layer before any input; "
                "load the weights (to_empty() and load_state_dict(), or assign=True), or run a lazy model once"
            )
        modes = [(module, module.training) for module in modules]
        device = torch.device(self.device)
        moves = any(tensor.device != device for tensor in tensors)
        parameters = [(p, p.data if moves else None, p.requires_grad, p.grad) for p in held]
        placed = _placed(model) if moves else []
        outer, self._kept = self._kept, []
        try:
            if any(training for _, training in modes):
                _set_to_inference(model)
            if moves:
                # Copies go to the device; the originals stay where they are, and come back below.
                model.to(device)
            if self.own_changes:
                self._kept += [KeptTensor(name, t) for name, t in named_tensors(model) if name in self.own_changes]
            yield
        finally:
            for kept in self._kept:
                kept.restore()
            self._kept = outer
            for module, training in modes:
                if module.training != training:
                    module.training = training
            for module, name, tensor in placed:
                setattr(module, name, tensor)
            for parameter, data, requires_grad, gradient in parameters:
                if data is not None:
                    parameter.data = data
                if parameter.requires_grad != requires_grad:
                    parameter.requires_grad_(requires_grad)
                if parameter.grad is not gradient:
                    parameter.grad = gradient

    def to_tensor(self, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def to_numpy(self, tensor: torch.Tensor) -> NDArray[Any]:
        tensor = tensor.detach()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).cpu().numpy()

    def forward(self, x: torch.Tensor, extras: tuple[torch.Tensor, ...] = ()) -> dict[str, torch.Tensor]:
        x = x.transpose(1, 2) if self.layout == "NLA" else x
        if self._sequence_place is None:
            refuse_look_alikes(self.model, x, extras)
        return self._named(self.model(*in_order(x, extras, self.sequence_place)), None)

    @property
    def sequence_place(self) -> int:
        """Place of the sequence among the model's inputs."""
        return self._sequence_place or 0

    def _place_of_input(self, sequence_input: str | int) -> int:
        return place_of_input(self.model, sequence_input)

    def select(self, outputs: dict[str, torch.Tensor], selection: Selection) -> torch.Tensor:
        value = outputs[selection.name]
        return select_tensor(value, selection)

    def no_gradient(self) -> contextlib.AbstractContextManager[Any]:
        return torch.no_grad()

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    @property
    def weight_count(self) -> int:
        return sum(tensor.numel() for _, tensor in named_tensors(self.model))

    @property
    def stated_length(self) -> int | None:
        if not isinstance(self.model, ExportedModel):
            return None
        shape = dict(enumerate(self.model.input_shapes)).get(self.sequence_place, ())
        return shape[1 if self.layout == "NLA" else 2] if len(shape) == 3 else None

    @property
    def precision(self) -> Literal["full", "low"]:
        dtypes = {tensor.dtype for _, tensor in named_tensors(self.model) if tensor.is_floating_point()}
        rounded = self.precision_state()["tf32"] or torch.get_float32_matmul_precision() == "medium"
        return "low" if rounded or not dtypes <= {torch.float32, torch.float64} else "full"

    def state(self) -> Hashable:
        modes = tuple((id(module), module.training) for module in self.model.modules())
        changes = tuple(
            (id(tensor), 0 if name in self.own_changes else change_counter(tensor))
            for name, tensor in self.model.named_parameters()
        )
        return modes, changes

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[Disturbance]:
        tensors = [KeptTensor(name, tensor) for name, tensor in named_tensors(self.model)]
        with undone(randomness(self.model, torch.device(self.device)), tensors) as disturbance:
            yield disturbance
            changed = disturbance.changed
        # What the model changes in every call is put back at the end of this one, and of those that follow.
        self.own_changes = tuple(dict.fromkeys((*self.own_changes, *changed)))
        self._kept += [tensor for tensor in tensors if tensor.name in changed]

    def traced(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> list[Trace]:
        return traced(self.model, lambda: self.tried(x, extras))

    def suspects(self) -> tuple[str, ...]:
        return tuple(known_faults(self.model))

    def weights(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, tensor in itertools.chain(self.model.named_parameters(), self.model.named_buffers()):
            yield name, self.to_numpy(tensor)

    def structure(self) -> Iterator[tuple[type, Any]]:
        modules = list(self.model.modules())
        written = {kind: names_written(kind) for kind in set(map(type, modules))}
        for module in modules:
            yield type(module), held_settings(module, written[type(module)])

    def precision_state(self) -> dict[str, Any]:
        on = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
        return {"tf32": self.device.startswith("cuda") and bool(on)}

    def in_double(self) -> "TorchSequenceModel":
        return self._copied(torch.float64)

    def in_single(self) -> "TorchSequenceModel":
        """Return a copy in single precision."""
        return self._copied(torch.float32)

    def _copied(self, dtype: torch.dtype) -> "TorchSequenceModel":
        return TorchSequenceModel(
            copy.deepcopy(self.model).to(dtype),
            layout=self.layout,
            alphabet=self.alphabet,
            device=self.device,
            output_names=self.output_names,
            sequence_input=self.sequence_input,
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


def _set_to_inference(model: torch.nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError:
        # A program of torch.export, or a model that holds one, has no modes to switch: it was exported in one.
        for module in model.modules():
            module.training = False


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
        reduced: torch.Tensor = apply_reducer(selection.reducer, value, torch.Tensor)
        return reduced
    # Not len(value), which torch.export would take for a constant.
    flat = value.reshape(value.shape[0], -1)
    if selection.reducer == "sum":
        return flat.sum(1)
    return flat.mean(1) if selection.reducer == "mean" else flat.logsumexp(1)
