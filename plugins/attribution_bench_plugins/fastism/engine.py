"""The engine of one model: from a request to predictions, by windows or full passes."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from attribution_bench import errors
from attribution_bench.attribution import RawAttribution, Request
from attribution_bench.deprecation import moved_names
from attribution_bench.explanation import Explanation
from attribution_bench.foreign_warnings import foreign_warnings_shown
from attribution_bench.models import OutputSpec, Selection, SequenceModel, Target
from attribution_bench.models.targets import select
from attribution_bench.mutagenesis import RawMutagenesis
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.capture.source import Source, source_of
from attribution_bench_plugins.fastism.choosing import Captured, ListChoice, SaturationChoice
from attribution_bench_plugins.fastism.compiled_model import CompiledModel, Options, compile_model, narrowed
from attribution_bench_plugins.fastism.execution.interpreter import Observer
from attribution_bench_plugins.fastism.explanation import explain
from attribution_bench_plugins.fastism.plan_cache import PlanCache
from attribution_bench_plugins.fastism.planning.policy import Decision
from attribution_bench_plugins.fastism.planning.sizes import free_memory, size_policy
from attribution_bench_plugins.fastism.planning.wanted import wanted_positions
from attribution_bench_plugins.standard_ism import StandardISM

Raw = TypeVar("Raw", RawAttribution, RawMutagenesis)


class Engine:
    """fastISM's engine of one model, with the caller's options; it lives as long as the `FastISM` that made it.

    Requests are answered while the model is in inference mode. Each method looks at the model's weights, since they
    may have changed since the call before; `fixed_weights` lets the methods of one call share the look.
    """

    def __init__(self, model: SequenceModel, options: Options) -> None:
        self.model, self.options, self.cache = model, options, PlanCache()
        self.standard = StandardISM(model)
        """Takes full passes."""
        self.observer: Observer | None = None
        """Watches the steps of blocks, on one thread of PyTorch; None for nobody."""
        self._fixed: Source | None = None

    @contextlib.contextmanager
    def fixed_weights(self) -> Iterator[None]:
        """Assume within the block that the model's weights stay as they are: they are looked at once, at first use."""
        self._fixed = source_of(self.model, self.options.matmul_precision)
        try:
            yield
        finally:
            self._fixed = None

    def outputs(self, length: int, extras: tuple[NDArray[Any], ...]) -> tuple[OutputSpec, ...]:
        """Return the model's outputs at a length; raises ModelError where it does not take that length or those inputs.

        A model that is in the cache, and has not changed, is not run for them.
        """
        return self.known_outputs(length, extras) or self.model.outputs(length, extras)

    def known_outputs(self, length: int, extras: tuple[NDArray[Any], ...]) -> tuple[OutputSpec, ...] | None:
        """Return the outputs of a model that is in the cache, and has not changed; None of any other."""
        known = self.cache.current(self._source(), length, extras)
        return None if known is None else known.outputs

    def default_budget(self) -> int:
        """Return the memory budget, in bytes, that the free memory of the model's device allows now."""
        source = self._source()
        return (self.options.sizes or size_policy(source.kind)).default_budget(free_memory(source.device))

    def attribute(self, request: Request) -> RawAttribution:
        """Return the predictions of every single-letter mutation of a request.

        Raises
        ------
        SelfCheckError
            Windows and full passes differ.
        DeviceError
            The device does not offer the precision of products that was chosen.
        """
        return self._answered(request, lambda: self._attribute(request))

    def _attribute(self, request: Request) -> RawAttribution:
        start, length, extras = self.options.clock(), request.one_hot.shape[2], request.extras
        known = self.cache.stored(length, extras)
        # A model that has changed may have other outputs, which the entry knows nothing of.
        if known is not None and known.outputs == request.outputs:
            # Full passes are decided on before a model with new weights is captured anew: they take as much work.
            now = self._source().fingerprint
            is_stale = known.fingerprint != now and known.fingerprint.has_the_work_of(now)
            stale = self._captured(known, request) if is_stale else None
            decision = None if stale is None else stale.decide(stale.launches(request))
            if decision is not None and not decision.run_windows:
                return self._by_full_passes(request, decision, warns=not known.decision.run_windows)
        entry = self._compiled(self._source(), length, extras, request.outputs)
        captured = self._captured(entry, request)
        if captured is None:
            return self._by_full_passes(request, entry.decision, warns=True)
        choice = SaturationChoice(captured, request)
        decision = choice.decide()
        if decision.run_windows:
            raw = choice.on_windows(decision.predicted_speedup)
        else:
            if not captured.compiled.decision.run_windows:
                self._warn(decision, stacklevel=8)
            raw = replace(choice.by_full_passes(), metadata={"fallback": decision.reason})
        captured.costs.budget.spent += self.options.clock() - start
        return raw

    def predict_mutations(self, request: Request, edits: Sequence[Edit]) -> RawMutagenesis:
        """Return the predictions of listed mutations; raises as `attribute` does."""
        return self._answered(request, lambda: self._predict_mutations(request, edits))

    def _predict_mutations(self, request: Request, edits: Sequence[Edit]) -> RawMutagenesis:
        start = self.options.clock()
        entry = self._compiled(self._source(), request.one_hot.shape[2], request.extras, request.outputs)
        captured = self._captured(entry, request)
        if captured is None:
            self._warn(entry.decision, stacklevel=8)
            raw = self.standard._predict_mutations(request, edits)
            return replace(raw, metadata={"fallback": entry.decision.reason})
        raw = ListChoice(captured, request, edits).run()
        if "fallback" in raw.metadata:
            self._warn(captured.compiled.decision, stacklevel=8)
        captured.costs.budget.spent += self.options.clock() - start
        return raw

    def explain(self, length: int, extras: tuple[NDArray[Any], ...], target: Target = "all") -> Explanation:
        """Explain what the engine does with the model at one length; raises as `FastISM.explain` does."""
        with self.fixed_weights(), foreign_warnings_shown(), self.model.inference():
            source, letters = self._source(), len(self.model.alphabet)
            example = np.eye(letters)[np.random.default_rng(length).integers(0, letters, length)].T[None]
            outputs = self.known_outputs(length, extras) or self.model.checked_outputs(example, extras)
            entry = self._compiled(source, length, extras, outputs)
            compiled = self._for_selections(entry, select(target, outputs))
        return explain(compiled.plan, length, source.dtype.itemsize, compiled.decision)

    def _answered(self, request: Request, answer: Callable[[], Raw]) -> Raw:
        """Answer a request, again with a fresh plan where one of an earlier call fails the self-check.

        The model may have changed in what `Source.fingerprint` does not look at.
        """
        length, extras = request.one_hot.shape[2], request.extras
        kept = self.cache.stored(length, extras)
        try:
            return answer()
        except errors.SelfCheckError:
            if kept is None or self.cache.stored(length, extras) is not kept:
                raise
        self.cache.clear()
        return answer()

    def _source(self) -> Source:
        """Return the model as this call finds it."""
        return self._fixed or source_of(self.model, self.options.matmul_precision)

    def _compiled(
        self, source: Source, length: int, extras: tuple[NDArray[Any], ...], outputs: tuple[OutputSpec, ...]
    ) -> CompiledModel:
        """Return what `compile_model` does, from the cache where the weights have not changed since."""
        known = self.cache.current(source, length, extras)
        if known is not None:
            return known
        compiled = compile_model(source, length, extras, outputs, self.options)
        self.cache.store(length, extras, compiled)
        return compiled

    def _for_selections(self, entry: CompiledModel, selections: Sequence[Selection]) -> CompiledModel:
        """Return an entry of the cache for what is selected of the outputs: nothing else is computed."""
        if entry.plan is None:
            return entry
        source = self._source()
        wanted = wanted_positions(entry.plan, selections, source.positions_read)
        make = partial(narrowed, entry, wanted, source, self.options)
        return self.cache.part(entry, tuple(wanted.items()), make)

    def _captured(self, entry: CompiledModel, request: Request) -> Captured | None:
        """Return an entry for what a request selects; None where the model could not be captured."""
        compiled = self._for_selections(entry, request.selections)
        if compiled.plan is None or compiled.work is None:
            return None
        source = self._source()
        return Captured(compiled, compiled.plan, compiled.work, source, self.options, self.observer, self.standard)

    def _by_full_passes(self, request: Request, decision: Decision, *, warns: bool) -> RawAttribution:
        if warns:
            self._warn(decision, stacklevel=9)
        raw = self.standard._attribute(request)
        return replace(raw, metadata={"fallback": decision.reason})

    def _warn(self, decision: Decision, stacklevel: int) -> None:
        """Tell the caller of the method, `stacklevel` frames up, that every mutation takes a full pass."""
        message = f"fastISM falls back to standard ISM: {decision.reason}"
        warnings.warn(message, errors.FallbackWarning, stacklevel=stacklevel)


__getattr__ = moved_names(__name__, FallbackWarning="attribution_bench.errors")

__all__ = ["Engine", "Options"]
