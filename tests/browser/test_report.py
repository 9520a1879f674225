"""The report file in a browser that has no server: drawn, quiet, and the same ranking as the summary."""

import json

import pytest
from playwright.sync_api import expect

from tests.helpers.reports import PAYLOADS, hostile_trace, hostile_validation
from tests.helpers.unlearn_results import make_unlearn_result, unlearn_spec
from untrac_core.engine import Store
from untrac_core.explore.composed.compose import compose, of_runs_and_folders
from untrac_core.paths import DEMO
from untrac_core.report import report
from untrac_core.report.bundle import Entry, write_bundle
from untrac_core.specs.build import build
from untrac_core.specs.composed import ComposedReport

BARS = ".bars .point > path"
RANKED = "table:has(th:text-is('Rank')) tbody tr td:nth-child(2)"


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report from its file; nothing but the file may be asked for, and no dialog may open."""
    contexts, asked, dialogs, faults = [], [], [], []

    def open_report(content, look="light", width=1280, scripts=True):
        path = tmp_path / "report.html"
        path.write_bytes(content)
        context = browser.new_context(
            color_scheme=look, viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.goto(path.as_uri())
        if scripts:
            expect(page.locator("html[data-drawn=yes]")).to_be_attached()
        return page

    yield open_report
    for context in contexts:
        context.close()
    own = (tmp_path / "report.html").as_uri()
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {own}
    assert (dialogs, faults) == ([], [])


def test_the_demo_s_report_shows_its_ranking_and_gives_pictures(opened, shot):
    page = opened(report(DEMO / "run", finished=0, run_id="de3000000001"))
    summary = json.loads((DEMO / "run" / "summary.json").read_text())
    wanted = [row["subset"] for row in summary["ranking"]]
    assert page.locator(RANKED).all_text_contents() == wanted
    first = page.locator(".drawing").first
    expect(first.locator(BARS)).to_have_count(8)
    shot(page, "report-light")
    first.locator(BARS).first.hover(force=True)
    expect(first.locator(".hoverlayer")).to_contain_text("forum")
    for kind, begins in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as download:
            page.locator(f"button[data-format={kind}]").first.click()
        assert download.value.suggested_filename == f"untrac-de3000000001-toxicity-contrast-ranking.{kind}"
        assert download.value.path().read_bytes().startswith(begins)
    folded = page.locator("details.section").first
    expect(folded.locator(BARS).first).not_to_be_visible()
    folded.locator("summary").first.click()
    expect(folded.locator(BARS).first).to_be_visible()


def test_it_follows_the_look_fits_a_phone_and_prints_everything(opened, shot):
    page = opened(report(DEMO / "run", finished=0), look="dark", width=390)
    letters = page.locator(".drawing .xtick text").first
    expect(letters).to_have_css("fill", "rgb(228, 234, 232)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "report-phone-dark")
    page.emulate_media(color_scheme="light")
    expect(letters).to_have_css("fill", "rgb(22, 33, 31)")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".drawing .main-svg").count() >= 36
    assert page.locator("details:not([open])").count() == 0


def test_a_composed_page_and_a_bundle_open_without_a_server_with_the_same_numbers(browser, opened, tmp_path):
    make_unlearn_result(tmp_path / "gone", unlearn_spec(tmp_path / "data"), PAYLOADS[0])
    gone, hostile = str(tmp_path / "gone"), hostile_trace(tmp_path / "t")
    items = [{"text": "# Mine <b>"}, {"show": "metrics", "run": gone}, {"show": "curves", "run": gone}]
    wanted = build(ComposedReport, {"title": "T", "items": items}, where="test")
    page = opened(compose(wanted, of_runs_and_folders(Store(tmp_path / "home"))))
    expect(page.get_by_role("heading", name="Mine <b>")).to_be_visible()
    metrics = page.locator("table").first.all_inner_texts()
    assert page.locator(".drawing .main-svg").count() >= 1
    write_bundle([Entry(tmp_path / "gone"), Entry(hostile)], tmp_path / "out")
    context, asked, faults = browser.new_context(), [], []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((tmp_path / "out" / "index.html").as_uri())
    expect(page.locator(".result:visible")).to_have_count(2)
    page.locator("select[data-filter=kind]").select_option(label="unlearning")
    expect(page.locator("#shown")).to_have_text("1 of 2 results")
    page.get_by_role("searchbox").fill("no such words")
    expect(page.locator(".result:visible")).to_have_count(0)
    page.get_by_role("searchbox").fill("npo forum")
    page.locator(".result:visible a").click()
    expect(page.locator("html[data-drawn=yes]")).to_be_attached()
    assert page.locator(".drawing .main-svg").count() >= 3
    assert page.locator("table").first.all_inner_texts() == metrics
    context.close()
    here = (tmp_path / "out").as_uri()
    assert {url for url in asked if not url.startswith(("data:", "blob:", here))} == set()
    assert faults == []


def test_without_scripts_all_numbers_are_there(opened):
    page = opened(report(DEMO / "run"), scripts=False)
    expect(page.get_by_text("The figures need JavaScript")).to_be_visible()
    assert page.locator(RANKED).count() == 72
    assert page.locator(RANKED).last.is_visible()


@pytest.mark.parametrize("make", [hostile_trace, hostile_validation])
def test_what_a_user_wrote_is_text_and_does_nothing(make, opened, tmp_path):
    page = opened(report(make(tmp_path)))
    assert page.locator(".drawing .main-svg").count() > 3
    page.wait_for_timeout(300)
    assert page.locator("img, iframe, object, embed, link").count() == 0
    assert page.locator("script").count() == 3
    assert page.locator("a:not([href^='#part-'])").count() == 0
    assert page.locator(".drawing a").count() == 0
    assert all(payload in page.evaluate("document.body.textContent") for payload in PAYLOADS)
