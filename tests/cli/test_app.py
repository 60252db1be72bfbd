import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

from attribution_bench.cli.app import app
from attribution_bench.cli.methods import installed

HEAVY = ("torch", "tensorflow", "keras", "captum", "shap", "matplotlib")
COMMANDS = ("methods", "reproduce-paper", "benchmark", "engine", "explain", "compare", "demo", "plot", "report")


def test_help_imports_no_framework() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['attribution-bench', '--help']\n"
        "from attribution_bench.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code, ended.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "methods"])
def test_help_shows_examples_line_by_line(command: Any, name: str) -> None:
    outcome = command(name, "--help")
    assert outcome.code == 0
    assert f"\n    attribution-bench {name} " in outcome.out


def test_commands_that_name_the_code_of_one_signal_name_that_of_the_other() -> None:
    told = {command.callback.__name__: command.callback.__doc__ or "" for command in app.registered_commands}
    of_signals = [name for name, text in told.items() if "130" in text or "143" in text]
    assert len(of_signals) > 5
    assert [name for name in of_signals if "130" not in told[name] or "143" not in told[name]] == []


def test_the_version_is_said(command: Any) -> None:
    outcome = command("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"attribution-bench {version('attribution-bench')}\n", "")
    assert "--version" in command("--help").out


def test_methods_are_listed_with_their_tags(command: Any) -> None:
    outcome = command("methods")
    assert outcome.code == 0
    line = next(line for line in outcome.out.splitlines() if "standard_ism" in line)
    assert "keras, torch" in line
    assert line.count("yes") == 2
    assert f"Of the frameworks: {installed({'keras', 'torch'})}" in outcome.out
    headings = next(line for line in outcome.out.splitlines() if "frameworks" in line).split()
    assert headings[1:] == ["frameworks", "gradient", "references", "predictions", "exact"]
    assert all(f"{heading}:" in " ".join(outcome.out.split()) for heading in headings[2:])


def test_what_is_installed_of_the_frameworks_is_told() -> None:
    assert installed({"numpy", "no_such_framework"}) == "no_such_framework is not, numpy is installed"


def test_a_broken_plugin_is_named_and_the_others_listed(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench import registry
    from attribution_bench.errors import PluginError

    working = registry.get_method

    def get(name: str) -> Any:
        if name == "deepshap":
            raise PluginError("the method 'deepshap' cannot be loaded: ImportError: no [bracketed] thing")
        return working(name)

    monkeypatch.setattr(registry, "get_method", get)
    outcome = command("methods")
    assert outcome.code == 0
    assert "standard_ism" in outcome.out
    assert "cannot be loaded" in outcome.out
    assert "no [bracketed] thing" in outcome.err


@pytest.mark.parametrize("arguments", [("nonsense",), ("report",), ("reproduce-paper", "--budget", "soon")])
def test_wrong_usage_exits_with_2(command: Any, arguments: tuple[str, ...]) -> None:
    assert command(*arguments).code == 2
