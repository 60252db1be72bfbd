"""Every installed method, third-party ones included, against the contract.

Run it with ``pytest --pyargs attribution_bench.testing``.

One test a method, framework and check. Methods whose class cannot be loaded fail the first test.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from attribution_bench.registry import get_method, list_methods, working_methods
from attribution_bench.testing.conformance import Check, checks_for, known_failure
from attribution_bench.testing.subject import Subject, installed_frameworks


def _cases() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # test_loads reports the methods that cannot be loaded
        methods = working_methods()
    for name, method in methods.items():
        for framework in sorted(method.tags.frameworks & set(installed_frameworks())):
            subject = Subject(method, framework)
            for check in checks_for(method.tags):
                reason = known_failure(subject, check)
                marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
                yield pytest.param(subject, check, id=f"{name}-{framework}-{check.__name__}", marks=marks)


@pytest.mark.parametrize("name", list_methods())
def test_loads(name: str) -> None:
    """The class loads, and is registered under its own name."""
    assert get_method(name).name == name


@pytest.mark.parametrize(("subject", "check"), list(_cases()))
def test_conformance(subject: Subject, check: Check) -> None:
    """The method keeps one part of the contract."""
    check(subject)
