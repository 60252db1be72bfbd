"""Plugins as other people's packages install them: found, checked, broken, and clashing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import attribution_bench as ab
from attribution_bench.errors import PluginError, PluginWarning, UnknownNameError
from attribution_bench.registry import working_methods
from attribution_bench.testing import check_method
from installed_plugins import install

EXAMPLE = re.search(r"```python\n(.*?)```", (Path(__file__).parents[1] / "plugins/README.md").read_text(), re.DOTALL)


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def in_a_new_process(code: str) -> dict[str, object]:
    command = [sys.executable, "-W", "error", "-c", f"import json, sys\n{code}"]
    result: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


def test_built_in_methods_and_models_are_found():
    assert {"deepshap", "fastism", "gradient_x_input", "integrated_gradients", "standard_ism"} <= set(ab.list_methods())
    assert {"basset", "bpnet", "factorized_basset"} <= set(ab.list_models())


def test_a_third_party_method_is_found_and_passes_every_check(site_packages):
    assert EXAMPLE is not None
    install(site_packages, "occlusion", {"occlusion": "Occlusion"}, EXAMPLE[1])
    assert "occlusion" in ab.list_methods()
    outcomes = check_method(ab.get_method("occlusion"), frameworks=["torch"])
    assert len(outcomes) > 15
    assert {outcome.status for outcome in outcomes} == {"passed"}


def test_a_third_party_model_is_found(site_packages):
    code = "def build(length):\n    return f'a model of {length}'\n"
    install(site_packages, "model-plugin", {"theirs": "build"}, code, "attribution_bench.models")
    assert "theirs" in ab.list_models()
    assert ab.get_model("theirs")(7) == "a model of 7"


def test_a_broken_plugin_is_named_and_spoils_nothing(site_packages):
    install(site_packages, "broken-plugin", {"broken": "Method"}, "import a_module_that_is_not_there\n")
    assert {"broken", "standard_ism"} <= set(ab.list_methods())
    with pytest.raises(PluginError, match=r"broken_plugin:Method of broken-plugin.*a_module_that_is_not_there"):
        ab.get_method("broken")
    with pytest.warns(RuntimeWarning, match="broken-plugin"):
        methods = working_methods()
    assert "broken" not in methods
    assert methods["standard_ism"] is ab.get_method("standard_ism")


def test_a_method_whose_package_is_missing_spoils_no_other(site_packages):
    missing = "from attribution_bench.errors import MissingDependencyError as Missing\n"
    code = f"{missing}raise Missing('it needs a lib')\n"
    install(site_packages, "lacking-plugin", {"lacking": "Method"}, code)
    with pytest.warns(PluginWarning, match="'lacking' is left out: it needs a lib"):
        methods = working_methods()
    assert "lacking" not in methods
    assert "standard_ism" in methods


def test_a_plugin_that_registers_something_else(site_packages):
    install(site_packages, "odd-plugin", {"odd": "Method", "gone": "Nothing"}, "Method = 3\n")
    with pytest.raises(PluginError, match="no subclass of Attribution"):
        ab.get_method("odd")
    with pytest.raises(PluginError, match="Nothing"):
        ab.get_method("gone")


def test_two_plugins_of_one_name(site_packages):
    install(site_packages, "first-plugin", {"same": "A", "fastism": "A"}, "A = 1\n")
    install(site_packages, "second-plugin", {"same": "B"}, "B = 2\n")
    with pytest.raises(PluginError, match=r"two plugins .*'same'.*(first|second)-plugin.*(first|second)-plugin"):
        ab.get_method("same")
    with pytest.raises(PluginError, match=r"two plugins .*'fastism'.*attribution-bench"):
        ab.get_method("fastism")


def test_one_distribution_seen_twice_is_no_clash(site_packages, tmp_path_factory, monkeypatch):
    again = tmp_path_factory.mktemp("again")
    for folder in (site_packages, again):
        install(folder, "twin-plugin", {"twin": "Twin"}, "Twin = object\n")
    monkeypatch.syspath_prepend(str(again))
    with pytest.raises(PluginError, match="no subclass"):
        ab.get_method("twin")


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(
        UnknownNameError, match=r"unknown method 'fastim'; did you mean 'fastism'\? known: .*standard_ism"
    ):
        ab.get_method("fastim")


def test_importing_and_listing_load_no_framework():
    heavy = ["torch", "tensorflow", "keras", "captum", "shap"]
    found = in_a_new_process(
        "import attribution_bench as ab, attribution_bench.testing\n"
        "listed = ab.list_methods() + ab.list_models()\n"
        f"print(json.dumps({{'listed': len(listed), 'loaded': [m for m in {heavy} if m in sys.modules]}}))"
    )
    assert found["loaded"] == []
    assert found["listed"] >= 8


@pytest.mark.parametrize("name", ["deepshap", "fastism", "gradient_x_input", "integrated_gradients", "standard_ism"])
def test_loading_a_method_class_loads_no_framework(name):
    heavy = ["torch", "tensorflow", "keras", "captum", "shap"]
    found = in_a_new_process(
        f"import attribution_bench as ab\nmethod = ab.get_method({name!r})\n"
        f"print(json.dumps({{'name': method.name, 'loaded': [m for m in {heavy} if m in sys.modules]}}))"
    )
    assert found == {"name": name, "loaded": []}
