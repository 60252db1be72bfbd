"""Capture of a torch.nn.Module through torch.export."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._guards import detect_fake_mode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from attribution_bench.models.export import ExportError, export, module_path
from attribution_bench.models.torch_inputs import in_order
from attribution_bench_plugins.fastism.capture.errors import CaptureError
from attribution_bench_plugins.fastism.capture.operator_calls import OperatorCall
from attribution_bench_plugins.fastism.capture.torch_decompositions import decomposed
from attribution_bench_plugins.fastism.capture.torch_operators import has_parts, translate, translate_part
from attribution_bench_plugins.fastism.graph.ir import BATCH, OPAQUE, Graph, Node
from attribution_bench_plugins.fastism.graph.parameters import OpaqueParameters, Parameters
from attribution_bench_plugins.fastism.ops.unsupported import needs_every_position

BATCH_NORM = re.compile(r"^_native_batch_norm_legit(_no_training)?")
"""What `torch.export` names a batch norm, which users know by another name."""


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
        self.constants: dict[str, Any] = {}
        self.repeated: dict[str, Tensor] = {}
        """Node -> its value for one sequence, (1, ...), for constants that are expanded to the size of the batch."""
        self.changing: set[str] = set()
        """The nodes that depend on the sequence."""
        self.replaced: dict[fx.Node, fx.Node] = {}
        """Erased node -> the node whose value is the same."""
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
        values = (node.meta.get("val") for node in self.program.graph.nodes if node.name in self.changing)
        dtypes = frozenset(v.dtype for v in values if isinstance(v, Tensor) and v.is_floating_point())
        return Graph(self.nodes, sequence, tuple(self.inputs), named, dtypes)

    def _placeholder(self, node: fx.Node, spec: Any) -> None:
        if spec.kind == InputKind.USER_INPUT:
            value = node.meta["val"]
            if not self.inputs:
                self.batch = value.shape[0]
            kind = "input" if len(self.inputs) == self.place else "extra"
            if kind == "input":
                self.changing.add(node.name)
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
        """Add a call to the graph: as an op that has a rule, as several such ops, or as an opaque one."""
        target: Any = node.target
        value, layer, is_operator = node.meta.get("val"), _layer(node), isinstance(target, torch._ops.OpOverload)
        if is_operator and torch.Tag.pointwise in target.tags:
            self._read_unexpanded(node)
        elif target is torch.ops.aten.index.Tensor:
            self._count_mask(node)
            value = node.meta["val"]
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
        if isinstance(value, int):
            self.constants[node.name] = value
            return
        if isinstance(value, torch.SymInt) and str(value) == str(self.batch):
            self.nodes[node.name] = Node(node.name, "batch_size", (), _no_call, layer, None)
            return
        if not self.changing.isdisjoint(sources):
            self.changing.add(node.name)
        shape, dtype = (self._shape(value), value.dtype) if isinstance(value, Tensor) else (None, None)
        op, inputs, kind = OPAQUE, sources, ""
        parameters: Parameters = OpaqueParameters()
        if is_operator:
            kind, arguments = str(target.name()), _arguments(node)
            parameters = OpaqueParameters({name: value for name, value in arguments.items() if _is_setting(value)})
            self._repeat_for_each_sequence(node, arguments)
            translated = translate(target, OperatorCall(arguments, self.constants, shape, dtype, self.repeated))
            if translated is not None:
                op, parameters = translated.op, translated.parameters
                others = (s for s in sources if s not in translated.inputs and s not in self.constants)
                inputs = (*translated.inputs, *others)
                call = _bound(own, node, inputs, self.constants)
            elif not random and not has_parts(target) and self._take_apart(node):
                return
        elif target is operator.getitem and isinstance(node.args[0], fx.Node):
            origin, part = node.args[0], node.args[1]
            if isinstance(origin.target, torch._ops.OpOverload) and isinstance(part, int):
                operator_call = OperatorCall(_arguments(origin), self.constants, shape, dtype, self.repeated, part)
                translated = translate_part(origin.target, operator_call)
                if translated is not None:
                    op, inputs, parameters = translated.op, translated.inputs, translated.parameters
                    kind = str(origin.target.name())  # type: ignore[no-untyped-call]
                    every = _bound(origin.target, origin, inputs, self.constants)
                    call, layer = (lambda *values: every(*values)[part]), _layer(origin)
        self.nodes[node.name] = Node(node.name, op, inputs, call, layer, shape, parameters, kind)

    def _repeat_for_each_sequence(self, node: fx.Node, arguments: Mapping[str, Any]) -> None:
        """Remember the value of a constant that is expanded to the size of the batch."""
        x = arguments.get("self")
        if node.target is torch.ops.aten.expand.default and isinstance(x, fx.Node) and x.name in self.constants:
            shape = self._shape(node.meta["val"])
            inner = [size for size in shape[1:] if size is not None] if shape else []
            if shape is not None and shape[0] is BATCH and len(inner) == len(shape) - 1:
                self.repeated[node.name] = self.constants[x.name].expand(1, *inner)

    def _count_mask(self, node: fx.Node) -> None:
        """Replace a constant mask by the places that it keeps, whose number is not known while a model is traced."""
        x, indices = node.args
        given: list[Any] = [index for index in indices if index is not None]  # type: ignore[union-attr]
        mask = self.constants.get(given[0].name) if len(given) == 1 else None
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.dim() != 1:
            return
        operators, kept = torch.ops.aten, int(mask.sum())
        with node.graph.inserting_before(node):
            places = node.graph.call_function(operators.nonzero_static.default, (given[0],), {"size": kept})
            flat = node.graph.call_function(operators.select.int, (places, 1, 0))
        node.args = x, [None if index is None else flat for index in indices]  # type: ignore[union-attr]
        later: list[fx.Node] = list(node.graph.nodes)
        with detect_fake_mode(x.meta["val"]):  # type: ignore[union-attr]
            for known in later[later.index(places) :]:
                if known.op == "call_function":
                    args, kwargs = fx.map_arg((known.args, known.kwargs), lambda source: source.meta["val"])
                    known.meta["val"] = known.target(*args, **kwargs)  # type: ignore[operator]
        for known in (places, flat):
            self._call(known)

    def _read_unexpanded(self, node: fx.Node) -> None:
        """Let a function of elements read what was expanded as it was before, where it is broadcast to the same."""
        for source in node.all_input_nodes:
            if source.target is not torch.ops.aten.expand.default or source.name not in self.changing:
                continue
            (before, *_), others = source.all_input_nodes, [other for other in node.all_input_nodes if other != source]
            shapes = [getattr(operand.meta.get("val"), "shape", None) for operand in (before, *others, node)]
            if others and None not in shapes and len(set(map(len, shapes))) == 1:  # type: ignore[arg-type]
                *read, expected = shapes
                if torch.broadcast_shapes(*read) == expected:  # type: ignore[no-untyped-call]
                    node.replace_input_with(source, before)

    def _take_apart(self, node: fx.Node) -> bool:
        """Add the simpler operators that one stands for, in its place; False, and nothing added, where one has no rule.

        Whatever reads the operator reads the last of them instead.
        """
        target: Any = node.target
        changing = sum(source.name in self.changing for source in node.all_input_nodes)
        found = decomposed(node) if changing and not needs_every_position(str(target.name()), changing) else None
        if found is None:
            return False
        placeholders = [piece for piece in found.nodes if piece.op == "placeholder"]
        inputs: dict[fx.Node, Any] = dict(zip(placeholders, node.all_input_nodes, strict=True))
        before = set(node.graph.nodes)
        with node.graph.inserting_before(node):
            results = node.graph.graph_copy(found, inputs)
        pieces = [piece for piece in node.graph.nodes if piece not in before]
        for piece in pieces:
            piece.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
            piece.meta["part_of"] = _layer(node)
        if not all(map(self._has_rule, pieces)):
            self._forget([piece for piece in node.graph.nodes if piece not in before])
            return False
        for read, result in self._read_parts(node, results):
            while result in self.replaced:
                result = self.replaced[result]
            read.replace_all_uses_with(result)
            self.replaced[read] = result
            node.graph.erase_node(read)
        if not isinstance(results, fx.Node):
            node.graph.erase_node(node)
        return True

    def _read_parts(self, node: fx.Node, results: Any) -> list[tuple[fx.Node, fx.Node]]:
        """Return what reads the tensors that an operator returns, each with the result that takes its place."""
        if isinstance(results, fx.Node):
            return [(node, results)]
        return [(user, results[user.args[1]]) for user in node.users]

    def _has_rule(self, piece: fx.Node) -> bool:
        """Add a piece of an operator; returns whether windows may go through it."""
        self._call(piece)
        known = self.nodes.get(piece.name)  # None for one that was taken apart itself
        is_tensor = isinstance(piece.meta.get("val"), Tensor)
        has_rule = known is None or (known.shape is not None and not known.is_opaque)
        return has_rule or not is_tensor or piece.name not in self.changing

    def _forget(self, pieces: Sequence[fx.Node]) -> None:
        """Take pieces back."""
        for piece in reversed(pieces):
            for known in (self.nodes, self.constants, self.repeated):
                known.pop(piece.name, None)
            self.changing.discard(piece.name)
            piece.graph.erase_node(piece)

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
    whole = node.meta.get("part_of")
    if whole is not None:
        return f"{whole} ({node.name})"
    path, name = module_path(node), BATCH_NORM.sub("batch_norm", node.name)
    return f"{path}: {name}" if path else name


def _is_inactive(node: fx.Node) -> bool:
    """Whether a random operation is switched off, as dropout is in inference."""
    arguments = _arguments(node)
    probability = arguments.get("p", arguments.get("dropout_p"))
    return probability == 0 or arguments.get("train") is False or arguments.get("training") is False


def _no_call(*values: Any) -> Any:
    raise AssertionError("an input has no call")
