"""Checks that the model is left as it was found, errors included."""

import warnings

from attribution_bench.testing.checks.requirements import require
from attribution_bench.testing.subject import FEW, Subject, sequences

REMEDY = "restore modes, hooks, gradients and weights in a finally block, or work on a copy of the model"


def check_model_left_as_found(subject: Subject) -> None:
    """Mode, parameters, buffers, requires_grad, gradients and hooks are what they were before the call."""
    model = subject.model()
    method = subject.bind(model)
    before = subject.models.snapshot(model.model)
    method.attribute(sequences())
    _require_same(before, subject.models.snapshot(model.model), "a call")


CALLS = 9
"""Calls after which the model raises: from none to one less. The first four are the look that every method takes at a
model at first use."""


def check_model_left_as_found_after_an_error(subject: Subject) -> None:
    """The same when the model raises, at its first call or in the middle of the work."""
    for calls in range(CALLS):
        model = subject.models.build_fused(calls)
        before = subject.models.snapshot(model)
        raised = False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a method may warn that it takes another way
                subject.bind(model).attribute(sequences(), positions=FEW, batch_size=1)
        except Exception:  # any error of the model's or the method's will do; what counts is what it leaves behind
            raised = True
        require(raised or calls, "the model raises at its first call, but no error came back", "let errors pass")
        _require_same(before, subject.models.snapshot(model), f"an error after {calls} calls of the model")


def _require_same(before: dict[str, object], after: dict[str, object], when: str) -> None:
    changed = sorted(part for part in before.keys() | after.keys() if before.get(part) != after.get(part))
    require(not changed, f"after {when} the model is not as it was: {', '.join(changed)}", REMEDY)
