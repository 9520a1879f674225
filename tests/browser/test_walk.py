"""The whole way in Chromium: home, the demo, a run of one's own, its result; and what must not happen on it."""

import csv
import json
import re
import statistics
import time
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.helpers.homes import until
from tests.helpers.making import HOSTILE, make_hostile_run
from tests.helpers.pace import slowness
from untrac_core.engine import DEMO_RUN, Store

BARS = "[class*=st-key-bars_] .js-plotly-plot .bars .point > path"
CLICK_MS = """
async (label) => {
    const before = document.querySelector('h3').textContent;
    const button = [...document.querySelectorAll('button')].find((one) => one.textContent.trim() === label);
    const start = performance.now();
    button.click();
    while (document.querySelector('h3').textContent === before) {
        if (performance.now() - start > 10000) throw new Error('no answer to ' + label);
        await new Promise((next) => setTimeout(next, 5));
    }
    return performance.now() - start;
}
"""


def answer_times(server, sides):
    """Milliseconds that the whole influence page takes to answer a switch of side, without a browser's drawing."""

    def ask(request):
        body, kind = json.dumps(request).encode(), {"Content-Type": "application/json"}
        start = time.perf_counter()
        address = f"{server.url}/_stcore/agent/interact"
        with urllib.request.urlopen(urllib.request.Request(address, body, kind), timeout=30) as answer:  # noqa: S310
            page = json.load(answer)
        assert page["status"] == "ready"
        return page, 1000 * (time.perf_counter() - start)

    opened, _ = ask({"page": "influence", "query_params": {"run": [DEMO_RUN]}})
    session = {"session_id": opened["session_id"]}
    return [ask({**session, "widget_state": {"side": side}})[1] for side in sides]


def open_the_demo(page, server, shot):
    """From home to the demo's ranked bars; the side that is looked at goes to the address."""
    page.goto(server.url)
    expect(page.locator(".st-key-foretaste .bars path").first).to_be_visible()
    shot(page, "home-light")
    page.get_by_role("button", name="Open the demo").click()
    expect(page.locator(BARS)).to_have_count(8)
    assert f"run={DEMO_RUN}" in page.url
    shot(page, "influence-light")
    page.locator(".st-key-side").get_by_text("harmful", exact=True).click()
    page.wait_for_url("**side=harmful**")


def start_a_small_run(page, shot):
    """Fill in the form and start; the run's id, and the seconds from the click to the first sign of the run."""
    page.get_by_test_id("stSidebar").get_by_text("Trace", exact=True).click()
    expect(page.get_by_role("heading", name="Which subsets make the model write these prompts?")).to_be_visible()
    page.get_by_text("UnTrac", exact=True).click()  # whose cells are many, so that there is a run to look at
    page.get_by_text("Sizes and settings").click()
    fields = {
        "Max items per side": "32",
        "Max blocks per subset": "32",
        "Seeds": "0, 1",
        "Name of the run": "a walk",
    }
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
    page.wait_for_url("**draft=**")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    page.wait_for_timeout(1000)
    shot(page, "trace-light")
    clicked = time.monotonic()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".st-key-run").get_by_text(re.compile("queued|running")).first).to_be_visible()
    return re.search("run=([0-9a-f]{12})", page.url).group(1), time.monotonic() - clicked


def measured_rows(page):
    """The rows of the CSV that the influence page hands out."""
    page.get_by_role("tab", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="All measurements (CSV)").click()
    return list(csv.DictReader(download.value.path().open()))


