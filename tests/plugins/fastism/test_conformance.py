"""The contract on windows: the small models of the conformance checks take full passes where fastISM may choose."""

import pytest

import attribution_bench as ab
from attribution_bench.testing import check_method


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_contract_is_kept_on_windows(framework: str) -> None:
    outcomes = check_method(ab.get_method("fastism"), frameworks=[framework])
    assert {outcome.status for outcome in outcomes} == {"passed"}
