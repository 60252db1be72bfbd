"""The check that a rule given to DeepSHAP passes: it is used, adds up, and tends to the gradient."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.models import as_sequence_model
from attribution_bench.registry import get_method
from attribution_bench.testing.conformance import ConformanceError

LOST = 1e-3
"""Part of the difference of two predictions that multipliers may miss."""


def check_multipliers(
    model: Any, rules: Mapping[str, Any], length: int, *, target: Any = "all", additional_forward_args: Any = None
) -> None:
    """Check rules for operations of a model, on two sequences with two references each.

    Parameters
    ----------
    model
        Any model that DeepSHAP takes, with random or trained weights, in which the rules' operations occur; better in
        double precision.
    rules
        As `DeepSHAP` takes them.
    length
        Letters of a sequence.
    target
        As `attribute` takes it.
    additional_forward_args
        The model's further inputs, two rows of each.

    Raises
    ------
    ConformanceError
        A rule is never asked; multipliers are not finite, do not add up to the difference of the predictions, or do not
        tend to the gradient as the reference comes near the sequence; the message lists every fault.
    """
    sequence_model = as_sequence_model(model)
    letters = len(sequence_model.alphabet)
    drawn = np.random.default_rng(0).integers(0, letters, (6, length))
    every = np.eye(letters)[drawn].transpose(0, 2, 1).astype(sequence_model.numpy_dtype)
    x, references = every[:2], every[2:].reshape(2, 2, letters, length)
    step = float(np.finfo(every.dtype).eps) ** 0.25
    near = x[:, None] + step * (references - x[:, None])
    asked: dict[str, int] = dict.fromkeys(rules, 0)
    counted = {name: _counted(name, rule, asked) for name, rule in rules.items()}
    request: dict[str, Any] = {"target": target, "additional_forward_args": additional_forward_args}
    found, close = (
        _multipliers(get_method("deepshap")(sequence_model, baselines=baselines, rules=counted), x, request)
        for baselines in (references, near)
    )
    faults = [f"{name} does not occur in the model" for name, count in asked.items() if not count]
    if not (np.isfinite(found.multipliers).all() and np.isfinite(close.multipliers).all()):
        faults.append("multipliers are infinite or no numbers")
        raise _error(rules, faults)
    explained = np.abs(found.contributions).sum(axis=(2, 3)).max()
    lost = np.abs(found.convergence_delta).max()
    if not lost <= LOST * explained:
        faults.append(
            f"multipliers do not add up to the difference of the predictions: they miss up to {lost:.3g}, where scores "
            f"add up to {explained:.3g}"
        )
    gradient = get_method("gradient_x_input")(sequence_model).attribute(x, **request).scores
    distance = np.abs(close.multipliers - gradient[:, None].reshape(len(x), 1, *close.multipliers.shape[2:])).max()
    largest = np.abs(gradient).max()
    if not distance <= 50 * step * largest:
        faults.append(
            f"multipliers do not tend to the gradient: {step:.0e} of the way from the sequence to a reference they are "
            f"up to {distance:.3g} from it, where gradients are up to {largest:.3g}"
        )
    if faults:
        raise _error(rules, faults)


def _error(rules: Mapping[str, Any], faults: list[str]) -> ConformanceError:
    return ConformanceError(f"the rules for {', '.join(rules)} do not hold\n" + "\n".join(faults))


def _counted(name: str, rule: Callable[..., Any], asked: dict[str, int]) -> Callable[..., Any]:
    def counting(*arguments: Any) -> Any:
        asked[name] += 1
        return rule(*arguments)

    return counting


def _multipliers(method: Any, x: NDArray[Any], request: Mapping[str, Any]) -> Any:
    """Return the multipliers; a rule may fail in any way."""
    with warnings.catch_warnings():
        # What it would warn of is what is checked here.
        warnings.simplefilter("ignore")
        try:
            return method.multipliers(x, **request)
        except Exception as error:
            raise ConformanceError(f"the rules do not hold\n{type(error).__name__}: {error}") from error
