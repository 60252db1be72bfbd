"""A headless Chromium for tests of pages: the one that is installed, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Start the installed browser; it has a sandbox only where the user is not root."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: "Browser", page: Path, fragment: str = "", slower: int = 1, **context: Any) -> Iterator["Page"]:
    """Open a page of the report in a context of its own; its script must come to its end, and no error be noted.

    A browser that is made slower paints what it has before the script has run.
    """
    settings = {"viewport": PHONE if context.get("is_mobile") else WIDE, **context}
    used = browser.new_context(**settings)
    try:
        shown = used.new_page()
        used.new_cdp_session(shown).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        shown.goto(page.as_uri() + fragment)
        yield shown
        state = shown.evaluate("({...document.documentElement.dataset})")
        assert state.pop("ready") == "true"
        assert set(state) <= {"theme"}, state
    finally:
        used.close()


def listeners(page: "Page") -> int:
    """Count the listeners of a page that are still held, after the collection of garbage."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return int(next(metric["value"] for metric in found if metric["name"] == "JSEventListeners"))
