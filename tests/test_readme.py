"""What the documents say works, as written: Python runs, commands parse, links lead somewhere."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from attribution_bench.cli.app import app
from attribution_bench.models.adapters import ADAPTERS
from attribution_bench.registry import METHODS
from attribution_bench_plugins.fastism.ops.custom_rules import GROUP

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "plugins/README.md",
        ROOT / "plugins/attribution_bench_plugins/fastism/README.md",
        *(ROOT / "docs").glob("*.md"),
    )
)
QUICK = {"attribution-bench methods"}


def text(document):
    return (ROOT / document).read_text()


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text(document), re.DOTALL | re.MULTILINE)


def commands():
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            for line in block.splitlines():
                command = line.split("  #")[0].strip()
                if command:
                    yield command


def test_every_block_is_of_a_kind_that_is_tested():
    for document in DOCUMENTS:
        assert set(re.findall(r"^```(\w+)", text(document), re.MULTILINE)) <= {"python", "sh", "toml"}, document


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if blocks(document, "python")])
def test_python_runs_as_written(document, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in blocks(document, "python"):
        exec(compile(block, document, "exec"), namespace)


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("attribution-bench ")}))
def test_command_lines_parse(command):
    name, *arguments = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    subcommand = group.get_command(None, name)
    assert subcommand is not None, name
    subcommand.make_context(name, arguments)


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("make ")}))
def test_make_targets_exist(command):
    run = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_command_is_of_a_kind_that_is_tested():
    assert {shlex.split(command)[0] for command in commands()} == {"attribution-bench", "make", "modisco", "pytest"}


@pytest.mark.parametrize("command", sorted(QUICK & set(commands())))
def test_quick_commands_run(command):
    program = "from attribution_bench.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", program, *shlex.split(command)[1:]], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "standard_ism" in run.stdout


def test_the_registration_of_a_method():
    method, _ = blocks("plugins/README.md", "toml")
    assert tomllib.loads(method)["project"]["entry-points"] == {METHODS: {"occlusion": "occlusion:Occlusion"}}


def test_the_registration_of_an_adapter():
    _, adapter = blocks("plugins/README.md", "toml")
    assert tomllib.loads(adapter)["project"]["entry-points"] == {ADAPTERS: {"mylab": "mylab_adapter:MyLab"}}


def test_the_registration_of_a_rule():
    (block,) = blocks("docs/rules.md", "toml")
    rules = {"mylib::attention_pool": "mylib.rules:attention_pool_rule"}
    assert tomllib.loads(block)["project"]["entry-points"] == {GROUP: rules}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(document)):
        path, _, anchor = target.partition("#")
        # The report of `make reproduce-paper` is written by a run, not by hand.
        if "://" in target or path.removeprefix("../").startswith("reports/"):
            continue
        page = (ROOT / document).parent / path if path else ROOT / document
        assert page.exists(), target
        if page.suffix != ".md":
            continue
        lines = [line for line in page.read_text().splitlines() if line[:1] == "#"]
        headings = [re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in lines]
        assert not anchor or anchor in headings, target


def test_the_table_of_the_readme_is_the_measured_one():
    namespace = {"__name__": "update_readme", "__file__": str(ROOT / "docs/update_readme.py")}
    exec((ROOT / "docs/update_readme.py").read_text(), namespace)
    (found,) = namespace["BLOCK"].findall(text("README.md"))
    assert found == namespace["table"](), "run `make readme`"


def test_the_map_of_the_engine_names_files_that_exist():
    engine = ROOT / "plugins/attribution_bench_plugins/fastism"
    named = set(re.findall(r"`([\w/]+\.py)`", text(f"{engine.relative_to(ROOT).as_posix()}/README.md")))
    known = {path.relative_to(engine).as_posix() for path in engine.rglob("*.py")}
    known |= {path.split("/", 1)[1] for path in known if "/" in path}
    assert {name for name in named if name not in known and not (ROOT / name).is_file()} == set()
