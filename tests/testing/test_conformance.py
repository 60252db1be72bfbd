"""The checks themselves: each kind of fault, put into a right method, is caught by the check that is meant for it."""

import re
from typing import ClassVar

import numpy as np
import pytest

from attribution_bench import Attribution, RawAttribution, Tags, get_method
from attribution_bench.testing import ConformanceError, Subject, check_method, checks_for
from attribution_bench.testing.conformance import run_check

StandardISM = get_method("standard_ism")


class Sound(Attribution):
    """Gradient x Input written out for one framework, right in every respect."""

    name = "sound"
    tags = Tags(frozenset({"torch"}), needs_gradient=True)

    def __init__(self, model):
        super().__init__(model)

    def _attribute(self, request):
        size = request.batch_size or 64
        parts = []
        for start in range(0, len(request.one_hot), size):
            parts.append(self._batch(request, slice(start, start + size)))
            request.progress(min(start + size, len(request.one_hot)), len(request.one_hot))
        return self._result(np.concatenate(parts)[:, :, request.positions])

    def _result(self, scores):
        return RawAttribution(scores=scores[..., 0] if scores.shape[-1] == 1 and self.squeeze else scores)

    def _batch(self, request, rows):
        import torch

        model = self.model
        x = model.to_tensor(request.one_hot[rows]).requires_grad_()
        outputs = model.forward(x, tuple(model.to_tensor(extra[rows]) for extra in request.extras))
        selected = [model.select(outputs, s) for s in request.selections]
        self.squeeze = len(selected) == 1 and selected[0].ndim == 1
        columns = torch.cat([value.reshape(len(x), -1) for value in selected], dim=1).unbind(1)
        gradients = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in columns]
        return model.to_numpy(torch.stack([gradient * x for gradient in gradients], dim=-1))