@pytest.mark.timed
def test_the_whole_way(server, window, shot):
    store = Store(server.home)
    page = window()
    open_the_demo(page, server, shot)
    run_id, feedback = start_a_small_run(page, shot)
    cells = page.locator(".st-key-run").get_by_text(re.compile(r"[1-9]\d* of \d+ cells"))
    until(lambda: store.run(run_id).cells_done >= 1)
    expect(cells).to_be_visible()
    shot(page, "runs-light")
    page.reload()
    expect(cells).to_be_visible()

    look = window()
    look.goto(f"{server.url}/influence?run={DEMO_RUN}")
    expect(look.locator(BARS)).to_have_count(8)
    answers = answer_times(server, ["harmful", "harmless", "contrast"] * 5)
    clicks = [look.evaluate(CLICK_MS, label) for label in ("harmful", "harmless", "contrast") * 2]
    assert store.run(run_id).active, "the run ended before the answers were measured"
    median, slower = statistics.median(answers), slowness()
    print(
        f"\nfirst feedback {feedback:.2f} s; while the job runs: answer of the page {median:.0f} ms, "
        f"click to new title in this browser {statistics.median(clicks):.0f} ms (medians); "
        f"this machine is {slower:.2f} times slower than the one that limits were set on"
    )

    server.kill()
    assert store.run(run_id).active, "the run ended before the server was killed"
    server.start()
    until(lambda: not store.run(run_id).active)
    run = store.run(run_id)
    assert (run.status, run.attempt) == ("done", 1), run.error

    page.goto(f"{server.url}/runs?run={run_id}")
    page.get_by_role("button", name="Look at the result").click()
    expect(page.locator(BARS)).to_have_count(8)
    expect(page.get_by_role("region", name="The rank of each subset by UnTrac and by each baseline")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^BM25 \(BM25 score\): Spearman "))).to_be_visible()
    shot(page, "influence-own-light")
    rows = measured_rows(page)
    assert {row["subset"] for row in rows} >= {"forum", "news"}
    assert {row["side"] for row in rows} == {"harmful", "harmless"}
    assert feedback < 2.0 * slower
    assert median < 300 * slower


def test_every_page_in_the_dark(server, window, shot):
    page = window("dark")
    for name, path in (
        ("home", "/"),
        ("influence", f"/influence?run={DEMO_RUN}"),
        ("models", "/models?model=demo"),
        ("prompts", "/prompts?prompts=demo-toxicity"),
        ("subsets", "/subsets?subset=demo-forum"),
        ("trace", "/trace"),
        ("runs", f"/runs?run={DEMO_RUN}"),
        ("validate", "/validate"),
        ("what-if", f"/what_if?run={DEMO_RUN}&x1=0.0"),
        ("report", "/report"),
    ):
        page.goto(server.url + path)
        expect(page.locator("h1")).to_be_visible()
        if name in ("home", "influence"):
            expect(page.locator(".js-plotly-plot .bars path").first).to_be_visible()
        if name in ("trace", "validate"):
            expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
        shot(page, f"{name}-dark")
        ground = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", ground)[:3]) < 60, ground


def test_a_wide_window_is_filled(server, window, shot):
    page = window(width=1920, height=1200)
    page.goto(f"{server.url}/influence?run={DEMO_RUN}")
    expect(page.locator(".st-key-truth_without .js-plotly-plot, .st-key-truth_planted .js-plotly-plot")).to_have_count(
        2
    )
    shot(page, "influence-wide")
    width = page.locator("[class*=st-key-bars_]").bounding_box()["width"]
    assert width > 800


def test_a_ticked_row_of_the_list_opens_its_run(server, window):
    page = window()
    page.goto(f"{server.url}/runs")
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible()
    page.wait_for_timeout(1500)  # the cells are drawn on a canvas
    box = table.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 52)
    page.mouse.move(box["x"] + 16, box["y"] + 52, steps=4)
    page.mouse.click(box["x"] + 16, box["y"] + 52)
    button = page.locator(".st-key-runs_open button")
    expect(button).to_be_enabled()
    button.click()
    page.wait_for_url("**run=**")
    expect(page.locator(".st-key-run")).to_be_visible()


def hosts(page):
    """Where links lead and pictures come from. A link of our own may name a subset in its question: that is no host."""
    return page.evaluate("[...document.querySelectorAll('a[href], img[src]')].map(e => new URL(e.href || e.src).host)")


def test_hostile_names_and_texts_stay_text(server, window, tmp_path):
    run_id = make_hostile_run(Store(server.home), tmp_path / "data")
    page = window()
    for path in ("/", f"/runs?run={run_id}", f"/influence?run={run_id}"):
        page.goto(server.url + path)
        expect(page.get_by_text(HOSTILE[0]).first).to_be_visible()
        page.wait_for_timeout(1000)
        assert not [host for host in hosts(page) if "evil.example" in host]
        for tab in page.get_by_role("tab").all():
            tab.click()
            page.wait_for_timeout(200)
            assert not [host for host in hosts(page) if "evil.example" in host]
