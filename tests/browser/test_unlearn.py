"""Unlearn in Chromium: from the demo's ranking to a model without its first subset, kept in the library."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.helpers.homes import until
from tests.helpers.pace import allowed
from untrac_core.engine import DEMO_RUN, Library, Store
from untrac_core.results.folders import load_unlearn

SECONDS = 120
"""From the press to the table, on cores that do nothing else."""
LOST_MOST = 0.10
"""Of its loss, that a subset which is to stay may lose."""


def press(page, server, shot):
    """From the ranking to the start; the run's id."""
    page.goto(f"{server.url}/influence?run={DEMO_RUN}")
    page.locator(".st-key-answer").get_by_role("link", name="Unlearn this subset").click()
    expect(page.get_by_role("heading", name="What if the model had never seen it?")).to_be_visible()
    expect(page.get_by_label("Name of the run")).to_have_value("Demo: without forum")
    expect(page.get_by_role("button", name="Start unlearning")).to_be_enabled()
    shot(page, "unlearn-form-light")
    page.get_by_role("button", name="Start unlearning").click()
    page.wait_for_url("**run=**")
    expect(page.locator(".st-key-state").get_by_text(re.compile("queued|running")).first).to_be_visible()
    return re.search("run=([0-9a-f]{12})", page.url).group(1)


def the_change(result, metric, on):
    """A row of the table: before, after, retrained."""
    row = next(row for row in result.summary["table"] if (row["metric"], row["on"]) == (metric, on))
    return row["before"], row["after"], row["retrained"]


@pytest.mark.timed
def test_the_demos_first_subset_is_unlearned_and_the_model_is_kept(server, window, shot):
    store, page = Store(server.home), window(height=2000)
    run_id = press(page, server, shot)
    pressed = time.monotonic()
    until(lambda: page.locator(".st-key-going .js-plotly-plot").count() or not store.run(run_id).active)
    shot(page, "unlearn-live-light")
    table = page.get_by_role("region", name=re.compile("^Metrics of the model before"))
    expect(table.first).to_be_visible()
    took = time.monotonic() - pressed
    print(f"\nfrom the press to the table: {took:.0f} s")
    shot(page, "unlearn-light")

    result = load_unlearn(store.run(run_id).folder)
    own = next(row for row in result.summary["methods"] if row["method"] == "npo")
    assert not own["collapsed"]
    assert "as unlikely as to a model that never saw them" in str(own["ended"])
    before, after, retrained = the_change(result, "contrast", "toxicity")
    assert before > after, "the model leans as much towards toxic text as before"
    assert abs(after - retrained) < abs(before - retrained)
    kept = result.collateral.query("method == 'npo' and kind == 'subset'")
    assert len(kept) == 7
    assert (kept["after"] <= (1 + LOST_MOST) * kept["before"]).all()

    page.get_by_role("button", name="Keep the unlearned model in the library").click()
    expect(page.get_by_text("In the library as Demo: without forum.")).to_be_visible()
    assert [entry.name for entry in Library(server.home).entries("model") if not entry.builtin] == [
        "Demo: without forum"
    ]
    dark = window("dark", height=2000)
    dark.goto(f"{server.url}/unlearn?run={run_id}")
    expect(dark.get_by_role("region", name=re.compile("^Metrics of the model before")).first).to_be_visible()
    shot(dark, "unlearn-dark")
    assert took < allowed(SECONDS)
