"""What the documents say works, as written: Python runs, commands parse, links lead somewhere."""

import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from markdown_it import MarkdownIt

import attribution_bench as ab
from attribution_bench.benchmark.logo_scores import LogoScores
from attribution_bench.benchmark.paper import CITATION
from attribution_bench.benchmark.results import load_records
from attribution_bench.cli.app import app
from attribution_bench.demo import demonstration_sequences
from attribution_bench.models.adapters import ADAPTERS
from attribution_bench.registry import METHODS
from attribution_bench.reporting.benchmark_tables import csv_table, markdown_table, markdown_text
from attribution_bench.reporting.comparison import compare
from attribution_bench.reporting.latex_tables import ratio_latex
from attribution_bench.reporting.ratio_tables import ratio_markdown
from attribution_bench.reporting.verdict import verdict_sentence
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
    # Packages that read addresses are the user's choice; fsspec itself reads those of memory.
    name, *arguments = shlex.split(command.replace("s3://", "memory://"))[1:]
    group = typer.main.get_command(app)
    subcommand = group.get_command(None, name)
    assert subcommand is not None, name
    subcommand.make_context(name, arguments)


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("make ")}))
def test_make_targets_exist(command):
    run = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_command_is_of_a_kind_that_is_tested():
    kinds = {"attribution-bench", "make", "modisco", "pip", "pytest"}
    assert {shlex.split(command)[0] for command in commands()} == kinds


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("pip ")}))
def test_what_is_installed_has_a_name(command):
    extras = re.findall(r"\[([\w,-]+)\]", command)
    assert extras
    known = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    assert {name for extra in extras for name in extra.split(",")} <= set(known)


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
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', text(document))
    for target in [*re.findall(r"\]\(([^)\s]+)\)", text(document)), *pictures]:
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


@pytest.fixture(scope="module")
def updater():
    """The script that writes the parts of README.md."""
    return script("update_readme")


@pytest.fixture(scope="module")
def picture():
    """The script that measures and draws the picture at the top of README.md."""
    return script("draw_first_picture")


def script(name):
    specification = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["answer", "picture", "table1", "agreement"])
def test_what_the_readme_says_of_measurements_follows_from_their_records(updater, name):
    assert name in updater.BLOCKS
    (found,) = updater.block(name).findall(text("README.md"))
    assert found == updater.BLOCKS[name](), "run `make readme`"


def test_the_tables_of_the_report_follow_from_its_records(updater):
    comparison = compare(load_records(updater.REPORT))
    tables = {"ratios.md": ratio_markdown, "table.md": markdown_table, "table.csv": csv_table, "table.tex": ratio_latex}
    for name, write in tables.items():
        assert (updater.REPORT / name).read_text() == write(comparison), "run `attribution-bench report` on the folder"
    assert f"**{markdown_text(verdict_sentence(comparison))}**" in (updater.REPORT / "README.md").read_text()


def test_every_part_of_the_readme_that_is_written_by_the_script_is_tested(updater):
    assert set(re.findall(r"^<!-- (\w+) -->$", text("README.md"), re.MULTILINE)) == set(updater.BLOCKS)
    assert len(updater.BLOCKS) == 4


def test_a_sentence_that_the_records_do_not_bear_out_stops_the_script(updater, monkeypatch):
    def with_a_slow_fastism(folder):
        slower = {"fastism": 1e4}
        return [
            replace(record, durations=tuple(slower.get(record.workload.method, 1) * took for took in record.durations))
            for record in load_records(folder)
        ]

    monkeypatch.setattr(updater, "load_records", with_a_slow_fastism)
    with pytest.raises(AssertionError, match="written anew"):
        updater.answer()


def test_what_takes_less_for_one_output_follows_from_the_records_of_both_benchmarks(updater):
    """Seconds a sequence, and an output where each takes a run, worked out from the stored rounds."""
    rows = {}
    for folder in (updater.REPORT, updater.ENGINE):
        for record in load_records(folder):
            work, asked, done = record.workload, record.asked, record.done
            if record.durations:
                outputs = 1 if record.tags.gives_predictions else asked.outputs
                taken = statistics.median(record.durations) * asked.total / done.total / asked.sequences / outputs
                place = (folder, work.architecture, work.length, work.framework)
                rows.setdefault(place, {}).setdefault(work.sequences or 0, {})[record.method_label] = taken
    cheaper, run = {}, {}
    for (_, architecture, *_), found in rows.items():
        seconds = found[max(found)]
        for method, taken in seconds.items():
            run.setdefault(method, set()).add(updater.model(architecture))
            if taken < seconds["fastISM"]:
                cheaper.setdefault(method, set()).add(updater.model(architecture))
    assert {"DeepSHAP", "Integrated Gradients"} <= set(cheaper)
    (said,) = re.findall(r"For one output, approximate methods can take less: (.*)\.$", text("README.md"), re.MULTILINE)
    found = {}
    for part in said.split("; "):
        names, on, models = part.removesuffix(" wherever measured").partition(" on ")
        for name in re.split(", | and ", names):
            found[name] = set(re.split(", | and ", models)) if on else run[name]
    assert found == cheaper


