"""The check that a rule given to fastISM passes: on a model that uses it, predictions equal full passes everywhere."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.models import as_sequence_model
from attribution_bench.registry import get_method
from attribution_bench.testing.conformance import ConformanceError
from attribution_bench.testing.subject import TOLERANCE

ROUNDING = 100
"""Units of the last place of a prediction that are no difference, however small the effects of mutations are."""


def check_rules(model: Any, rules: Mapping[str, Any], length: int, *, additional_forward_args: Any = None) -> None:
    """Check rules for operations of a model: every letter at every position of two sequences, against full passes.

    Parameters
    ----------
    model
        Any model that fastISM takes, with random or trained weights, in which the rules' operations occur.
    rules
        As `FastISM` takes them.
    length
        Letters of a sequence; better no multiple of strides.
    additional_forward_args
        The model's further inputs, two rows of each.

    Raises
    ------
    ConformanceError
        An operation with a rule runs in full nevertheless, nothing runs on windows, or predictions differ; the message
        lists every fault.
    InvalidInputError
        The model has no such operation, or gives another number of positions than its rule says.
    """
    sequence_model = as_sequence_model(model)
    letters = len(sequence_model.alphabet)
    x = np.eye(letters)[np.random.default_rng(0).integers(0, letters, (2, length))].transpose(0, 2, 1)
    fast = get_method("fastism")(sequence_model, rules=rules, self_check=False, min_speedup=0)
    explanation = fast.explain(length, additional_forward_args=additional_forward_args)  # type: ignore[attr-defined]
    faults = [
        f"{layer.kind} ({layer.layer!r}) runs in full: {layer.reason}"
        for layer in explanation.layers
        if layer.kind in rules and layer.mode == "full"
    ]
    if explanation.fallback:
        faults.append(f"nothing runs on windows: {explanation.fallback}")
    else:
        request: dict[str, Any] = {"target": "all", "additional_forward_args": additional_forward_args}
        truth = get_method("standard_ism")(sequence_model).attribute(x, **request)
        try:
            found = fast.attribute(x, **request).predictions
        except Exception as error:  # a rule may fail in any way
            notes = getattr(error, "__notes__", ())
            faults.append("\n".join([f"{type(error).__name__}: {error}", *notes]))
        else:
            for name, expected in truth.predictions.items():
                faults += _faults(name, found[name], expected, truth.reference_predictions[name])
    if faults:
        raise ConformanceError(f"the rules for {', '.join(rules)} do not hold\n" + "\n".join(faults))


def _faults(
    name: str, found: NDArray[np.floating], truth: NDArray[np.floating], reference: NDArray[np.floating]
) -> list[str]:
    """Return what is wrong with an output's predictions (N, A, P, *output)."""
    largest_effect = np.abs(truth - reference[:, None, None]).max()
    if not largest_effect > 0:
        return [f"no mutation changes output {name!r}, so that nothing is checked; take other weights"]
    allowed = TOLERANCE * largest_effect + ROUNDING * np.finfo(truth.dtype).eps * np.abs(truth).max()
    difference = np.abs(found - truth)
    differing = ~(difference <= allowed).all(axis=(0, 1, *range(3, truth.ndim)))
    if not differing.any():
        return []
    return [
        f"predictions of output {name!r} differ from full passes where {differing.sum()} of {len(differing)} positions "
        f"are mutated, first {differing.argmax()}: by up to {difference.max():.3g}, where mutations change the output "
        f"by up to {largest_effect:.3g}"
    ]
