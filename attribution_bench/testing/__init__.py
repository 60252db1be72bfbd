"""Checks that every attribution method passes, built in or not.

In a notebook: ``check_method(MyMethod)``. Over everything that is installed, with the extra ``test``:
``pytest --pyargs attribution_bench.testing``. Rules for fastISM: ``check_rules(model, rules, length)``; for
DeepSHAP: ``check_multipliers(model, rules, length)``.
"""

from attribution_bench.testing.conformance import Check, ConformanceError, Outcome, check_method, checks_for
from attribution_bench.testing.multipliers import check_multipliers
from attribution_bench.testing.rules import check_rules
from attribution_bench.testing.subject import Subject

__all__ = [
    "Check",
    "ConformanceError",
    "Outcome",
    "Subject",
    "check_method",
    "check_multipliers",
    "check_rules",
    "checks_for",
]
