"""Capture of a functional or Sequential Keras model, of Keras 3 or Keras 2, layer by layer."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attribution_bench.models.keras_model import KerasSequenceModel
from attribution_bench.models.keras_settings import held_by
from attribution_bench_plugins.fastism.capture.errors import CaptureError, TranslationError, require, told
from attribution_bench_plugins.fastism.capture.graph_builder import BATCH_SIZES, GraphBuilder
from attribution_bench_plugins.fastism.capture.keras_layers import translate_layer
from attribution_bench_plugins.fastism.capture.keras_model import (
    Call,
    Functional,
    Library,
    Reference,
    leaves,
    library_of,
    mapped,
)
from attribution_bench_plugins.fastism.capture.keras_ops import translate_operation
from attribution_bench_plugins.fastism.capture.keras_site import Site
from attribution_bench_plugins.fastism.graph.ir import BATCH, OPAQUE, Graph
from attribution_bench_plugins.fastism.graph.parameters import OpaqueParameters
from attribution_bench_plugins.fastism.precision import tolerance

SHORT_LENGTH = 1260
"""Fewest positions on which a layer is compared with its translation: many layers are slow at a model's own length."""
MANY_STRIDES = 2520
"""Divisible by every stride up to 10: positions that are left out in the comparison are a multiple of it."""


def capture(
    model: KerasSequenceModel, sequences: Tensor, extras: Sequence[Tensor]
) -> tuple[Graph, dict[str, tuple[Tensor, Tensor]]]:
    """Return the graph of a model in inference mode, and its outputs by their names for both examples.

    Parameters
    ----------
    model
        A SequenceModel over a Keras 3 or Keras 2 model.
    sequences, extras
        Three sequences in the model's own layout, and as many rows of its further inputs: examples of two and of one.

    Raises
    ------
    CaptureError
        The model has no graph, or its graph cannot be captured; the message is the reason.
    """
    library = library_of(model.model)
    reader = _Reader(library, sequences.device)
    builder = reader.builder
    sequence = builder.source("input", "sequence", _two_batches(sequences))
    others = [builder.source("extra", f"extra_{i}", _two_batches(extra)) for i, extra in enumerate(extras)]
    length = sequences.shape[1 if model.layout == "NLA" else 2]
    given = model.arrange(Reference(sequence), tuple(Reference(name) for name in others), length)
    functional = library.functional(model.model)
    if functional is None:
        functional = reader.calls_of(model.model, given)
    try:
        outputs = mapped(reader.walk(functional, given, ""), lambda leaf: leaf.name)
    except CaptureError:
        raise
    except Exception as error:  # the call of a user's layer may raise anything
        raise CaptureError(f"the model cannot be followed: {told(error)}") from error
    nodes = _in_order(outputs)
    named = dict(zip(model.name_outputs(mapped(outputs, lambda node: builder.examples[node][0])), nodes, strict=True))
    examples = {name: builder.examples[node] for name, node in named.items()}
    return builder.graph(sequence, others, named), examples


def _in_order(outputs: Any) -> list[str]:
    """Return the nodes of a model's outputs in the order in which SequenceModel names them."""
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _two_batches(rows: Tensor) -> tuple[Tensor, Tensor]:
    first, second = BATCH_SIZES
    return rows[:first], rows[first : first + second]


