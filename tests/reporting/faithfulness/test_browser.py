"""The page in a real browser: its script runs to its end, draws what the data say, and does what readers ask of it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.faithfulness.page import page
from attribution_bench.reporting.faithfulness.scores import load_scores
from attribution_bench.reporting.faithfulness.standing import in_order
from attribution_bench.reporting.faithfulness.texts import interval_text
from attribution_bench.reporting.faithfulness.verdict import verdict
from chromium import PATH, chromium, listeners, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.skipif(PATH is None, reason="no Chromium is installed"), pytest.mark.xdist_group("chromium")]
TOUCH = {"is_mobile": True, "has_touch": True}
COUNT, LENGTH = 6, 60
"""Sequences of the report, and their letters."""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, make_synthetic: Callable[..., Any]) -> Path:
    return _written(make_synthetic(COUNT, LENGTH).save(tmp_path_factory.mktemp("report")))


def _written(folder: Path) -> Path:
    """Write the page alone; the figures are slower and are tested elsewhere."""
    evaluation = in_order(Evaluation.load(folder))
    index = folder / "index.html"
    index.write_text(page(evaluation, load_scores(folder, evaluation), None))
    return index


def _count(shown: "Page", selector: str) -> int:
    return shown.locator(selector).count()


def _positions(shown: "Page") -> list[int]:
    return [int(text) for text in shown.locator(".tick.position").all_text_contents()]


def _fragment(shown: "Page") -> str:
    return str(shown.evaluate("decodeURIComponent(location.hash)"))


def test_every_figure_is_drawn(browser: "Browser", report: Path) -> None:
    with opened(browser, report) as shown:
        assert _count(shown, ".glyph") == 5 * LENGTH
        assert _count(shown, ".matrix .cell") == 5 * 5
        assert _count(shown, ".front") == 1
        assert _count(shown, ".curve") == 2 * 5
        assert _count(shown, ".heat") == 1
        assert _count(shown, ".site-label") == 3
        assert (_positions(shown)[0], _positions(shown)[-1]) == (0, 55)
        for figure in ("plane", "curves"):
            labels = set(shown.locator(f"#{figure}-figure .label").all_text_contents())
            assert labels == {"fastISM", "Standard ISM", "Gradient × Input", "Integrated Gradients", "DeepSHAP"}
        assert "change of the prediction: −" in (shown.text_content("#browser-figure .heat-legend") or "")
        assert shown.locator(".axis-title", has_text="score").count() == 5
        assert re.match(r"Pearson r:\s*0\.\d{3}\s*0\.\d{3}", shown.inner_text(".colour-bar"))


@pytest.mark.parametrize("context", [{}, TOUCH])
def test_the_verdict_and_the_plane_begin_on_the_first_screen(
    browser: "Browser", report: Path, context: dict[str, Any]
) -> None:
    rows = verdict(in_order(Evaluation.load(report.parent)))
    with opened(browser, report, **context) as shown:
        height = shown.viewport_size["height"] if shown.viewport_size else 0
        items = shown.locator(".verdict li")
        for index, row in enumerate(rows):
            assert all(part in items.nth(index).inner_text() for part in (row.subject, row.number, row.reason))
            box = items.nth(index).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < 0.7 * height
        plane = shown.locator("#plane-figure").bounding_box()
        assert plane is not None
        assert plane["y"] + 60 < height
        assert shown.evaluate("document.documentElement.scrollWidth") == (shown.viewport_size or {})["width"]


@pytest.mark.parametrize("context", [{}, TOUCH])
def test_axe_finds_nothing_in_either_theme(browser: "Browser", report: Path, context: dict[str, Any]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, report, **context) as shown:
        # The longest table is built like the others, and takes most of the time.
        shown.evaluate(
            "document.querySelectorAll('details:not(#curves-numbers)').forEach((one) => { one.open = true; })"
        )
        for theme in ("dark", "light"):
            shown.click("#theme")
            assert shown.evaluate("document.documentElement.dataset.theme") == theme
            found = Axe().run(shown)
            assert found.violations_count == 0, found.generate_report()


def test_a_hundred_redraws_leave_no_listener(browser: "Browser", report: Path) -> None:
    draw_everything = """(times) => {
        const change = (id, value) => { byId(id).value = value; byId(id).dispatchEvent(new Event("change")); };
        for (let turn = 0; turn < times; turn += 1) {
            change("sequence", turn % 6);
            change("plane-metric", ["pearson", "auroc"][turn % 2]);
            change("matrix-metric", ["spearman", "pearson"][turn % 2]);
            byId("theme").click();
            byId(turn % 2 ? "zoom-in" : "reset").click();
        }
    }"""
    with opened(browser, report) as shown:
        shown.evaluate(draw_everything, 2)
        before = listeners(shown)
        # Each turn draws five figures.
        shown.evaluate(draw_everything, 20)
        assert listeners(shown) == before
        shown.evaluate(
            "for (const one of document.querySelectorAll('.pointed')) one.addEventListener('click', () => 0)"
        )
        assert listeners(shown) > before


def test_a_permalink_shows_a_range_of_a_sequence_by_name(browser: "Browser", report: Path) -> None:
    link = "#sequence=sequence+2&range=20-40&metric=auroc&agreement=spearman&theme=dark"
    with opened(browser, report, link) as shown:
        assert _count(shown, ".glyph") == 5 * 20
        assert all(20 <= position < 40 for position in _positions(shown))
        assert "sequence 2: positions 20 to 40 of 60 letters" in shown.inner_text("#browser-caption")
        assert shown.input_value("#plane-metric") == "auroc"
        assert shown.input_value("#matrix-metric") == "spearman"
        assert shown.evaluate("document.documentElement.dataset.theme") == "dark"
        assert not shown.locator("#notice").is_visible()
        shown.wait_for_function("Math.abs(byId('browser').getBoundingClientRect().top) < 2")


def test_a_permalink_may_be_wrong_and_says_so(browser: "Browser", report: Path) -> None:
    links = {
        "#sequence=99&range=5-5": ("No sequence named “99” is among the 6 on this page", "0"),
        "#range=7": ("The range “7” is not of the form 20-60", "0"),
        "#sequence=3": ("", "2"),
        "#range=50-9999": ("", "2"),
        "#number=4": ("", "3"),
        "#number=7": ("No sequence named “7” is among", "0"),
        "#metric=madeup": ("The metric “madeup” is not on this page.", "0"),
        "#agreement=auroc": ("The agreement “auroc” is not on this page.", "0"),
        "#theme=pink&metric=auroc": ("The theme “pink” is not on this page.", "0"),
        "#plane": ("", "0"),
    }
    with opened(browser, report, "#sequence=nobody") as shown:
        said = "No sequence named “nobody” is among the 6 on this page; the first is shown."
        assert shown.inner_text("#notice") == said
        for link, (said, sequence) in links.items():
            shown.evaluate("(link) => { location.hash = link; }", link)
            shown.wait_for_function("(said) => byId('notice').textContent.includes(said)", arg=said)
            assert shown.locator("#notice").is_visible() == bool(said), link
            assert _count(shown, ".glyph") > 0
            assert shown.input_value("#sequence") == sequence, link
        shown.evaluate("location.hash = '#metric=madeup'")
        shown.wait_for_selector("#notice", state="visible")
        shown.click("#next")
        assert not shown.locator("#notice").is_visible()


def test_back_goes_back_one_choice_at_a_time(browser: "Browser", report: Path) -> None:
    with opened(browser, report) as shown:
        before = shown.inner_text("#browser-caption")
        shown.select_option("#plane-metric", "auroc")
        shown.select_option("#sequence", "4")
        shown.click("#zoom-in")
        shown.click("#theme")
        assert _fragment(shown) == "#sequence=sequence+4&range=15-45&metric=auroc&theme=dark"
        shown.go_back()
        assert shown.evaluate("document.documentElement.dataset.theme") is None
        shown.go_back()
        assert _fragment(shown) == "#sequence=sequence+4&metric=auroc"
        assert "sequence 4: positions 0 to 60" in shown.inner_text("#browser-caption")
        shown.go_back()
        assert shown.inner_text("#browser-caption") == before
        assert shown.input_value("#plane-metric") == "auroc"
        shown.go_back()
        assert (shown.input_value("#plane-metric"), _fragment(shown)) == ("pearson", "")
        shown.go_forward()
        shown.go_forward()
        assert shown.input_value("#sequence") == "4"
        shown.click("nav a[href='#metrics']")
        assert shown.input_value("#sequence") == "4"
        shown.go_back()
        assert shown.input_value("#sequence") == "4"


def test_what_was_touched_stays_until_the_next_touch(browser: "Browser", report: Path) -> None:
    evaluation = in_order(Evaluation.load(report.parent))
    with opened(browser, report, **TOUCH) as shown:
        tooltip = shown.locator("#tooltip")
        shown.locator("#plane-figure .pointed").nth(2).tap()
        shown.wait_for_timeout(200)
        method = evaluation.methods[2]
        assert tooltip.is_visible()
        assert interval_text(method.means["pearson"]) in tooltip.inner_text()
        shown.locator(".matrix .cell.pointed").nth(0).tap()
        assert tooltip.is_visible()
        assert "Pearson r" in tooltip.inner_text()
        shown.locator("#curves-figure .panel").nth(0).tap()
        assert re.match(r"Deletion, \d+%\n.* \(.* to .*\)", tooltip.inner_text())
        shown.locator("#browser-figure").tap(position={"x": 200, "y": 90})
        assert "position" in tooltip.inner_text()
        shown.locator("h2").first.tap()
        assert not tooltip.is_visible()


def test_intervals_are_reached_by_keyboard_and_by_ear(browser: "Browser", report: Path) -> None:
    evaluation = in_order(Evaluation.load(report.parent))
    with opened(browser, report) as shown:
        label = shown.get_attribute("#plane-figure svg", "aria-label") or ""
        for method in evaluation.methods:
            assert f"{evaluation.label(method.method)}: " in label
            assert interval_text(method.means["pearson"]) in label
        shown.locator("#plane-numbers summary").focus()
        shown.keyboard.press("Enter")
        table = shown.inner_text("#plane-numbers table")
        assert len(re.findall(r"pearson", table)) == 5
        shown.select_option("#plane-metric", "auroc")
        assert "pearson" not in shown.inner_text("#plane-numbers table")
        shown.locator("#browser-figure").focus()
        shown.keyboard.press("ArrowRight")
        assert "position 30" in shown.inner_text("#tooltip")
        shown.keyboard.press("+")
        assert len(_positions(shown)) > 2
        assert "positions 15 to 45" in shown.inner_text("#browser-caption")
        shown.keyboard.press("Escape")
        assert "positions 0 to 60" in shown.inner_text("#browser-caption")
        assert not shown.locator("#tooltip").is_visible()


@pytest.mark.parametrize(("context", "link"), [({}, ""), (TOUCH, "#sequence=sequence+4&range=20-40")])
def test_nothing_moves(browser: "Browser", report: Path, context: dict[str, Any], link: str) -> None:
    shifts = """new Promise((done) => {
        let sum = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; })
            .observe({ type: "layout-shift", buffered: true });
        setTimeout(() => done(sum), 200);
    })"""
    with opened(browser, report, link, slower=4, **context) as shown:
        assert shown.evaluate(shifts) == 0
        height = "byId('browser').getBoundingClientRect().height"
        before = shown.evaluate(height)
        for click in ("#next", "#zoom-in", "#pan-left", "#reset"):
            shown.click(click)
            assert shown.evaluate(height) == before


@pytest.mark.parametrize("context", [{}, TOUCH])
def test_a_heading_of_the_verdict_stands_where_it_will_before_its_row_is_read_to_its_end(
    browser: "Browser", report: Path, context: dict[str, Any]
) -> None:
    tops = """[...document.querySelectorAll("#verdict .what")].map((heading) => {
        const row = heading.parentElement;
        const top = () => heading.getBoundingClientRect().top - row.getBoundingClientRect().top;
        const whole = top();
        row.replaceChildren(heading);
        return [whole, top()];
    })"""
    with opened(browser, report, **context) as shown:
        found = shown.evaluate(tops)
    assert len(found) >= 2
    assert all(whole == begun for whole, begun in found)


def test_every_sequence_that_was_chosen_is_printed(browser: "Browser", report: Path) -> None:
    begins, ends = (f"dispatchEvent(new Event('{when}print'))" for when in ("before", "after"))
    with opened(browser, report, color_scheme="dark") as shown:
        shown.evaluate(begins)
        assert _count(shown, "#browser-paper svg") == 0
        assert shown.evaluate("isDark()") is False
        shown.evaluate(ends)
        for sequence in ("2", "5"):
            shown.select_option("#sequence", sequence)
            shown.check("#on-paper")
        shown.select_option("#sequence", "0")
        assert "Printed: 2 of 6" in shown.inner_text("#paper-count")
        shown.emulate_media(media="print")
        shown.evaluate(begins)
        captions = shown.locator("#browser-paper figcaption").all_inner_texts()
        assert [caption.split(":")[0] for caption in captions] == ["sequence 2", "sequence 5"]
        assert not shown.locator("#browser-shown").is_visible()
        looks = "(name) => [...document.querySelectorAll(`${name} .site`)].map((one) => getComputedStyle(one).opacity)"
        assert set(shown.evaluate(looks, "#browser-paper")) == {"0.07"}
        shown.evaluate(ends)
        shown.emulate_media(media="screen")
        shown.click("#all-on-paper")
        shown.evaluate(begins)
        assert _count(shown, "#browser-paper svg") + _count(shown, "#browser-shown svg") == COUNT
        shown.evaluate(ends)
        assert _count(shown, "#browser-paper svg") == 0


def test_a_protein_on_a_phone(browser: "Browser", make_synthetic: Callable[..., Any], tmp_path: Path) -> None:
    made = make_synthetic(3, 80, alphabet="ACDEFGHIKLMNPQRSTVWY", sites=False)
    with opened(browser, _written(made.save(tmp_path)), "#sequence=sequence+1&range=10-30", **TOUCH) as shown:
        assert _count(shown, ".glyph") == 5 * 20
        assert shown.locator(".card").count() == 5
        assert not shown.locator("#metric-table").is_visible()
        text = shown.locator(".card").nth(0).inner_text()
        assert text.startswith("Standard ISM")


def test_long_names_leave_the_page_as_wide_as_the_phone(
    browser: "Browser", make_synthetic: Callable[..., Any], tmp_path: Path
) -> None:
    made = make_synthetic(3, 60)
    methods = tuple(replace(m, label=f"{m.label}{'_of_a_long_name' * 5}") for m in made.evaluation().methods)
    names = tuple(f"chr1_{index}_{'x' * 90}" for index in range(3))
    folder = made.save(tmp_path, methods=methods, names=names, model="package/" * 20)
    with opened(browser, _written(folder), **TOUCH) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") == 390


def test_sequences_of_one_name_are_linked_by_number(
    browser: "Browser", make_synthetic: Callable[..., Any], tmp_path: Path
) -> None:
    folder = make_synthetic(3, 60).save(tmp_path, names=("a", "b", "a"))
    with opened(browser, _written(folder)) as shown:
        shown.select_option("#sequence", "2")
        assert _fragment(shown) == "#number=3"
        shown.reload()
        assert shown.input_value("#sequence") == "2"


def test_one_method_without_truth_scores_or_sites(
    browser: "Browser", make_synthetic: Callable[..., Any], tmp_path: Path
) -> None:
    folder = make_synthetic(3, 40, sites=False).save(tmp_path, ("deepshap",))
    with opened(browser, _written(folder)) as shown:
        assert _count(shown, ".glyph") == 40
        assert "Agreement takes two methods with scores" in shown.inner_text("#agreement")
    (folder / "scores" / "deepshap.npz").unlink()
    with opened(browser, _written(folder)) as shown:
        assert "No scores are stored beside this evaluation" in shown.inner_text("#browser")


def test_names_are_never_run(browser: "Browser", make_synthetic: Callable[..., Any], tmp_path: Path) -> None:
    hostile = "</script><script>document.documentElement.dataset.owned = 1</script><img src=x onerror=alert(1)>"
    made = make_synthetic(3, 60)
    evaluation = made.evaluation()
    sites = tuple(replace(site, name=hostile) for site in evaluation.sites)
    failed = replace(
        evaluation.methods[0], method=hostile, label=hostile, reason=hostile, means={}, values={}, curves={}
    )
    methods = (failed, *evaluation.methods[1:])
    changes = {"names": (hostile, "b", "c"), "sites": sites, "model": hostile, "methods": methods, "agreements": ()}
    folder = made.save(tmp_path, **changes)
    index = _written(folder)
    with opened(browser, index) as shown:
        shown.select_option("#sequence", "1")
        shown.select_option("#sequence", "0")
        assert _count(shown, "img") == 0
    with opened(browser, index, "#sequence=<img src=x>&metric=<b>") as shown:
        assert _count(shown, "img") == 0
        assert "“<img src=x>”" in shown.inner_text("#notice")
