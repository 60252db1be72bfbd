"""The catalogue: models of other packages, from adapters that are laid down as pip would."""

from pathlib import Path

import numpy as np
import pytest

from attribution_bench.errors import MissingDependencyError, ModelError, PluginError, UnknownNameError
from attribution_bench.models.adapters import ADAPTERS, get_catalogued, list_catalogue
from attribution_bench.models.loading import model_source
from installed_plugins import install

CODE = """
from attribution_bench.models.adapters import Adapter, ModelCard
import torch

class Zoo(Adapter):
    def cards(self):
        common = dict(package={package!r}, outputs="a number", licence="MIT", citation="Someone 2020")
        return (
            ModelCard("zoo_fixed", "a sum", length=30, target="0", **common),
            ModelCard("zoo_any", "a mean", length=None, options={{"scale": "a factor"}}, **common),
            ModelCard("zoo_empty", "untrained", length=None, weights=False, **common),
        )

    def open(self, name, **options):
        if name == "zoo_any" and options.get("scale") == 13:
            raise RuntimeError("no such scale")
        model = torch.nn.Sequential(torch.nn.Conv1d(4, 2, 3), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten())
        model.given = (name, options)
        return model

    def sequence_options(self, name, **options):
        return {{"layout": "NAL", "output_names": ("level",)}} if name == "zoo_fixed" else {{}}
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the adapter as a distribution of its own, which is the package that its models need."""
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "zoo-of-tests", {"zoo": "Zoo"}, CODE.format(package="zoo-of-tests"), ADAPTERS)
    return "zoo-of-tests"


@pytest.mark.usefixtures("zoo")
def test_models_are_opened_by_name() -> None:
    assert {"zoo_any", "zoo_fixed"} <= {card.name for card in list_catalogue()}
    source = model_source("zoo_fixed")
    assert (source.kind, source.default_length, source.label) == ("catalogued", 30, "zoo_fixed")
    assert (source.default_target, source.default_effects) == ("0", None)
    model = source.open(length=30)
    assert model.model.given == ("zoo_fixed", {})
    assert list(model.predict(np.zeros((1, 4, 30), np.float32))) == ["level"]
    assert model_source("zoo_any?scale=2").open(length=50).model.given == ("zoo_any", {"scale": 2, "length": 50})


@pytest.mark.usefixtures("zoo")
def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ModelError, match="zoo_fixed takes sequences of 30 letters, not 31"):
        model_source("zoo_fixed").open(length=31)
    with pytest.raises(ModelError, match="zoo_any has no option depth; it takes scale, length"):
        model_source("zoo_any?depth=3").open()
    with pytest.raises(ModelError, match=r"no weights; give a file of them: zoo_empty\?weights=FILE"):
        model_source("zoo_empty").open()
    with pytest.raises(ModelError, match="zoo_any cannot be opened: RuntimeError: no such scale"):
        model_source("zoo_any?scale=13").open()
    with pytest.raises(UnknownNameError, match="zoo_fixed"):
        get_catalogued("zoo_fixd")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "other-zoo", {"zoo": "Zoo"}, CODE.format(package="not-installed-here"), ADAPTERS)
    found = get_catalogued("zoo_fixed")
    assert not found.card.installed
    with pytest.raises(MissingDependencyError, match="pip install not-installed-here"):
        model_source("zoo_fixed").open()


@pytest.mark.usefixtures("zoo")
def test_two_adapters_of_one_name_are_an_error(tmp_path: Path) -> None:
    install(tmp_path, "second-zoo", {"second": "Zoo"}, CODE.format(package="second-zoo"), ADAPTERS)
    with pytest.raises(PluginError, match=r"two adapters open the model 'zoo_any'"):
        model_source("zoo_any")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("broken = 3\n", "is registered as 3, which is no subclass of Adapter"),
        ("raise OSError('no disk')\n", "cannot be loaded: OSError: no disk"),
        (CODE.format(package="a") + "\nclass broken(Zoo):\n    def __init__(self): 1 / 0\n", "cannot be made: ZeroDiv"),
    ],
)
@pytest.mark.usefixtures("zoo")
def test_a_broken_adapter_is_named_and_the_others_are_used(code: str, words: str, tmp_path: Path) -> None:
    distribution = f"broken-zoo-{len(code)}"
    install(tmp_path, distribution, {"broken": "broken"}, code, ADAPTERS)
    with pytest.warns(RuntimeWarning, match=f"the adapter 'broken'.*{words}"):
        assert "zoo_any" in {card.name for card in list_catalogue()}
    with pytest.warns(RuntimeWarning, match="the adapter 'broken'"):
        assert model_source("zoo_fixed").default_length == 30
