"""Which checks a method must pass, and one call that runs them all."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from attribution_bench.attribution import Attribution, Tags
from attribution_bench.testing.checks import declared, inputs, model_state, results
from attribution_bench.testing.subject import Subject, installed_frameworks

Check = Callable[[Subject], None]


class ConformanceError(AssertionError):
    """A method does not keep the contract; the message lists every check that failed."""


@dataclass(frozen=True)
class Outcome:
    """What one check of a method found."""

    method: str
    framework: str
    check: str
    status: Literal["passed", "failed", "known failure"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.method} on {self.framework}, {self.check}: {self.status}{': ' * bool(self.reason)}{self.reason}"


def checks_for(tags: Tags) -> Iterator[Check]:
    """Yield the checks that apply to a method of these tags, in the order in which to mend what fails."""
    yield declared.check_name_and_tags
    yield inputs.check_other_frameworks_are_refused
    yield results.check_shapes_and_types
    if tags.gives_predictions:
        yield declared.check_predictions_are_given
    else:
        yield declared.check_scores_are_given
    if tags.exact:
        yield declared.check_predictions_are_exact
        yield declared.check_predictions_are_exact_with_extra_input
        yield declared.check_listed_mutations_are_exact
    if tags.needs_references:
        yield declared.check_convergence_delta
    yield inputs.check_strings_equal_one_hot
    yield inputs.check_unknown_letters
    yield inputs.check_deterministic
    yield inputs.check_batch_size_does_not_matter
    yield inputs.check_sequences_do_not_mix
    yield inputs.check_extra_input
    yield results.check_index_name_and_all_agree
    yield results.check_reducers
    yield results.check_positions_are_a_slice
    yield results.check_metadata
    yield results.check_save_and_load
    yield inputs.check_progress
    yield inputs.check_bad_input
    yield model_state.check_model_left_as_found
    yield model_state.check_model_left_as_found_after_an_error


def known_failures(method: type[Attribution]) -> Mapping[str, str]:
    """Return the checks that a method's class says it fails, in its attribute ``known_failures``.

    Keys are a check's name, or ``"check_name[framework]"``; values are the reason.
    """
    failures: Mapping[str, str] = getattr(method, "known_failures", {})
    return failures


def known_failure(subject: Subject, check: Check) -> str | None:
    """Return the reason why a method is known to fail a check on a framework; None where it must pass."""
    failures = known_failures(subject.method)
    return failures.get(f"{check.__name__}[{subject.framework}]", failures.get(check.__name__))


def check_method(
    method: type[Attribution], *, frameworks: Iterable[str] | None = None, **options: Any
) -> tuple[Outcome, ...]:
    """Run every check that applies to a method, in each framework that it declares and that is installed here.

    Parameters
    ----------
    method
        The class, as `attribution_bench.get_method` returns it.
    frameworks
        Run on these only, of those that the method declares.
    options
        Options of the method, where its defaults need more than a small model offers.

    Returns
    -------
    What each check found; only passes and known failures.

    Raises
    ------
    ConformanceError
        Some check failed, or a check that is declared a known failure passed; or there was no framework to run on.
    """
    declared_here = method.tags.frameworks & set(installed_frameworks())
    chosen = sorted(declared_here & set(frameworks) if frameworks is not None else declared_here)
    if not chosen:
        raise ConformanceError(
            f"{method.name} was not checked: it declares {sorted(method.tags.frameworks)}, and installed here are "
            f"{', '.join(installed_frameworks()) or 'neither torch nor keras'}"
        )
    subjects = [Subject(method, framework, options) for framework in chosen]
    outcomes = tuple(run_check(subject, check) for subject in subjects for check in checks_for(method.tags))
    failed = [str(outcome) for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise ConformanceError(f"{len(failed)} of {len(outcomes)} checks failed\n" + "\n".join(failed))
    return outcomes


def run_check(subject: Subject, check: Check) -> Outcome:
    """Run one check; an error of any kind is a failure, of which the outcome tells."""
    reason = known_failure(subject, check)
    where = (subject.method.name, subject.framework, check.__name__)
    try:
        check(subject)
    except Exception as error:  # a method may fail in any way; it is reported, and the other checks run
        if reason is not None:
            return Outcome(*where, "known failure", reason)
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Outcome(*where, "failed", f"{kind}{error}")
    if reason is not None:
        return Outcome(*where, "failed", f"it passes now, so take it out of known_failures (there: {reason})")
    return Outcome(*where, "passed")
