"""The check that a prediction depends on its sequence alone: the same row alone, in a batch, and twice."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InconsistencyWarning, InconsistentModelError, ModelError
from attribution_bench.models.differences import (
    DOUBLE_ROUNDING,
    TOLERANCES,
    Finding,
    Kind,
    Observed,
    Outputs,
    below_spread,
    difference,
    judged,
    scale,
    tolerated,
    wide,
)  # fmt: skip
from attribution_bench.models.disturbance import Disturbance
from attribution_bench.models.targets import OutputSpec

COPIED_VALUES = 1 << 26
"""Values of tensors that a model may have for such a look when nothing but its small spread calls for one."""
AGAIN = 8
"""Further calls of a model that drew random numbers and gave the same all the same, as a dropout of few units may."""
ROWS_AGAIN = 16
"""Rows of the second look at a model of which the first found a difference."""

FAULTS: Mapping[Kind, str] = {
    "batch": "its prediction of a sequence depends on the rest of the batch",
    "chance": "its prediction depends on chance: it draws random numbers in inference",
    "memory": "it gives another prediction when it is asked twice, as it keeps something from call to call",
}
REMEDIES: Mapping[Kind, str] = {
    "batch": "let it treat every sequence by itself: code such as `h - h.mean(0)` or a factor of `x.shape[0]` does not",
    "chance": "switch it off in inference, as `F.dropout(h, p, training=self.training)` does in PyTorch and a layer's "
    "argument `training` in Keras",
    "memory": "let it compute from its inputs and weights alone",
}


@dataclass(frozen=True)
class Trace:
    """What a layer of a model takes or gives in one call."""

    place: str
    """Where that is, for people to find it."""
    values: tuple[NDArray[Any], ...]
    fault: str = ""
    """What is known to be wrong with the layer, and what would do; empty where nothing is."""


class CheckedModel(Protocol):
    """What the check asks of a model, as `SequenceModel` has it."""

    @property
    def precision(self) -> Literal["full", "low"]:
        """How precisely the model computes."""
        ...

    def tried(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> dict[str, Any]:
        """Run rows (n, A, L) and return output -> tensor; raise ModelError where the model does not take them."""
        ...

    def specified(self, outputs: Mapping[str, Any], rows: int) -> tuple[OutputSpec, ...]:
        """Return the outputs' names and shapes; raise ModelError where one lacks the axis of the rows."""
        ...

    def to_numpy(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor as an array on the host."""
        ...

    def undisturbed(self) -> AbstractContextManager[Disturbance]:
        """Restore random states and the model's tensors after the block."""
        ...

    @property
    def weight_count(self) -> int:
        """Number of values in the model's weights."""
        ...

    def in_double(self) -> "CheckedModel | None":
        """Return a copy that computes in double precision; None where the framework offers none."""
        ...

    def inference(self) -> AbstractContextManager[None]:
        """Put the model in inference mode."""
        ...

    def traced(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> list[Trace]:
        """Run rows and return what every layer takes and gives, in the order of the computation."""
        ...

    def suspects(self) -> tuple[str, ...]:
        """Return what is known to be wrong with layers of the model, whether they are used or not."""
        ...


@dataclass(frozen=True)
class Rows:
    """Rows to try a model on."""

    one_hot: NDArray[Any]
    extras: tuple[NDArray[Any], ...]

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(self.one_hot[rows], tuple(extra[rows] for extra in self.extras))

    def __len__(self) -> int:
        return len(self.one_hot)


def checked_outputs(
    model: CheckedModel, one_hot: NDArray[Any], extras: tuple[NDArray[Any], ...], *, go_on: bool
) -> tuple[OutputSpec, ...]:
    """Return a model's outputs once it is known to predict each row by itself. Call it in inference; four rows are run.

    Parameters
    ----------
    one_hot, extras
        Sequences of a request (N, A, L), of which one is run, and the model's further inputs with N rows each.
    go_on
        Warn of a fault instead of raising.

    Raises
    ------
    InconsistentModelError
        The prediction of a row depends on the rest of the batch, on chance or on earlier calls; the message says where.
    ModelError
        The model does not take these inputs, or gives no outputs with an axis of rows.
    """
    rows = examples(one_hot, extras)
    with model.undisturbed() as disturbance:
        together = model.tried(rows.one_hot, rows.extras)
        specs = model.specified(together, len(rows))
        observed = _observed(model, rows, _hosted(model, together, len(rows)), disturbance)
    finding = judged(observed, tolerated(model.precision))
    if finding is not None:
        finding = _confirmed(model, rows, finding)
    elif model.weight_count <= COPIED_VALUES and (small := judged(observed, below_spread(0.0))) is not None:
        finding = _seen_in_double(model, rows, small.kind)
    if finding is None:
        return specs
    message = _message(model, rows, finding)
    if not go_on:
        raise InconsistentModelError(
            f"{message}. Scores of it would mean nothing; as_sequence_model(model, on_inconsistency='warn') gives them "
            "nevertheless"
        )
    warnings.warn(message, InconsistencyWarning, stacklevel=_frames_to_caller())
    return specs


def examples(one_hot: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> Rows:
    """Return the first sequence with a known letter, and one that differs from it at every position."""
    known: NDArray[np.bool_] = np.any(one_hot, axis=1)
    first = int(np.any(known, axis=1).argmax())
    alphabet, length = one_hot.shape[1:]
    # By an arbitrary number of letters each: a sequence of repeats, shifted, would look the same to many models.
    shifts = np.random.default_rng(0).integers(1, alphabet, length)
    letters = np.where(known[first], one_hot[first].argmax(axis=0) + shifts, 0) % alphabet
    other = np.eye(alphabet, dtype=one_hot.dtype)[letters].T
    chosen = [first, (first + 1) % len(one_hot)]
    return Rows(np.stack([one_hot[first], other]), tuple(extra[chosen] for extra in extras))


def _observed(model: CheckedModel, rows: Rows, together: Outputs, disturbance: Disturbance) -> Observed:
    """Predict each row alone as well as in the batch, and all of them again where numbers are drawn."""
    singles = []
    for row in range(len(rows)):
        try:
            singles.append(_predicted(model, rows[row : row + 1]))
        except ModelError as error:
            cause = error.__cause__ or error
            reason = f"{type(cause).__name__}: {next(iter(str(cause).strip().splitlines()), '')}"
            raise InconsistentModelError(
                "; ".join(
                    [f"the model takes {len(rows)} sequences at once but not one alone ({reason})", *model.suspects()]
                )
            ) from error
    pairs: list[tuple[Kind, int, Outputs, Outputs]] = []
    if disturbance.draws:
        pairs += [("chance", 0, _predicted(model, rows), together) for _ in range(AGAIN)]
    pairs += [("batch", row, _row(together, row), single) for row, single in enumerate(singles)]
    same = {name: [single[name] for single in singles] for name in together}
    every = {
        name: np.concatenate([wide(v) for v in (values, *same[name]) if v.shape[1:] == values.shape[1:]])
        for name, values in together.items()
    }
    return Observed(pairs, every)


def _confirmed(model: CheckedModel, rows: Rows, finding: Finding) -> Finding | None:
    """Look again, at more sequences and in double precision where there is such a copy; None for rounding after all."""
    precise = _double(model) or model
    every = _more(rows)
    for subject in dict.fromkeys((precise, model)):
        try:
            again = judged(_observed_anew(subject, every), tolerated(subject.precision))
        except Exception:  # a copy in another precision may fail in any way; the model itself decides then
            continue
        return None if again is None else replace(finding, kind=again.kind)
    return finding


def _seen_in_double(model: CheckedModel, rows: Rows, kind: Kind) -> Finding | None:
    """Look for differences that are small beside the output, but not beside what a change of the sequence does."""
    precise = _double(model)
    if precise is None:
        return None
    try:
        # Nothing is left of rounding on the rows that differed; what depends on chance may need more of them to show.
        if kind != "chance" and judged(_observed_anew(precise, rows), below_spread(DOUBLE_ROUNDING)) is None:
            return None
        return judged(_observed_anew(precise, _more(rows)), below_spread(DOUBLE_ROUNDING))
    except Exception:  # a copy in another precision may fail in any way, and nothing else is known against the model
        return None


def _observed_anew(model: CheckedModel, rows: Rows) -> Observed:
    """Predict rows as at first, and the first of them twice: what is kept from call to call may change any of them."""
    with model.inference(), model.undisturbed() as disturbance:
        observed = _observed(model, rows, _predicted(model, rows), disturbance)
        if disturbance.draws:
            return observed
        twice = _predicted(model, rows[:1]), _predicted(model, rows[:1])
        return replace(observed, pairs=[("memory", 0, *twice), *observed.pairs])


def _more(rows: Rows) -> Rows:
    """Return rows with random ones after them."""
    letters, length = rows.one_hot.shape[1:]
    index = np.random.default_rng(0).integers(0, letters, (ROWS_AGAIN - len(rows), length))
    more = np.eye(letters, dtype=rows.one_hot.dtype)[index].transpose(0, 2, 1)
    repeated = np.arange(ROWS_AGAIN) % len(rows)
    return Rows(np.concatenate([rows.one_hot, more]), tuple(extra[repeated] for extra in rows.extras))


def _double(model: CheckedModel) -> CheckedModel | None:
    try:
        return model.in_double()
    except Exception:  # a model of any kind may refuse to be copied, or memory may not hold it twice
        return None


def _message(model: CheckedModel, rows: Rows, finding: Finding) -> str:
    """Return what is wrong, where, and what would do."""
    found, remedy = _culprit(model, rows, finding), REMEDIES[finding.kind]
    if found is not None:
        where = f"look at {found.place}: {found.fault or remedy}"
    else:
        where = f"look at {'; '.join(model.suspects())}" if model.suspects() else remedy
    changes = f"output {finding.output!r} changes by {finding.error:.1g} of its scale"
    return f"the model cannot be believed: {FAULTS[finding.kind]} ({changes}); {where}"


def _culprit(model: CheckedModel, rows: Rows, finding: Finding) -> Trace | None:
    """Return the first place at which two calls differ; None where none is found."""
    alone = rows[finding.row : finding.row + 1]
    try:
        with model.undisturbed():
            reference = model.traced(alone.one_hot, alone.extras)
            for _ in range(1 if finding.kind == "batch" else AGAIN):
                asked = rows if finding.kind == "batch" else alone
                place = _divergence(reference, model.traced(asked.one_hot, asked.extras), finding.row, len(asked))
                if place is not None:
                    return place
    except Exception:  # the place is a help to the reader; what is wrong is known without it
        return None
    return None


def _divergence(reference: Sequence[Trace], other: Sequence[Trace], row: int, rows: int) -> Trace | None:
    """Return the first trace that differs between a row alone and the same row, which is one of `rows` there."""
    for alone, there in zip(reference, other, strict=False):
        if alone.place != there.place:
            return None
        for value, batch in zip(alone.values, there.values, strict=False):
            if not value.ndim or batch.shape != (rows * value.shape[0], *value.shape[1:]):
                continue
            mine = batch[row * len(value) : (row + 1) * len(value)] if rows > 1 else batch
            if not difference(mine, value) <= TOLERANCES["full"] * scale(value):
                return alone
    return None


def _predicted(model: CheckedModel, rows: Rows) -> Outputs:
    return _hosted(model, model.tried(rows.one_hot, rows.extras), len(rows))


def _hosted(model: CheckedModel, outputs: Mapping[str, Any], rows: int) -> Outputs:
    """Return outputs (rows, ...) on the host; of one row, a model may leave the axis of rows out."""
    hosted = {name: model.to_numpy(value) for name, value in outputs.items()}
    return {name: values[None] if rows == 1 and not values.ndim else values for name, values in hosted.items()}


def _row(outputs: Outputs, row: int) -> Outputs:
    return {name: values[row : row + 1] for name, values in outputs.items()}


def _frames_to_caller() -> int:
    """Return the `stacklevel` that lets a warning of this module's caller point at the first code outside the suite."""
    level, frame = 1, sys._getframe(1)
    # The names of the suite's own plugins begin with its name.
    inside = ("attribution_bench", "contextlib")
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
