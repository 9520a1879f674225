"""Looking at a result in Chromium: from the top bar to its words, across to another question, and home as a file."""

import json
import re

from playwright.sync_api import expect

from untrac_core.engine import DEMO_BY_UNTRAC, DEMO_RUN
from untrac_core.paths import DEMO

BARS = ".js-plotly-plot .bars .point > path"
HEAT = ".js-plotly-plot .heatmaplayer image"


def click_drawn(page, mark):
    """Click a mark of a figure: plotly clicks what it hovers over, and parts that are drawn later may move it."""
    label = page.locator(".hoverlayer .hovertext").first
    for _ in range(200):
        page.mouse.move(0, 0)
        mark.hover(force=True)
        page.wait_for_timeout(400)
        if label.is_visible():
            mark.click(force=True)
            return
    raise AssertionError("the mark does not answer the pointer")


def summary_of(part="run"):
    return json.loads((DEMO / part / "summary.json").read_text())


def test_from_the_top_bar_to_its_words_across_and_home(server, window, browser, shot, tmp_path):
    page = window(height=1800)
    page.goto(f"{server.url}/influence?run={DEMO_RUN}")
    bars = page.locator(f".st-key-bars_toxicity_contrast {BARS}")
    expect(bars).to_have_count(8)
    shot(page, "influence-light")
    click_drawn(page, bars.first)
    page.wait_for_url("**/examples**")
    expect(page.get_by_role("heading", level=3).first).to_have_text(
        "Which training texts push the model towards toxic text?"
    )
    top = next(row["subset"] for row in summary_of()["ranking"])
    assert f"subset={top}" in page.url
    reading = page.locator(".st-key-reading")
    expect(reading.locator(HEAT)).to_have_count(1)
    words = reading.locator(".js-plotly-plot .textpoint text")
    expect(words.first).to_contain_text("•")
    shot(page, "examples-masked-light")
    page.get_by_text("Show the texts (they may be harmful)").click()
    expect(words.first).to_contain_text(re.compile("[a-z]{2}"))
    expect(reading.get_by_text(re.compile(r"add up to [+−]"))).to_be_visible()
    shot(page, "examples-light")

    page.goto(f"{server.url}/compare?run={DEMO_RUN}")
    expect(page.get_by_role("heading", level=3).first).to_contain_text("toxic")
    expect(page.locator(".st-key-scatter_B .js-plotly-plot .points path").first).to_be_visible()
    expect(page.locator(".st-key-answer")).to_contain_text("Spearman")
    shot(page, "compare-light")

    page.goto(f"{server.url}/influence?run={DEMO_RUN}")
    page.get_by_role("tab", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    kept = tmp_path / "report.html"
    download.value.save_as(kept)
    alone = browser.new_context(offline=True)  # another browser, without a server
    try:
        report = alone.new_page()
        report.goto(kept.as_uri())
        shown = report.locator("table:has(th:text-is('Rank')) tbody tr td:nth-child(2)").all_text_contents()
        assert shown == [row["subset"] for row in summary_of()["ranking"]]
    finally:
        alone.close()


def test_prompts_groups_and_a_presentation_in_the_dark(server, window, shot):
    page = window("dark", height=2600)
    page.goto(f"{server.url}/influence?run={DEMO_BY_UNTRAC}")
    expect(page.locator(f".st-key-groups {HEAT}").first).to_be_visible()
    expect(page.get_by_text(re.compile("can be told from zero in"))).to_be_visible()
    shot(page, "influence-groups-dark")
    page.goto(f"{server.url}/examples?run={DEMO_BY_UNTRAC}")
    expect(page.get_by_text("Which subsets move this prompt?")).to_be_visible()
    expect(page.locator(f".st-key-reading {HEAT}")).to_have_count(1)
    shot(page, "examples-prompts-dark")
    stage = window("dark", width=1920, height=1080)
    stage.goto(f"{server.url}/influence?run={DEMO_RUN}&present=1")
    expect(stage.locator(f".st-key-presented {BARS}")).to_have_count(8)
    expect(stage.get_by_text("Show the texts")).to_have_count(0)
    expect(stage.get_by_test_id("stSidebar")).to_have_count(0)
    shot(stage, "presentation-dark")


def test_nothing_is_cut_off_at_any_width(server, window, shot):
    for look, width in (("light", 390), ("dark", 1920)):
        page = window(look, width=width, height=1800)
        for name, path in (
            ("influence", f"/influence?run={DEMO_RUN}"),
            ("examples", f"/examples?run={DEMO_RUN}"),
            ("compare", f"/compare?run={DEMO_RUN}"),
        ):
            page.goto(f"{server.url}{path}")
            expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
            page.wait_for_timeout(600)
            # Where a part is wider than the page, the page can be pushed sideways.
            assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= page.evaluate(
                "document.querySelector('[data-testid=stMain]').clientWidth + 1"
            ), (name, width)
            shot(page, f"{name}-{width}-{look}")
