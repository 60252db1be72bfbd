"""The fastism method."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attribution_bench.attribution import RawAttribution, Request, Tags, further_inputs
from attribution_bench.deprecation import renamed_options, warn_renamed
from attribution_bench.errors import InvalidInputError, MissingDependencyError
from attribution_bench.fastism import Local
from attribution_bench.garbage import collection_paused
from attribution_bench.mutagenesis import InSilicoMutagenesis, RawMutagenesis
from attribution_bench.mutations import Edit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attribution_bench.benchmark.engine_profile import MeasuredProfile
    from attribution_bench.explanation import Explanation
    from attribution_bench.models import OutputSpec, Target
    from attribution_bench.timer import Clock
    from attribution_bench_plugins.fastism.engine import Engine
    from attribution_bench_plugins.fastism.ops.custom_rules import GivenRule

DEFAULT_SELF_CHECK = True
DEFAULT_MIN_SPEEDUP = 1.0
DEFAULT_MEASURED_COSTS = True


class FastISM(InSilicoMutagenesis):
    """Exact in-silico saturation mutagenesis that recomputes only the affected range of each mutation.

    Parameters
    ----------
    model
        A torch.nn.Module, a keras.Model, a tf_keras.Model, or a SequenceModel over one.
    memory_budget
        Bytes that the engine may use, besides the model and the results. By default a quarter of the free memory;
        on a CPU at most 4 GiB.
    self_check
        Compare a few mutations with full passes before anything is returned: at first use, or, where that would take
        more than a twentieth of its time, a few in each of the first calls.
    rules
        Rules for operations of the model that fastISM has none for, by the operation's name (``mylib::attention_pool``)
        or the Keras layer's class; see `attribution_bench.fastism.Local`. They go before those that installed packages
        register under the entry points ``attribution_bench.fastism_rules``.
    min_speedup
        Smallest speed-up over full passes at which windows run; below it every mutation takes a full pass. It is
        predicted from the seconds of earlier calls; where there were none, counted work must promise a quarter more.
        With 0 windows run wherever there is a rule, with infinity full passes.
    measured_costs
        Let the seconds of earlier calls decide between windows and full passes, and now and then try on a few mutations
        what the other would take. If False, counted work decides, so that how numbers round depends on the request
        alone; jobs choose that.
    matmul_precision
        Compute the products of single-precision windows in ``"tf32"`` or ``"bfloat16"`` and add them up in single
        precision: faster where the hardware has units for it, and no longer exact. What is unmutated stays as the model
        computes it. None, the default, leaves products as PyTorch is set.

    The options ``least_gain`` and ``products`` are the old names of ``min_speedup`` and ``matmul_precision``.
    """

    name: ClassVar[str] = "fastism"
    label: ClassVar[str] = "fastISM"
    tags: ClassVar[Tags] = Tags(
        frozenset({"torch", "keras"}),
        gives_predictions=True,
        exact=True,
        partial_passes=True,
        explains=True,
        profiles=True,
    )
    matmul_precisions: ClassVar[tuple[str, ...]] = ("tf32", "bfloat16")
    """Lower precisions of matrix products that the engine offers."""

    @renamed_options(least_gain="min_speedup", products="matmul_precision")
    def __init__(
        self,
        model: Any,
        *,
        memory_budget: int | None = None,
        self_check: bool = DEFAULT_SELF_CHECK,
        rules: "Mapping[str, GivenRule] | None" = None,
        min_speedup: float = DEFAULT_MIN_SPEEDUP,
        matmul_precision: str | None = None,
        measured_costs: bool = DEFAULT_MEASURED_COSTS,
    ) -> None:
        if memory_budget is not None:
            if isinstance(memory_budget, bool) or not isinstance(memory_budget, int | np.integer):
                raise InvalidInputError(f"memory_budget must be a whole number of bytes, not {memory_budget!r}")
            if memory_budget < 2**20:
                raise InvalidInputError(f"memory_budget must be at least 1 MiB (1048576), not {memory_budget} bytes")
        if isinstance(min_speedup, bool) or not isinstance(min_speedup, int | float | np.floating):
            raise InvalidInputError(f"min_speedup must be a number, not {min_speedup!r}")
        if not min_speedup >= 0:
            raise InvalidInputError(f"min_speedup must be 0 or more, not {min_speedup}")
        if matmul_precision is not None and matmul_precision not in self.matmul_precisions:
            known = ", ".join(self.matmul_precisions)
            raise InvalidInputError(f"matmul_precision must be None, or one of {known}, not {matmul_precision!r}")
        if rules is not None and not isinstance(rules, Mapping):
            raise InvalidInputError(f"rules must map kinds of operations to rules, not be {rules!r}")
        for kind, rule in (rules or {}).items():
            if not (isinstance(rule, Local) or callable(rule)):
                raise InvalidInputError(f"rules: that of {kind!r} must be a Local or a function, not {rule!r}")
        if find_spec("torch") is None:
            raise MissingDependencyError.of(
                "torch", "torch", "fastism, whose engine runs on PyTorch for Keras models too,"
            )
        super().__init__(
            model,
            memory_budget=memory_budget,
            self_check=self_check,
            rules=dict(rules or {}),
            min_speedup=float(min_speedup),
            matmul_precision=matmul_precision,
            measured_costs=measured_costs,
        )

    @cached_property
    def engine(self) -> "Engine":
        """The engine of the model, made at first use: it imports PyTorch. Another may be put in its place."""
        with collection_paused():
            from attribution_bench_plugins.fastism.engine import Engine, Options

        return Engine(self.model, Options(**self.options))

    def explain(self, length: int, *, additional_forward_args: Any = None, target: "Target" = "all") -> "Explanation":
        """Explain what the engine does with the model, layer by layer, why, and how fast that should be.

        Parameters
        ----------
        length
            Letters of a sequence.
        additional_forward_args
            The model's further inputs, at least one row of each.
        target
            What of the outputs is asked for, as `attribute` takes it; every output by default. What the target does not
            read is not computed.

        Raises
        ------
        ModelError
            The model does not take that length or those inputs.
        TargetError
            The model does not have that output, or the target leaves open which value is meant.
        InvalidInputError
            A rule is given for an operation that the model does not have.
        """
        return self.engine.explain(length, further_inputs(additional_forward_args), target)

    def plan(self, length: int, *, additional_forward_args: Any = None) -> "Explanation":
        """Old name of `explain`, which will be removed in the next release."""
        warn_renamed("FastISM.plan()", "FastISM.explain()", stacklevel=2)
        return self.explain(length, additional_forward_args=additional_forward_args)

    def profile(self, one_hot: "NDArray[Any]", *, budget: float, clock: "Clock") -> "MeasuredProfile":
        """Return what runs on one sequence (1, A, L) are made of; see `attribution_bench.benchmark.engine_profile`."""
        from attribution_bench_plugins.fastism.profile import measure

        return measure(self, self.engine, one_hot, precisions=self.matmul_precisions, budget=budget, clock=clock)

    def machine_options(self) -> dict[str, Any]:
        """Return that counted work decides, and, where the caller gave none, the memory budget that free memory allows.

        It is rounded down to a power of two, so that the same machine mostly gives the same one.
        """
        counted = {"measured_costs": False}
        if self.options["memory_budget"] is not None:
            return counted
        return {"memory_budget": 1 << (self.engine.default_budget().bit_length() - 1), **counted}

    @contextlib.contextmanager
    def _requested(self, *arguments: Any, **named: Any) -> Iterator[Request]:
        with self.engine.fixed_weights(), super()._requested(*arguments, **named) as request:
            yield request

    def _outputs(self, one_hot: "NDArray[Any]", extras: "tuple[NDArray[Any], ...]") -> "tuple[OutputSpec, ...]":
        return self.engine.known_outputs(one_hot.shape[2], extras) or super()._outputs(one_hot, extras)

    def _attribute(self, request: Request) -> RawAttribution:
        return self.engine.attribute(request)

    def _predict_mutations(self, request: Request, edits: Sequence[Edit]) -> RawMutagenesis:
        return self.engine.predict_mutations(request, edits)
