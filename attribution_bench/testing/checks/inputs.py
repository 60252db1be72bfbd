"""Checks of what goes in: forms of input, batches, unknown letters, further inputs, bad input."""

from typing import Any

import numpy as np

from attribution_bench.errors import InvalidInputError, UnsupportedError
from attribution_bench.testing.checks.requirements import require, require_equal
from attribution_bench.testing.subject import FEW, STRINGS, Subject, extra_rows, installed_frameworks, sequences


def check_strings_equal_one_hot(subject: Subject) -> None:
    """Sequences as strings give the scores of the same sequences as a one-hot array."""
    found = subject.attribute(inputs=list(STRINGS))
    require_equal(found.scores, subject.result.scores, "strings against one-hot", "override _attribute only")


def check_batch_size_does_not_matter(subject: Subject) -> None:
    """Every batch size gives the same scores within float error."""
    remedy = "derive what is random from the seed and the sequence's place, not from the batch it falls in"
    expected = subject.result.scores[:, :, FEW]
    for batch_size in (1, 2, 7):
        found = subject.attribute(positions=FEW, batch_size=batch_size).scores
        require_equal(found, expected, f"batch size {batch_size} against the default", remedy)


def check_deterministic(subject: Subject) -> None:
    """The same call gives the same scores, from the same object and from a new one."""
    remedy = "draw from a generator that is seeded by an option in each call, never from a global one"
    method = subject.bind(subject.model())
    first, second = method.attribute(sequences()).scores, method.attribute(sequences()).scores
    require_equal(second, first, "a second call of the same object", remedy)
    require_equal(subject.result.scores, first, "a call of a new object", remedy)


def check_sequences_do_not_mix(subject: Subject) -> None:
    """A sequence's scores do not depend on the sequences after it."""
    changed = sequences()
    changed[2] = changed[2][:, ::-1]
    before, after = subject.result.scores, subject.attribute(inputs=changed).scores
    remedy = "sum outputs over the batch before differentiating, and keep the model in inference mode"
    require_equal(after[:2], before[:2], "the first two sequences, after the third was changed", remedy)
    require(not np.allclose(after[2], before[2]), "the third sequence was changed, but not its scores", remedy)


def check_unknown_letters(subject: Subject) -> None:
    """At an unknown letter the observed score is 0; methods that do not mutate score 0 for every letter there."""
    result = subject.result
    unknown = ~sequences().any(axis=1)
    remedy = "multiply scores by the columns that hold a letter"
    require(not result.observed[unknown].any(), "observed scores at unknown letters are not 0", remedy)
    if not subject.method.tags.gives_predictions:
        there = result.scores.transpose(0, 2, 1)[unknown]
        require(not there.any(), f"scores at unknown letters reach {np.abs(there).max():.3g}, not 0", remedy)


def check_extra_input(subject: Subject) -> None:
    """Each sequence is explained together with its own row of the model's further input."""
    remedy = "pass the rows of request.extras that belong to the sequences of a batch, however often each is repeated"
    rows = extra_rows()
    expected = subject.attribute("extra_input", additional_forward_args=rows).scores
    single = subject.attribute("extra_input", additional_forward_args=(rows,), positions=FEW, batch_size=1).scores
    require_equal(single, expected[:, :, FEW], "batch size 1 against the default, with an extra input", remedy)
    rows[1] = 3.0
    changed = subject.attribute("extra_input", additional_forward_args=rows).scores
    require_equal(changed[[0, 2]], expected[[0, 2]], "sequences whose extra input did not change", remedy)
    require(not np.allclose(changed[1], expected[1]), "the extra input changed, but not the scores", remedy)


def check_progress(subject: Subject) -> None:
    """Progress never goes back, counts towards one total, and reaches it."""
    calls: list[tuple[int, int]] = []
    subject.attribute(batch_size=1, positions=FEW, progress=lambda done, total: calls.append((done, total)))
    remedy = "call request.progress(done, total) after every batch, the last time with done == total"
    require(calls, "progress was never reported", remedy)
    done, totals = [call[0] for call in calls], {call[1] for call in calls}
    require(done == sorted(done), f"progress goes back: {done}", remedy)
    require(len(totals) == 1, f"the total changes on the way: {sorted(totals)}", remedy)
    require(calls[-1][0] == calls[-1][1] > 0, f"the last report is {calls[-1]}", remedy)


def check_bad_input(subject: Subject) -> None:
    """Input that cannot be used raises InvalidInputError, and the method still works afterwards."""
    x = sequences()
    bad: dict[str, dict[str, Any]] = {
        "two axes": {"inputs": x[0]},
        "letters last": {"inputs": x.transpose(0, 2, 1)},
        "no sequences": {"inputs": x[:0]},
        "a column with two letters": {"inputs": np.ones_like(x)},
        "a letter outside the alphabet": {"inputs": ["ACGTZ"]},
        "sequences of two lengths": {"inputs": ["ACGT", "ACG"]},
        "a length that the model does not take": {"inputs": x[:, :, :7]},
        "batch size 0": {"batch_size": 0},
        "a position past the end": {"positions": [24]},
        "no position": {"positions": []},
        "an unknown target": {"target": "no such output"},
        "an index out of range": {"target": 1},
        "an extra input of too few rows": {"additional_forward_args": extra_rows()[:2]},
    }
    method = subject.bind(subject.model())
    remedy = "override _attribute only, and let Attribution.attribute check its arguments"
    for what, arguments in bad.items():
        try:
            method.attribute(arguments.pop("inputs", x), **arguments)
        except InvalidInputError as error:
            require(str(error), f"{what} raises an error without a message", remedy)
        else:
            require(False, f"{what} raises no InvalidInputError", remedy)
    require_equal(method.attribute(x).scores, subject.result.scores, "a good call after the bad ones", remedy)


def check_other_frameworks_are_refused(subject: Subject) -> None:
    """A model of a framework that the tags do not name raises UnsupportedError when the method is bound."""
    for framework in installed_frameworks():
        if framework in subject.method.tags.frameworks:
            continue
        other = Subject(subject.method, framework, subject.options)
        try:
            other.bind(other.model())
        except UnsupportedError:
            continue
        require(False, f"a {framework} model is taken, but the tags do not name it", "name it in Tags.frameworks")
