"""`attribution-bench models`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.models.adapters import ADAPTERS
from installed_plugins import install

CODE = """
from attribution_bench.models.adapters import Adapter, ModelCard

class Zoo(Adapter):
    def cards(self):
        return (ModelCard("zebra", "stripes of an animal", "zoo-package", 2048, "profile", "GPL", "Someone 2020",
                          target="profile:sum", weights=False),)

    def open(self, name, **options):
        raise AssertionError
"""


def test_models_are_listed_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "zebra-zoo", {"zoo": "Zoo"}, CODE, ADAPTERS)
    listed = command("models")
    assert listed.code == 0
    assert "basset" in listed.out
    (line,) = (line for line in listed.out.splitlines() if "zebra" in line)
    assert "2,048" in line
    assert "zoo-package" in line
    one = command("models", "zebra")
    assert one.code == 0
    for fact in (
        "stripes of an animal",
        "pip install zoo-package",
        "zebra?weights=FILE",
        "profile:sum",
        "GPL",
        "Someone",
    ):
        assert fact in one.out


def test_an_unknown_model_is_bad_input(command: Callable[..., Any]) -> None:
    result = command("models", "no_such_model")
    assert result.code == 2
    assert "no_such_model" in result.err
