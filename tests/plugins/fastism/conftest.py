"""Windows everywhere: the small models of these tests would gain nothing by them, and so would never run on them."""

import inspect

import pytest

from attribution_bench_plugins.fastism import FastISM


@pytest.fixture(autouse=True)
def windows_wherever_there_is_a_rule(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Leave the choice between windows and full passes to tests marked ``own_choice``."""
    if request.node.get_closest_marker("own_choice") is None:
        monkeypatch.setitem(inspect.unwrap(FastISM.__init__).__kwdefaults__, "min_speedup", 0.0)