def test_the_first_picture_says_what_was_measured(picture):
    """The records, the picture's title and README.md give the same times."""
    fast, slow = (picture.timing().fast, picture.timing().slow)
    seconds = [statistics.median(r.durations) * r.asked.total / r.done.total for r in (fast, slow)]
    assert [picture.per_100(r) for r in (fast, slow)] == pytest.approx(seconds)
    assert picture.timing().times == f"{float(f'{seconds[1] / seconds[0]:.2g}'):g}"
    for name in picture.THEMES:
        svg = (picture.FOLDER / f"{name}.svg").read_text()
        assert len(svg) < 150_000
        assert f"<dc:title>{picture.timing().alternative}</dc:title>" in svg, "run `make picture ARGS=--redraw`"
        painted = {colour.lower() for colour in picture.THEMES[name].letters.values()}
        assert painted <= set(re.findall(r"fill: (#\w{6})", svg)), "run `make picture ARGS=--redraw`"


def test_the_first_pictures_letters_are_what_both_methods_give(picture):
    stored = LogoScores.load(picture.FOLDER / "logos-torch.json")
    planted = demonstration_sequences(picture.SHOWN + 1).sequences
    assert stored.letters == planted.strings[picture.SHOWN][picture.START : picture.STOP]
    model = ab.as_sequence_model(ab.get_model(picture.MODEL)())
    positions = slice(picture.START, picture.STOP)
    one_hot = planted.one_hot()[picture.SHOWN :]
    result = ab.get_method("standard_ism")(model).attribute(one_hot, target=(picture.TARGET, 0), positions=positions)
    for method in stored.methods:
        np.testing.assert_allclose(method.hypothetical, result.scores[0], rtol=0, atol=1e-5 * abs(result.scores).max())


def test_letters_of_the_dark_picture_have_the_contrast_of_graphics(picture):
    assert all(contrast(colour, "#0D1117") >= 3 for colour in picture.THEMES["dark"].letters.values())
    assert contrast(picture.THEMES["dark"].ink, "#0D1117") >= 4.5
    assert contrast(picture.THEMES["light"].ink, "#FFFFFF") >= 4.5


def contrast(first, second):
    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENS = ((1440, 900), (390, 844))
STYLE = """body { font: 16px/1.5 sans-serif; margin: 0; overflow-wrap: break-word }
main { max-width: 1012px; margin: auto; padding: 16px }
h1 { font-size: 2em; padding-bottom: .3em; margin: 0 0 16px }
img { max-width: 100%; height: auto }
table { display: block; overflow: auto }
pre { overflow: auto }"""
"""What counts of the style that a hosting site gives the page."""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_use_why_cost_and_the_picture_are_on_the_first_screen(tmp_path):
    """On a desktop and on a phone: where each of them ends, in pixels from the top of the page."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text("README.md"))
    page = tmp_path / "readme.html"
    page.write_text(f'<meta charset="utf-8"><base href="{ROOT.as_uri()}/"><style>{STYLE}</style><main>{body}</main>')
    frames = "".join(f'<iframe src="{page.name}" width="{wide}" height="{high}"></iframe>' for wide, high in SCREENS)
    ends = (
        "[...document.querySelectorAll('iframe')].map(frame => {"
        " const page = frame.contentDocument;"
        " const shown = [...page.querySelectorAll('li')].slice(0, 3).concat(page.querySelector('picture img'));"
        " return shown.map(one => Math.round(one.getBoundingClientRect().bottom)).join(' ') +"
        " ' ' + page.documentElement.scrollWidth })"
    )
    both = tmp_path / "both.html"
    both.write_text(f"{frames}<script>onload = () => document.title = {ends}.join(',')</script>")
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--allow-file-access-from-files",
        "--virtual-time-budget=10000", f"--user-data-dir={tmp_path / 'browser'}",
    ]  # fmt: skip
    ran = subprocess.run([BROWSER, *options, both.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    (title,) = re.findall(r"<title>(.*?)</title>", ran.stdout)
    found = [[int(number) for number in screen.split()] for screen in title.split(",")]
    assert len(found) == len(SCREENS)
    for (wide, high), (use, why, cost, picture, width) in zip(SCREENS, found, strict=True):
        assert 0 < use < why < cost < picture < high
        assert picture - cost > 0.25 * min(wide, 720)
        assert width <= wide


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == ab.__version__
    (article,) = citation["references"]
    assert f"doi:{article['doi']}" in CITATION
    assert article["title"] in CITATION
    names = ", ".join(f"{author['family-names']} {author['given-names']}" for author in article["authors"])
    assert CITATION.startswith(f"{names}. ")
    assert (
        f"{article['journal']} {article['volume']}({article['issue']}), {article['start']}-{article['end']}" in CITATION
    )
    urls = tomllib.loads(text("pyproject.toml"))["project"]["urls"]
    assert urls["Paper"] == f"https://doi.org/{article['doi']}"


def test_the_map_of_the_engine_names_files_that_exist():
    engine = ROOT / "plugins/attribution_bench_plugins/fastism"
    named = set(re.findall(r"`([\w/]+\.py)`", text(f"{engine.relative_to(ROOT).as_posix()}/README.md")))
    known = {path.relative_to(engine).as_posix() for path in engine.rglob("*.py")}
    known |= {path.split("/", 1)[1] for path in known if "/" in path}
    assert {name for name in named if name not in known and not (ROOT / name).is_file()} == set()
