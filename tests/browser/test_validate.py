"""Validate in Chromium: a small validation from the form to its verdict, in the light and in the dark."""

import re

from playwright.sync_api import expect

from tests.helpers.homes import until
from untrac_core.engine import Store

DROPPED = ("code", "web", "encyclopedia", "stories")


def fill(page, label, value):
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Enter")


def pick(page, key, name):
    """Choose in a list; a page that is drawn again while the list opens closes it, so it is opened until it stays."""
    option = page.get_by_role("option", name=name, exact=True)

    def opened() -> bool:
        if not option.is_visible():
            page.locator(f".st-key-{key}").get_by_role("combobox").click()
            page.wait_for_timeout(1000)
        return option.is_visible()

    until(opened)
    option.click()


def start_a_small_validation(page, server, shot):
    """From the demo's form, with fewer and shorter trainings; the run's id."""
    page.goto(f"{server.url}/validate")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    shot(page, "validate-form-light")
    page.get_by_text("Its data and its recipe").click()
    fill(page, "Steps", "12")
    fill(page, "Vocabulary", "300")
    page.get_by_text("What the methods see").click()
    fill(page, "Blocks per subset (mean)", "8")
    fill(page, "Max items per side", "8")
    fill(page, "Seeds of retraining", "0, 1")
    fill(page, "Seeds of the estimates", "0, 1")
    methods = ("UnTrac (robust)", "UnTrac-Inv (paper)", "Kronecker-scaled dot", "EK-FAC", "GradCos", "BM25")
    for name in (*DROPPED, *methods, "Hidden-state similarity"):
        tag = page.get_by_role("button", name=f"Remove {name}", exact=True)
        tag.click()
        expect(tag).to_have_count(0)
    page.wait_for_url("**draft=**")
    page.wait_for_timeout(1500)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**run=**")
    return re.search("run=([0-9a-f]{12})", page.url).group(1)


def test_a_small_validation_from_the_form_to_the_verdict(server, window, shot):
    store, page = Store(server.home), window(height=2600)
    run_id = start_a_small_validation(page, server, shot)
    spec = store.run(run_id).spec
    assert (spec.training.steps, spec.training.vocab_size, spec.samples_per_subset) == (12, 300, 8)
    assert [method.name for method in spec.methods] == ["untrac-inv", "grad-dot", "random"]
    until(lambda: not store.run(run_id).active)
    assert store.run(run_id).status == "done", store.run(run_id).error
    page.get_by_role("button", name="See which method to trust").click()
    expect(page.get_by_text(re.compile("^Trust ")).first).to_be_visible()
    expect(page.locator(".st-key-ground_truth .js-plotly-plot .bars .point > path")).to_have_count(4)
    shot(page, "validate-light")
    pick(page, "vside", "harmful")
    page.wait_for_url("**vside=harmful**")
    dark = window("dark", width=1920, height=1600)
    dark.goto(f"{server.url}/validate?run={run_id}")
    expect(dark.locator(".st-key-ground_truth .js-plotly-plot .bars .point > path")).to_have_count(4)
    shot(dark, "validate-dark")
