"""Links of the documents hold on the site, where documents from elsewhere in the repository are pages too."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
KNOWN = {
    "index.md",
    "jobs.md",
    "plugins.md",
    "engine.md",
    "reports/engine.md",
    "gallery/plane.png",
    "reports/engine/ratio.svg",
}


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import site_hooks

    yield site_hooks
    sys.modules.pop("site_hooks")


@pytest.mark.parametrize(
    ("source", "written", "on_the_site"),
    [
        ("README.md", "[jobs](docs/jobs.md#exports)", "[jobs](jobs.md#exports)"),
        ("README.md", "![plane](docs/gallery/plane.png)", "![plane](gallery/plane.png)"),
        ("README.md", '<img src="docs/gallery/plane.png">', '<img src="gallery/plane.png">'),
        ("docs/guide.md", "[jobs](jobs.md)", "[jobs](jobs.md)"),
        ("docs/guide.md", "[three steps](../plugins/README.md)", "[three steps](plugins.md)"),
        ("docs/tutorials/first_score.ipynb", "[jobs](../jobs.md)", "[jobs](../jobs.md)"),
        ("plugins/README.md", "[jobs](../docs/jobs.md)", "[jobs](jobs.md)"),
        ("reports/engine/README.md", "![ratio](ratio.svg)", "![ratio](engine/ratio.svg)"),
        ("docs/guide.md", "[the engine](../reports/engine/)", "[the engine](reports/engine.md)"),
        # What is no part of the site keeps its words.
        ("docs/guide.md", "[the code](../attribution_bench/result.py)", "the code"),
        # What is no file is left, so that mkdocs warns of it; so are other servers, and places of the same page.
        ("docs/guide.md", "[gone](gone.md)", "[gone](gone.md)"),
        ("docs/guide.md", "[paper](https://doi.org/10.1093)", "[paper](https://doi.org/10.1093)"),
        ("docs/guide.md", "[targets](#targets)", "[targets](#targets)"),
    ],
)  # fmt: skip
def test_a_link_leads_to_the_same_page(hooks: ModuleType, source: str, written: str, on_the_site: str) -> None:
    assert hooks.relinked(written, source, KNOWN, ROOT) == on_the_site


def test_errors_that_a_module_does_not_import_are_linked(hooks: ModuleType) -> None:
    page = "<code>UnknownNameError\n</code> <code>Other</code> <code><a>PluginError</a></code>"
    linked = '<code><a href="errors.html#attribution_bench.errors.UnknownNameError">UnknownNameError</a></code>'
    assert hooks.with_errors_linked(page, ROOT) == f"{linked} <code>Other</code> <code><a>PluginError</a></code>"


def test_documents_outside_the_folder_are_there(hooks: ModuleType) -> None:
    assert [source for source in hooks.PAGES if not (ROOT / source).is_file()] == []
