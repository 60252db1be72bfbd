"""What every layer of a torch.nn.Module takes and gives in one call, and which layers are known to be at fault."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils import _pytree as pytree

from attribution_bench.models.consistency import Trace

STAYS_IN_TRAINING = (
    "it stays in training mode in spite of model.eval(), since it or a module above it overrides train() or eval() or "
    "sets its mode again; let model.eval() reach it"
)
NO_STATISTICS = (
    "it keeps no running statistics (track_running_stats=False), so that it normalises every batch by itself; train it "
    "with them, or use a norm of single sequences such as InstanceNorm1d or GroupNorm"
)
QUANTISED = (
    "it is quantised dynamically, by the range of the whole batch; use the model from before quantize_dynamic(), or "
    "quantise it statically"
)
SCRIPTED = (
    "it is TorchScript, which keeps what was so when it was written: trace or script the model after model.eval()"
)


def known_fault(module: nn.Module) -> str:
    """Return what is known to make a layer depend on the batch or on chance in inference; empty for most."""
    if isinstance(module, _BatchNorm):
        if module.training:
            return STAYS_IN_TRAINING
        return NO_STATISTICS if module.running_mean is None else ""
    if isinstance(module, _DropoutNd):
        return STAYS_IN_TRAINING if module.training and module.p > 0 else ""
    if ".quantized.dynamic." in type(module).__module__:
        return QUANTISED
    return SCRIPTED if isinstance(module, torch.jit.ScriptModule) else ""


def known_faults(model: nn.Module) -> Iterator[str]:
    """Yield the layers at fault with what is wrong with them."""
    for path, module in model.named_modules():
        fault = known_fault(module)
        if fault and not (path and fault == SCRIPTED):
            yield f"{_layer(path, module)}: {fault}"


def traced(model: nn.Module, run: Callable[[], Any]) -> list[Trace]:
    """Return what modules take and give while a function runs the model, in the order of the computation.

    Hooks sit on the modules while the function runs.
    """
    recorder = _Recorder(model)
    handles = []
    try:
        for path, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(recorder.before(path), with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.after(path), with_kwargs=True))
        run()
    finally:
        for handle in handles:
            handle.remove()
    return recorder.traces


class _Recorder:
    """Hooks that note values; the paths of the modules that are being called are a stack."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.traces: list[Trace] = []
        self.stack: list[tuple[str, str]] = []
        """Path of a module, and of the last one that it has called."""

    def before(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            if self.stack:
                caller = self.stack[-1][0]
                place = f"{self._code(caller)} before {_layer(path, module)}"
            else:
                place = "the inputs"
            self._note(place, (args, kwargs), "")
            self.stack.append((path, ""))

        return hook

    def after(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            _, last = self.stack.pop()
            fault = known_fault(module)
            place = _layer(path, module)
            if last and not fault:
                place = f"{self._code(path)} after {_layer(last, self.modules[last])}"
            self._note(place, output, fault)
            if self.stack:
                self.stack[-1] = (self.stack[-1][0], path)

        return hook

    def _note(self, place: str, values: Any, fault: str) -> None:
        tensors = [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)]
        arrays = tuple((t.float() if t.dtype.itemsize == 2 else t).detach().cpu().numpy().copy() for t in tensors)
        self.traces.append(Trace(place, arrays, fault))

    def _code(self, path: str) -> str:
        module = self.modules[path]
        return f"the code of {_layer(path, module)}" if path else f"the code of {type(module).__name__}.forward"


def _layer(path: str, module: nn.Module) -> str:
    return f"layer {path!r} ({type(module).__name__})" if path else f"the model ({type(module).__name__})"
