"""Pages of several results: the same numbers as each result's report, in the order that was chosen, words as words."""

import pytest

from tests.helpers.making import enqueue, finish
from tests.helpers.reports import PAYLOADS, Report, hostile_trace, sound_markup
from tests.helpers.unlearn_results import make_unlearn_result, unlearn_spec
from tests.helpers.validations import validate_spec, write_validation
from untrac_core.engine import DEMO_RUN, Store
from untrac_core.errors import InputError
from untrac_core.explore.composed.compose import compose, of_runs, of_runs_and_folders, usual_items
from untrac_core.explore.ranking_view import view_of
from untrac_core.paths import DEMO
from untrac_core.report.picks import PICKS, part_of
from untrac_core.results.folders import load_trace, load_unlearn, load_validate
from untrac_core.specs.build import build
from untrac_core.specs.composed import ComposedReport
from untrac_core.specs.files import composed_yaml, load_composed
from untrac_core.text.numbers import signed

RUN = str(DEMO / "run")


@pytest.fixture
def page(tmp_path):
    """Compose a page of these items and read it as a browser without scripts would."""

    def make(*items, **more):
        report = build(ComposedReport, {"title": "What we found", "items": list(items)}, where="test")
        return Report(compose(report, of_runs_and_folders(Store(tmp_path / "home")), **more))

    return make


def test_parts_stand_in_their_order_with_the_numbers_of_the_result(page):
    place = {"run": RUN, "prompt_set": "bias", "side": "harmful"}
    seen = page(
        {"text": "# First\n\n**mine**"}, {"show": "ranking", **place}, {"text": "then"}, {"show": "truth", **place}
    )
    ranked = load_trace(DEMO / "run").ranking("bias", "harmful")
    assert seen.rankings() == [list(ranked["subset"])]
    headings = [*("First", "Which subsets make stereotype text more likely?", "then", "Estimate vs ground truth: bias")]
    places = [seen.said.rindex(words) for words in headings]
    assert places == sorted(places)
    assert len(seen.figures) == 3
    assert "Demo: texts about invented peoples · UnTrac-Inv" in seen.said
    sound_markup(seen)


def test_a_comparison_has_the_numbers_of_both_rankings(page):
    views = [{"run": RUN}, {"run": RUN, "prompt_set": "truthfulness"}]
    seen = page({"show": "comparison", "views": views})
    [table] = seen.tables
    result = load_trace(DEMO / "run")
    for place, name in ((1, "toxicity"), (4, "truthfulness")):
        values = view_of(result, name).values.set_index("subset")
        for row in table[1:]:
            assert row[place : place + 2] == [str(values["rank"][row[0]]), signed(values["value"][row[0]])]
    assert "Do the same subsets drive toxic and false text?" in seen.said
    assert "No significant rank agreement of A and B" in seen.said


def test_words_and_names_stay_text_and_texts_are_masked(page, tmp_path):
    folder = str(hostile_trace(tmp_path))
    seen = page(
        {"text": "\n\n".join(PAYLOADS)}, {"show": "ranking", "run": folder}, {"show": "examples", "run": folder}
    )
    sound_markup(seen, {"code"}, {"rel"})
    assert not [one for tag, one in seen.tags if tag == "a" and not one["href"].startswith(("#part-", "http"))]
    said = seen.said.split("Training texts behind it")[2]
    assert "•••" in said
    assert "\u202eevil" not in said.split("Where")[1].split("share")[0].replace(PAYLOADS[5][:80], "")


@pytest.mark.parametrize("kind", PICKS)
def test_every_part_that_is_offered_can_be_shown(kind, tmp_path):
    if kind == "validate":
        write_validation(tmp_path / "result", validate_spec(tmp_path / "data"))
        found = load_validate(tmp_path / "result")
    elif kind == "unlearn":
        make_unlearn_result(tmp_path / "result", unlearn_spec(tmp_path / "data"))
        found = load_unlearn(tmp_path / "result")
    else:
        found = load_trace(DEMO / "run")
    for name in PICKS[kind]:
        heading, blocks = part_of(found, name)
        assert heading
        assert list(blocks) or name == "steps"  # the demo's method takes no steps
    with pytest.raises(InputError, match="there is no part 'nothing'"):
        part_of(found, "nothing")
    if kind != "unlearn":
        sided = next(name for name, pick in PICKS[kind].items() if pick.of)
        with pytest.raises(InputError, match="it has no prompt set 'none'"):
            part_of(found, sided, "none")


def test_results_are_found_by_run_and_by_folder_and_what_is_missing_is_named(page, tmp_path):
    store = Store(tmp_path / "home")
    spec = unlearn_spec(tmp_path / "data")
    enqueue(store, spec, "eeeeeeeeeeee")
    fault = "item 1, eeeeeeeeeeee: the run is queued, so it has no result yet"
    with pytest.raises(InputError, match=fault):
        page({"show": "metrics", "run": "eeeeeeeeeeee"})
    make_unlearn_result(store.runs_folder / "eeeeeeeeeeee", spec)
    finish(store, "eeeeeeeeeeee", "done")
    assert "Loss, the forget set" in page({"show": "metrics", "run": "eeeeeeeeeeee"}).said
    with pytest.raises(InputError, match=r"item 1, .*neither the id of a run nor a folder"):
        page({"show": "metrics", "run": "nowhere"})
    with pytest.raises(InputError, match="only traces have rankings"):
        page({"show": "comparison", "views": [{"run": "eeeeeeeeeeee"}] * 2})
    with pytest.raises(InputError, match="is not a run id"):
        of_runs(store)(RUN)
    items = usual_items(["eeeeeeeeeeee", RUN], of_runs_and_folders(store))
    assert [item.show for item in items] == ["answer", "metrics", "curves", "generations", *["ranking", "truth"] * 3]


def test_a_page_as_yaml_is_the_same_page(tmp_path):
    (tmp_path / "result").mkdir()
    views = [{"run": DEMO_RUN}, {"run": "result", "side": "harmful"}]
    items = [{"text": "a: b\n# c"}, {"show": "comparison", "views": views}, {"show": "metrics", "run": "result"}]
    wanted = build(ComposedReport, {"title": "T", "items": items}, where="test")
    (tmp_path / "page.yaml").write_text(composed_yaml(wanted), encoding="utf-8")
    found = load_composed(tmp_path / "page.yaml")
    assert found.items[0] == wanted.items[0]
    assert found.items[1].views[0].run == DEMO_RUN
    assert found.items[1].views[1].run == found.items[2].run == str(tmp_path / "result")
    for bad in ("items: []", "- x", "items: [{text: a, show: ranking}]", "items: [{show: ranking}]",
                "items: [{show: x}]", "items: [{show: comparison, views: [{run: a}]}]"):  # fmt: skip
        (tmp_path / "page.yaml").write_text(bad, encoding="utf-8")
        with pytest.raises(InputError):
            load_composed(tmp_path / "page.yaml")
