"""Checks that a method does what its tags declare."""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import CONVENTIONS
from attribution_bench.models import SequenceModel
from attribution_bench.mutagenesis import InSilicoMutagenesis
from attribution_bench.mutations import Mutation
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import DNA
from attribution_bench.testing.checks.requirements import require, require_equal
from attribution_bench.testing.subject import STRINGS, Subject, extra_rows, sequences


def check_name_and_tags(subject: Subject) -> None:
    """The class has a name that a file can carry, and tags that do not contradict each other."""
    name, tags = subject.method.name, subject.method.tags
    require(name.isidentifier(), f"the name {name!r} is no identifier", "use letters, digits and underscores")
    known = {"torch", "keras"}
    require(
        tags.frameworks and tags.frameworks <= known, f"frameworks are {set(tags.frameworks)}", f"name some of {known}"
    )
    require(
        tags.gives_predictions or not tags.exact,
        "exact says that predictions equal the model's own, but the method gives none",
        "set gives_predictions too, or take exact away",
    )
    require(
        not (tags.full_passes and tags.partial_passes),
        "full_passes and partial_passes are both set",
        "set one, or neither where the method takes now this and now that",
    )
    require(
        tags.gives_predictions or not (tags.full_passes or tags.partial_passes),
        "full_passes and partial_passes say how predictions are made, but the method gives none",
        "set gives_predictions too, or take them away",
    )
    for tag, attribute in (("explains", "explain"), ("profiles", "profile")):
        require(
            not getattr(tags, tag) or callable(getattr(subject.method, attribute, None)),
            f"{tag} is set, but the class has no method {attribute!r}",
            f"write {attribute!r} as the tag's description says, or take {tag} away",
        )


def check_predictions_are_given(subject: Subject) -> None:
    """``gives_predictions``: predictions (N, A, P, *output) and references (N, *output), read in any convention."""
    result = subject.result_of_several
    shapes = {name: values.shape for name, values in result.predictions.items()}
    expected = {"profile": (3, 4, 24, 3), "count": (3, 4, 24, 1)}
    remedy = "fill predictions and reference_predictions of RawAttribution, one entry a Selection"
    require(shapes == expected, f"predictions have shapes {shapes} instead of {expected}", remedy)
    for name, reference in result.reference_predictions.items():
        there = np.einsum("nap...,nap->np...", result.predictions[name], result.one_hot)
        known = result.one_hot.any(axis=1)
        everywhere = np.broadcast_to(reference[:, None], there.shape)
        require_equal(there[known], everywhere[known], f"prediction of {name} with the reference letter", remedy)
    for convention in CONVENTIONS:
        scores = result.with_convention(convention).scores
        require(np.isfinite(scores).all(), f"scores under {convention!r} are not finite", remedy)


def check_scores_are_given(subject: Subject) -> None:
    """Without ``gives_predictions`` the scores are the method's own, and no predictions come with them."""
    result = subject.result_of_several
    remedy = "fill RawAttribution.scores, or set gives_predictions in the tags"
    require(result.stored_scores is not None, "the method returned no scores", remedy)
    require(not result.predictions, f"the method returned predictions of {set(result.predictions)}", remedy)


def check_predictions_are_exact(subject: Subject) -> None:
    """``exact``: every prediction equals a forward pass of the mutated sequence, unknown letters included."""
    model = subject.model("several_outputs")
    _require_exact(model, subject.bind(model).attribute(sequences(), target="all"), ())


def check_predictions_are_exact_with_extra_input(subject: Subject) -> None:
    """``exact`` holds on a model of two inputs, and when only some positions are asked for."""
    model = subject.model("extra_input")
    method = subject.bind(model)
    result = method.attribute(
        sequences(), target="all", additional_forward_args=extra_rows(), positions=slice(6, 14), batch_size=5
    )
    _require_exact(model, result, (extra_rows(),))


def check_listed_mutations_are_exact(subject: Subject) -> None:
    """``exact`` holds for listed mutations: windows, unknown letters, insertions and deletions, in their order."""
    model = subject.model("several_outputs")
    method = subject.bind(model)
    if not isinstance(method, InSilicoMutagenesis):
        raise AssertionError(
            f"{subject.method.name} predicts no listed mutations. To mend: derive from InSilicoMutagenesis, whose own "
            "way, full passes, is right for every model"
        )
    mutations = [
        Mutation(sequence, position, replacement, deleted)
        for replacement, deleted in (("ACGTA", None), ("NNN", None), ("T", 0), ("", 2), ("GG", 1))
        for position in (12, 0, 19)
        for sequence in (1, 0, 2)
    ]
    result = method.predict_mutations(sequences(), mutations, target="all", batch_size=4)
    truth = model.predict(DNA.one_hot([_spliced(mutation) for mutation in mutations]))
    remedy = "compare with standard_ism on this list; mend `_predict_mutations`, or take exact away"
    for name, expected in truth.items():
        require_equal(result.predictions[name], expected, f"listed predictions of {name} against full passes", remedy)
    for name, expected in model.predict(sequences()).items():
        require_equal(result.reference_predictions[name], expected, f"reference predictions of {name}", remedy)


def check_convergence_delta(subject: Subject) -> None:
    """``needs_references``: the result says how far the scores are from explaining the whole difference."""
    delta = subject.result.convergence_delta
    remedy = "fill RawAttribution.convergence_delta, (N,) or (N, references), or take needs_references away"
    require(delta is not None, "there is no convergence delta", remedy)
    delta = np.asarray(delta)
    require(delta.shape[:1] == (3,), f"the convergence delta of 3 sequences has shape {delta.shape}", remedy)
    require(np.isfinite(delta).all(), "the convergence delta is not finite", remedy)


def _spliced(mutation: Mutation) -> str:
    """Return the mutated sequence, as long as it was."""
    sequence, replacement = STRINGS[mutation.sequence], str(mutation.replacement)
    deleted = len(replacement) if mutation.deleted is None else mutation.deleted
    after = sequence[mutation.position + deleted :] + "N" * deleted
    return (sequence[: mutation.position] + replacement + after)[: len(sequence)]


def _require_exact(model: SequenceModel, result: AttributionResult, extras: tuple[NDArray[np.float32], ...]) -> None:
    x, positions = sequences(), result.positions
    count, alphabet, places = len(x), x.shape[1], len(positions)
    mutated = np.repeat(x[:, None, None], alphabet * places, axis=1).reshape(count, alphabet, places, *x.shape[1:])
    for letter in range(alphabet):
        for place, position in enumerate(positions):
            mutated[:, letter, place, :, position] = np.eye(alphabet)[letter]
    rows = tuple(np.repeat(extra, alphabet * places, axis=0) for extra in extras)
    truth = model.predict(mutated.reshape(-1, *x.shape[1:]), rows)
    remedy = "compare with standard_ism on this model; mend the method, or take exact away"
    for name, values in truth.items():
        expected = values.reshape(count, alphabet, places, *values.shape[1:])
        require_equal(result.predictions[name], expected, f"predictions of {name} against forward passes", remedy)
    for name, values in model.predict(x, extras).items():
        require_equal(result.reference_predictions[name], values, f"reference predictions of {name}", remedy)
