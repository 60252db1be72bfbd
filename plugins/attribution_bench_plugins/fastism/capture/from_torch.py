"""Capture of a torch.nn.Module through torch.export."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from attribution_bench.models.export import ExportError, export, module_path
from attribution_bench.models.torch_inputs import in_order
from attribution_bench_plugins.fastism.capture.errors import CaptureError
from attribution_bench_plugins.fastism.capture.torch_operators import OperatorCall, translate, translate_part
from attribution_bench_plugins.fastism.graph.ir import BATCH, OPAQUE, Graph, Node
from attribution_bench_plugins.fastism.graph.parameters import OpaqueParameters, Parameters


def capture(
    module: torch.nn.Module, example: Tensor, extras: Sequence[Tensor], output_names: Sequence[str], place: int = 0
) -> Graph:
    """Return the graph of a module in inference mode.

    Parameters
    ----------
    module
        Called as ``module(x, *extras)``, or with the sequence at another place.
    example
        One or more sequences as the module takes them.
    extras
        Its further inputs, with as many rows.
    output_names
        Names for the tensors that it returns, in order.
    place
        Place of the sequence among the inputs.
    """
    first, *others = in_order(example, extras, place)
    try:
        with torch.no_grad():
            program = export(module, first, others)
    except ExportError as error:
        raise CaptureError(str(error)) from error
    return _Reader(program, output_names, place).graph().needed()


class _Reader:
    """Turns an exported program into a Graph, node by node."""

    def __init__(self, program: ExportedProgram, output_names: Sequence[str], place: int) -> None:
        self.program, self.output_names, self.place = program, output_names, place
        self.nodes: dict[str, Node] = {}
        self.constants: dict[str, Tensor] = {}
        self.inputs: list[str] = []
        self.batch: Any = None

    def graph(self) -> Graph:
        """Return the graph of the program, with nodes that no output depends on."""
        places = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        outputs: tuple[Any, ...] = ()
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node, places[node.name])
            elif node.op == "output":
                outputs = node.args[0]
            elif node.op == "call_function":
                self._call(node)
            else:
                raise CaptureError(f"the captured graph holds a node of kind {node.op!r} ({node.name})")
        signature = self.program.graph_signature
        changed = signature.buffers_to_mutate | signature.parameters_to_mutate | signature.user_inputs_to_mutate
        if changed:
            raise CaptureError(
                f"it changes {next(iter(changed.values()))!r} in inference, one of its own tensors or inputs"
            )
        if len(outputs) != len(self.output_names):
            raise CaptureError(f"the graph returns {len(outputs)} tensors, the model {len(self.output_names)}")
        named = {name: out.name for name, out in zip(self.output_names, outputs, strict=True)}
        sequence = self.inputs.pop(self.place)
        return Graph(self.nodes, sequence, tuple(self.inputs), named)

    def _placeholder(self, node: fx.Node, spec: Any) -> None:
        if spec.kind == InputKind.USER_INPUT:
            value = node.meta["val"]
            if not self.inputs:
                self.batch = value.shape[0]
            kind = "input" if len(self.inputs) == self.place else "extra"
            self.inputs.append(node.name)
            self.nodes[node.name] = Node(node.name, kind, (), _no_call, f"input {node.name}", self._shape(value))
            return
        tensor = self.program.state_dict.get(spec.target)
        if tensor is None:
            tensor = self.program.constants[spec.target]
        self._constant(node.name, tensor.detach(), spec.target)

    def _constant(self, name: str, value: Tensor, layer: str) -> None:
        self.constants[name] = value
        self.nodes[name] = Node(name, "constant", (), lambda: value, layer, tuple(value.shape))

    def _call(self, node: fx.Node) -> None:
        target: Any = node.target
        value, layer, is_operator = node.meta.get("val"), _layer(node), isinstance(target, torch._ops.OpOverload)
        sources = tuple(dict.fromkeys(source.name for source in node.all_input_nodes))
        # The traced value could be viewed, but the engine's values may have other strides.
        own = torch.ops.aten.reshape.default if target is torch.ops.aten.view.default else target
        random = is_operator and torch.Tag.nondeterministic_seeded in target.tags
        if random and not _is_inactive(node):
            raise CaptureError(f"{layer} draws random numbers in inference")
        call = _bound(own, node, sources, self.constants)
        if isinstance(value, Tensor) and not random and all(source in self.constants for source in sources):
            with torch.no_grad():
                self._constant(node.name, call(*(self.constants[source] for source in sources)), layer)
            return
        if isinstance(value, torch.SymInt) and str(value) == str(self.batch):
            self.nodes[node.name] = Node(node.name, "batch_size", (), _no_call, layer, None)
            return
        shape = self._shape(value) if isinstance(value, Tensor) else None
        op, inputs, kind = OPAQUE, sources, ""
        parameters: Parameters = OpaqueParameters()
        if is_operator:
            kind, arguments = str(target.name()), _arguments(node)
            parameters = OpaqueParameters({name: value for name, value in arguments.items() if _is_setting(value)})
            translated = translate(target, OperatorCall(arguments, self.constants, shape))
            if translated is not None:
                op, parameters = translated.op, translated.parameters
                others = (s for s in sources if s not in translated.inputs and s not in self.constants)
                inputs = (*translated.inputs, *others)
                call = _bound(own, node, inputs, self.constants)
        elif target is operator.getitem and isinstance(node.args[0], fx.Node):
            origin, part = node.args[0], node.args[1]
            if isinstance(origin.target, torch._ops.OpOverload) and isinstance(part, int):
                operator_call = OperatorCall(_arguments(origin), self.constants, shape, part)
                translated = translate_part(origin.target, operator_call)
                if translated is not None:
                    op, inputs, parameters = translated.op, translated.inputs, translated.parameters
                    every = _bound(origin.target, origin, inputs, self.constants)
                    call, layer = (lambda *values: every(*values)[part]), _layer(origin)
        self.nodes[node.name] = Node(node.name, op, inputs, call, layer, shape, parameters, kind)

    def _shape(self, value: Tensor) -> tuple[int | None, ...] | None:
        """Return a shape with BATCH for the batch; None where the batch is part of another size."""
        shape: list[int | None] = []
        sizes: Sequence[Any] = value.shape
        for size in sizes:
            if isinstance(size, int):
                shape.append(size)
            elif str(size) == str(self.batch):
                shape.append(BATCH)
            else:
                return None
        return tuple(shape)


def _bound(
    target: Callable[..., Any], node: fx.Node, sources: Sequence[str], constants: Mapping[str, Tensor]
) -> Callable[..., Any]:
    """Return a node's call of `target` as a function of the values of `sources`; its other arguments are constants."""
    place = {name: i for i, name in enumerate(sources)}
    args, kwargs = node.args, node.kwargs

    def call(*values: Any) -> Any:
        def fill(node: fx.Node) -> Any:
            return values[place[node.name]] if node.name in place else constants[node.name]

        return target(*fx.map_arg(args, fill), **fx.map_arg(kwargs, fill))

    return call


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Return every argument by its name in the operator's schema, defaults filled in."""
    target: Any = node.target
    schema = target._schema.arguments
    named = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    named |= {argument.name: value for argument, value in zip(schema, node.args, strict=False)}
    return named | dict(node.kwargs)


def _is_setting(value: Any) -> bool:
    """Whether an argument holds no node."""
    return not any(isinstance(leaf, fx.Node) for leaf in pytree.tree_leaves(value))


def _layer(node: fx.Node) -> str:
    """Return the module's path and the operation, as the user would find it."""
    path = module_path(node)
    return f"{path}: {node.name}" if path else node.name


def _is_inactive(node: fx.Node) -> bool:
    """Whether a random operation is switched off, as dropout is in inference."""
    arguments = _arguments(node)
    probability = arguments.get("p", arguments.get("dropout_p"))
    return probability == 0 or arguments.get("train") is False or arguments.get("training") is False


def _no_call(*values: Any) -> Any:
    raise AssertionError("an input has no call")
