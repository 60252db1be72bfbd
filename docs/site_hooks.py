"""The site's hooks: pages and pictures that lie outside docs/, and links that hold in the repository and on the site.

Documents link to each other as files of the repository do, so that they can be read there. mkdocs reads docs/ alone;
the hooks add what else belongs to the site, and turn each link into the one between the two pages.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "plugins/README.md": "plugins.md",
    "plugins/attribution_bench_plugins/fastism/README.md": "engine.md",
    "reports/reproduce-paper/README.md": "reports/reproduce-paper.md",
    "reports/engine/README.md": "reports/engine.md",
}
"""Documents outside docs/ -> their pages, both as paths with slashes from the root of each."""
SHOWN = {".png", ".svg", ".csv", ".tex"}
"""What of reports/ is shown or offered beside their pages."""
DEMONSTRATION = "build/demonstration"
"""Where `make site` has the report of the demonstration model written."""
LINK = re.compile(r'(?P<before>\]\(|\b(?:src|href|srcset)=")(?P<target>[^)\s"]+)')
LABELLED = re.compile(r"(?<!!)\[(?P<label>[^\]]*)\]\((?P<target>[^)\s]+)\)")
ERROR = re.compile(r"^class (\w+)", re.MULTILINE)
FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def root_of(config: MkDocsConfig) -> Path:
    """Return the root of the repository."""
    return Path(config.docs_dir).parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside docs/: documents, the reports' pictures and tables, the demonstration's report."""
    root = root_of(config)
    outside = dict(PAGES)
    for path in sorted((root / "reports").rglob("*")):
        if path.suffix in SHOWN and "records" not in path.parts:
            outside[path.relative_to(root).as_posix()] = path.relative_to(root).as_posix()
    report = root / DEMONSTRATION / "index.html"
    if not report.is_file():
        raise PluginError(f"{report} is not there; `make site` has it written before the site is built")
    outside[report.relative_to(root).as_posix()] = "demonstration/report.html"
    for source, uri in outside.items():
        files.append(File.generated(config, uri, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the page's links between files of the repository into links between pages."""
    sources = {uri: source for source, uri in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    known = {file.src_uri for file in files}
    root = root_of(config)
    parts = FENCED.split(markdown)
    return "".join(part if FENCED.fullmatch(part) else relinked(part, source, known, root) for part in parts)


def relinked(markdown: str, source: str, known: set[str], root: Path) -> str:
    """Return text of a document with its links turned; what is no part of the site keeps its words alone.

    Parameters
    ----------
    markdown
        The text, without blocks of code.
    source
        Where the document lies, from the root of the repository.
    known
        What the site holds, from its root.
    root
        The root of the repository.
    """

    def without_stray(match: re.Match[str]) -> str:
        uri = site_uri(match["target"], source, root)
        return match["label"] if uri is not None and uri.partition("#")[0] not in known else match[0]

    def turned(match: re.Match[str]) -> str:
        uri = site_uri(match["target"], source, root)
        return match[0] if uri is None else match["before"] + from_page(uri, source)

    return LINK.sub(turned, LABELLED.sub(without_stray, markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link the errors that the API's pages name, where the module that raises them does not import them."""
    if not page.file.src_uri.startswith("api/"):
        return html
    return with_errors_linked(html, root_of(config))


def with_errors_linked(html: str, root: Path) -> str:
    """Return a page of the API with each name of an error, where it is all that stands as code, turned into a link."""
    errors = ERROR.findall((root / "attribution_bench" / "errors.py").read_text())
    names = re.compile(rf"<code>\s*({'|'.join(errors)})\s*</code>")
    return names.sub(r'<code><a href="errors.html#attribution_bench.errors.\1">\1</a></code>', html)


def site_uri(target: str, source: str, root: Path) -> str | None:
    """Return where on the site the target of a document's link lies; None where it is no file, or no file is there."""
    path, mark, anchor = target.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return None
    found = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if (root / found).is_dir():
        found = posixpath.join(found, "README.md")
    if found.startswith("..") or not (root / found).is_file():
        return None  # mkdocs warns of it
    return PAGES.get(found, found.removeprefix("docs/")) + mark + anchor


def from_page(uri: str, source: str) -> str:
    """Return a place of the site as it is seen from a document's page."""
    page = PurePosixPath(PAGES.get(source, source.removeprefix("docs/")))
    return posixpath.relpath(uri, page.parent.as_posix())