class _Reader:
    """Reader of models, nested ones included, which adds their calls to a builder."""

    def __init__(self, library: Library, device: torch.device) -> None:
        self.builder, self.library, self.device = GraphBuilder(), library, device

    def calls_of(self, model: Any, given: Any) -> Functional:
        """Return the graph of what a subclassed model calls on nodes; CaptureError where it cannot be followed."""
        inference = {"training": False} if self.library.takes_training(model) else {}
        references = list(leaves(given))

        def call(*symbols: Any) -> Any:
            place = {reference.name: symbol for reference, symbol in zip(references, symbols, strict=True)}
            return model.call(mapped(given, lambda reference: place[reference.name]), **inference)

        examples = [self.builder.examples[reference.name][0] for reference in references]
        try:
            return self.library.followed(call, model._flatten_layers(), examples)
        except TranslationError as error:
            raise CaptureError(
                f"{type(model).__name__} is a subclassed Keras model, and {error}; build it as a functional model to "
                "make it fast"
            ) from error

    def follow(self, site: Site, function: Callable[..., Any], node: str) -> str:
        """Add what a function calls on a node that returns one tensor; raises as `follow_all` does."""
        first, *others = self.follow_all(site, function, node)
        require(not others)
        return first

    def follow_all(self, site: Site, function: Callable[..., Any], node: str, layers: Iterable[Any] = ()) -> list[str]:
        """Add what a function of tensors calls on a node; returns the nodes of all that it returns.

        Raises
        ------
        TranslationError
            Some of what it calls has no rule, or cannot be followed.
        """
        before = set(self.builder.nodes)
        functional = self.library.followed(function, layers, [site.value(node)])
        found = [str(reference.name) for reference in leaves(self.walk(functional, Reference(node), f"{site.name}/"))]
        added = [known for name, known in self.builder.nodes.items() if name not in before]
        unknown = [known.kind for known in added if known.is_opaque]
        if unknown:
            raise TranslationError(f"its {unknown[0]!r} has no rule")
        self.builder.followed |= {site.kind, str(getattr(function, "__name__", site.kind))}
        return found

    def _own_code(self, site: Site, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
        """Add what a layer of the user's own calls on its only input."""
        is_lambda = type(layer).__name__ == "Lambda"
        require(hasattr(layer, "_flatten_layers"))
        require(is_lambda or not self.library.owns(type(layer), "layers"))
        reference = args[0] if len(args) == 1 else None
        given = {name for name, value in kwargs.items() if value is not None} - {"training"}
        if not isinstance(reference, Reference) or given:
            raise TranslationError("it is called on more than one tensor")
        if is_lambda:
            settings = dict(layer.arguments or {})
            return self.follow_all(site, lambda x: layer.function(x, **settings), reference.name)
        inference = {"training": False} if self.library.takes_training(layer) else {}
        inner = layer._flatten_layers(include_self=False)
        return self.follow_all(site, lambda x: layer.call(x, **inference), reference.name, inner)

    def _translated(self, site: Site, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
        """Add a call of one of the library's layers as ops with rules."""
        require(len(args) == 1 and all(isinstance(leaf, Reference) for leaf in leaves(args[0])))
        require(all(value is None for name, value in kwargs.items() if name != "training"))
        return [translate_layer(site, layer, [leaf.name for leaf in leaves(args[0])])]

    def walk(self, functional: Functional, given: Any, prefix: str) -> Any:
        """Add a model called on nodes; returns its outputs' References in their structure."""
        nodes: dict[int, str] = {}
        for symbol, reference in zip(leaves(functional.inputs), _matching(functional, given), strict=True):
            nodes[id(symbol)] = self._conform(reference.name, symbol, prefix)
        outside = set(self.builder.examples)
        uses = [[id(s) for s in leaves((c.args, c.kwargs)) if self.library.is_symbolic(s)] for c in functional.calls]
        ends = {id(symbol) for symbol in leaves(functional.outputs)}
        for index, call in enumerate(functional.calls):
            if any(symbol not in nodes for symbol in uses[index]):
                continue  # a call of a shared layer elsewhere
            for symbol, name in zip(call.outputs, self._call(call, nodes, prefix), strict=True):
                nodes[id(symbol)] = name
            needed = ends.union(*uses[index + 1 :])
            self.builder.keep_only(outside.union(nodes[symbol] for symbol in needed if symbol in nodes))
        return mapped(functional.outputs, lambda symbol: Reference(nodes[id(symbol)]))

    def _conform(self, node: str, symbol: Any, prefix: str) -> str:
        """Return an input with the number of axes that the model declares, and its dtype where that is not floating."""
        site = self._site(f"{prefix}input", "input", "input", None)
        rank, expected = len(site.shape(node)), len(symbol.shape)
        if rank == expected + 1 and site.shape(node)[-1] == 1:
            node = site.view(node, lambda x: x.shape[:-1], "squeeze")
        elif rank == expected - 1:
            node = site.view(node, lambda x: (*x.shape, 1), "expand")
        dtype: torch.dtype = getattr(torch, str(getattr(symbol.dtype, "name", symbol.dtype)))
        both_float = dtype.is_floating_point and site.dtype_of(node).is_floating_point
        if dtype == site.dtype_of(node) or (both_float and self.builder.nodes[node].op == "input"):
            return node  # zeros and ones are exact in every dtype
        return site.cast(node, dtype)

    def _call(self, call: Call, nodes: Mapping[int, str], prefix: str) -> list[str]:
        """Add one call; returns the nodes of its outputs."""
        layer, library = call.layer, self.library
        args, kwargs = mapped(
            (call.args, call.kwargs), lambda leaf: Reference(nodes[id(leaf)]) if library.is_symbolic(leaf) else leaf
        )
        name = f"{prefix}{layer.name}"
        inner = library.functional(layer)
        if inner is not None and not set(kwargs) - {"training", "mask"}:
            return [reference.name for reference in leaves(self.walk(inner, args[0], f"{name}/"))]
        is_operation = library.owns(type(layer), "ops") or library.owns(type(layer), "activations")
        is_operation = is_operation or type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda")
        dtype = None if is_operation else library.compute_dtype(layer)
        site = self._site(name, library.kind_of(layer), library.own_kind_of(layer), dtype)
        if not is_operation:
            args = mapped(args, lambda leaf: self._cast_for(layer, site, leaf))
        if is_operation:
            found, stopped_by = _first_of(lambda: [translate_operation(site, layer, args, kwargs)])
        else:
            with library.as_in_call(layer):
                found, stopped_by = _first_of(
                    lambda: self._translated(site, layer, args, kwargs),
                    lambda: self._own_code(site, layer, args, kwargs),
                )
        own, sources = self._own_call(site, layer, args, kwargs, len(call.outputs))
        if found is not None:
            if self._equals(found, own, sources):
                return found
            stopped_by = "what it is made of gives other numbers"
        shapes = [tuple(weight.shape) for weight in getattr(layer, "weights", ())]
        matrices = tuple(shape for shape in shapes if len(shape) > 1)
        known = OpaqueParameters({"layer": layer}, matrices, stopped_by, library.own_kind_of(layer))
        node, count = site.add(OPAQUE, sources, own, known), len(call.outputs)
        if count == 1:
            return [node]
        part = OpaqueParameters()
        return [site.add(OPAQUE, node, lambda values, i=i: values[i], part, f"output_{i}") for i in range(count)]

    def _equals(self, nodes: Sequence[str], own: Callable[..., Any], sources: Sequence[str]) -> bool:
        """Whether a translated call gives the same values as the library's own call: backends differ in some layers."""
        values = {name: self.builder.examples[name][0] for name in sources}
        with torch.no_grad():
            short = _shortened(values)
            if short is not None:
                # What cannot be called at another length, or differs there, is compared at the model's own.
                with contextlib.suppress(Exception):
                    if self._all_close([self._value(node, short) for node in nodes], own(*short.values())):
                        return True
            return self._all_close([self.builder.examples[node][0] for node in nodes], own(*values.values()))

    def _all_close(self, found: Sequence[Tensor], expected: Any) -> bool:
        """Whether values are those of a call, which returns a tensor or a tuple of them."""
        of_call = expected if isinstance(expected, tuple) else (expected,)
        return len(found) == len(of_call) and all(map(self._close, found, of_call))

    def _value(self, name: str, given: Mapping[str, Tensor]) -> Tensor:
        """Return the value of a node for given values of the nodes that it is computed from."""
        if name in given:
            return given[name]
        node = self.builder.nodes[name]
        value: Tensor = node.call(*(self._value(source, given) for source in node.inputs))
        return value

    def _close(self, found: Tensor, expected: Tensor) -> bool:
        """Whether two values are equal but for the rounding of the library's own call."""
        if found.shape != expected.shape or not expected.is_floating_point():
            return bool(found.shape == expected.shape and torch.equal(found, expected.to(found.dtype)))
        allowed = tolerance({self.library.effective_dtype(expected.dtype)})
        scale = float(expected.nan_to_num().abs().max()) if expected.numel() else 0.0
        return torch.allclose(found.to(expected.dtype), expected, rtol=allowed, atol=allowed * scale, equal_nan=True)

    def _cast_for(self, layer: Any, site: Site, leaf: Any) -> Any:
        """Return an argument of a layer, cast to the type in which it computes."""
        if not isinstance(leaf, Reference) or site.dtype is None or not site.is_tensor(leaf.name):
            return leaf
        dtype = site.dtype_of(leaf.name)
        automatic = getattr(layer, "autocast", getattr(layer, "_autocast", True))
        if not dtype.is_floating_point or dtype == site.dtype or not automatic:
            return leaf
        return Reference(site.cast(leaf.name, site.dtype))

    def _own_call(
        self, site: Site, layer: Any, args: Any, kwargs: Any, count: int
    ) -> tuple[Callable[..., Any], tuple[str, ...]]:
        """Return the library's own call as a function of nodes' values, and the nodes."""
        library, device = self.library, self.device
        sources = tuple(dict.fromkeys(leaf.name for leaf in leaves((args, kwargs)) if isinstance(leaf, Reference)))
        place = {name: i for i, name in enumerate(sources)}
        inference = {"training": False} if library.takes_training(layer) else {}

        def of_library(*values: Any) -> list[Any]:
            def fill(leaf: Any) -> Any:
                return values[place[leaf.name]] if isinstance(leaf, Reference) else leaf

            outputs = list(leaves(layer(*mapped(args, fill), **{**mapped(kwargs, fill), **inference})))
            if any(getattr(output, "_keras_mask", None) is not None for output in outputs):
                raise CaptureError(f"{site.name} ({site.kind}) gives a mask, which the engine does not follow")
            return outputs

        shapes = [self.builder.nodes[name].shape or () for name in sources]
        # One operand is added to another, by the library or by code of others.
        may_add = len(sources) > 1 or (hasattr(layer, "_flatten_layers") and not held_by(layer).is_complete)
        run = library.traced(of_library, pads=may_add and all(shape[:1] == (BATCH,) for shape in shapes))

        def call(*values: Tensor) -> Any:
            outputs = run(*map(library.to_keras, values))
            tensors = tuple(library.to_torch(output, device) for output in outputs)
            return tensors[0] if count == 1 else tensors

        return call, sources

    def _site(self, name: str, kind: str, own_kind: str, dtype: torch.dtype | None) -> Site:
        return Site(self.builder, self.library, self.device, name, kind, own_kind, dtype, self.follow)


def _first_of(*attempts: Callable[[], list[str]]) -> tuple[list[str] | None, str]:
    """Return the nodes of the first translation of a call that succeeds; else None, and what stopped the last one."""
    stopped_by = ""
    for attempt in attempts:
        try:
            return attempt(), ""
        except CaptureError:
            raise
        except TranslationError as error:
            stopped_by = str(error) or stopped_by
        except Exception as error:  # of a framework, which may take other arguments than the library does
            stopped_by = f"it cannot be followed ({told(error)})"
    return None, stopped_by


def _shortened(values: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the first positions of tensors (rows, positions, channels); None where they are short, or of other shapes.

    The length that is left divides by as many strides as that of the whole does.
    """
    lengths = {value.shape[1] if value.dim() == 3 else 0 for value in values.values()}
    length = min(lengths, default=0)
    left_out = (length - SHORT_LENGTH) // MANY_STRIDES * MANY_STRIDES
    if len(lengths) != 1 or left_out <= 0:
        return None
    return {name: value[:, : length - left_out] for name, value in values.items()}


def _matching(functional: Functional, given: Any) -> list[Reference]:
    """Return the given reference of each input of a model, in the order of `leaves`."""
    inputs = functional.inputs
    if isinstance(given, dict) and not isinstance(inputs, dict):
        return [given[symbol.name] for symbol in leaves(inputs)]
    return list(leaves(given))