class WrongPlaces(Sound):
    def _attribute(self, request):
        raw = super()._attribute(request)
        return RawAttribution(scores=np.roll(raw.scores, len(request.positions) // 10, axis=2))


class Random(Sound):
    def _attribute(self, request):
        raw = super()._attribute(request)
        return RawAttribution(scores=raw.scores * np.random.default_rng().random())


class BatchDependent(Sound):
    def _batch(self, request, rows):
        batch = super()._batch(request, rows)
        return batch / len(batch)


class IgnoresExtra(Sound):
    def _batch(self, request, rows):
        extras = tuple(np.ones_like(extra) for extra in request.extras)
        return super()._batch(type(request)(**{**vars(request), "extras": extras}), rows)


class Hooks(Sound):
    def _attribute(self, request):
        handle = self.model.model.register_forward_hook(lambda *arguments: None)
        raw = super()._attribute(request)
        handle.remove()
        return raw


class Trains(Sound):
    def _batch(self, request, rows):
        self.model.model.train()
        return super()._batch(request, rows)


class Silent(Sound):
    def _attribute(self, request):
        return super()._attribute(type(request)(**{**vars(request), "progress": lambda done, total: None}))


class Numbers(Sound):
    def _result(self, scores):
        raw = super()._result(scores)
        return RawAttribution(scores=raw.scores, metadata={"steps": np.int64(3)})


class Everywhere(Sound):
    def _batch(self, request, rows):
        return super()._batch(request, rows) + 1


class OnlyFirst(Sound):
    def _attribute(self, request):
        return super()._attribute(type(request)(**{**vars(request), "selections": request.selections[:1]}))


class Doubles(Sound):
    def _result(self, scores):
        return RawAttribution(scores=super()._result(scores).scores.astype(np.float64))


class NoDelta(Sound):
    tags = Tags(frozenset({"torch"}), needs_references=True)


class Lenient(Sound):
    def attribute(self, inputs, **arguments):
        arguments["batch_size"] = arguments.get("batch_size") or None
        return super().attribute(inputs, **arguments)


class NeverRaises(Sound):
    def attribute(self, inputs, **arguments):
        try:
            return super().attribute(inputs, **arguments)
        except Exception:
            return None


class Approximate(StandardISM):
    name = "approximate"

    def _attribute(self, request):
        raw = super()._attribute(request)
        predictions = {name: values.copy() for name, values in raw.predictions.items()}
        for values in predictions.values():
            values[1, 2, 3] += 0.01 * np.abs(values).max()
        return RawAttribution(predictions=predictions, reference_predictions=raw.reference_predictions)


class Disordered(StandardISM):
    name = "disordered"

    def _predict_mutations(self, request, edits):
        return super()._predict_mutations(request, sorted(edits, key=lambda edit: edit.sequence))


class Contradicts(Sound):
    tags = Tags(frozenset({"torch"}), exact=True)


class TakesBothPasses(StandardISM):
    tags = Tags(frozenset({"torch"}), gives_predictions=True, full_passes=True, partial_passes=True)


class TakesPassesForNothing(Sound):
    tags = Tags(frozenset({"torch"}), full_passes=True)


class ExplainsNothing(Sound):
    tags = Tags(frozenset({"torch"}), explains=True)


class ProfilesNothing(Sound):
    tags = Tags(frozenset({"torch"}), profiles=True)


FAULTS = {
    WrongPlaces: "check_positions_are_a_slice",
    Random: "check_deterministic",
    BatchDependent: "check_batch_size_does_not_matter",
    IgnoresExtra: "check_extra_input",
    Hooks: "check_model_left_as_found_after_an_error",
    Trains: "check_deterministic",
    Silent: "check_progress",
    Numbers: "check_metadata",
    Everywhere: "check_unknown_letters",
    OnlyFirst: "check_index_name_and_all_agree",
    Doubles: "check_shapes_and_types",
    NoDelta: "check_convergence_delta",
    Lenient: "check_bad_input",
    NeverRaises: "check_model_left_as_found_after_an_error",
    Approximate: "check_predictions_are_exact",
    Disordered: "check_listed_mutations_are_exact",
    Contradicts: "check_name_and_tags",
    TakesBothPasses: "check_name_and_tags",
    TakesPassesForNothing: "check_name_and_tags",
    ExplainsNothing: "check_name_and_tags",
    ProfilesNothing: "check_name_and_tags",
}


def run(method, name):
    (check,) = (check for check in checks_for(method.tags) if check.__name__ == name)
    return run_check(Subject(method, "torch"), check)


def test_a_sound_method_passes():
    outcomes = check_method(Sound)
    assert {outcome.status for outcome in outcomes} == {"passed"}
    assert {outcome.framework for outcome in outcomes} == {"torch"}


@pytest.mark.parametrize(("method", "check"), FAULTS.items(), ids=[method.__name__ for method in FAULTS])
def test_a_fault_is_caught_by_its_check(method, check):
    outcome = run(method, check)
    assert outcome.status == "failed"
    assert outcome.reason


def test_the_call_lists_every_failure_and_how_to_mend_it():
    with pytest.raises(ConformanceError) as caught:
        check_method(Silent)
    assert re.search(
        r"sound on torch, check_progress: failed: progress was never reported\. To mend: call", str(caught.value)
    )


def test_a_known_failure_carries_its_reason():
    class Known(Silent):
        known_failures: ClassVar = {"check_progress[torch]": "the work is one call"}

    outcome = run(Known, "check_progress")
    assert (outcome.status, outcome.reason) == ("known failure", "the work is one call")
    assert {o.check for o in check_method(Known) if o.status != "passed"} == {"check_progress"}


def test_a_known_failure_that_passes_is_told():
    class Mended(Sound):
        known_failures: ClassVar = {"check_progress": "no longer true"}

    assert run(Mended, "check_progress").status == "failed"


def test_a_framework_that_is_not_there():
    with pytest.raises(ConformanceError, match="was not checked"):
        check_method(Sound, frameworks=["keras"])


@pytest.mark.parametrize("exact", [True, False])
def test_checks_follow_the_tags(exact):
    tags = Tags(frozenset({"torch"}), gives_predictions=exact, exact=exact, needs_references=not exact)
    names = {check.__name__ for check in checks_for(tags)}
    assert ("check_predictions_are_exact" in names) == exact
    assert ("check_listed_mutations_are_exact" in names) == exact
    assert ("check_scores_are_given" in names) != exact
    assert ("check_convergence_delta" in names) != exact
