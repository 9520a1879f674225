import json

import pytest

from pages.components.compare.selection import Choice, address, read
from tests.helpers.making import HOSTILE, enqueue, finish, no_markup, said, sound, spec_of, write_result
from untrac_core.engine import DEMO_BY_UNTRAC, DEMO_RUN

RUN, OTHER = "bbbbbbbbbbbb", "cccccccccccc"
NAMES = ["forum", "blog", "news", "code"]
TOXIC, BIAS, TRUE = (f"{DEMO_RUN}.{number}.contrast" for number in (1, 2, 3))
BM25 = f"{TOXIC}.bm25"


@pytest.fixture
def traced(store, tmp_path):
    """A finished trace of one unlabelled prompt set, with BM25 and GradDot beside it."""

    def make(run_id=RUN, names=NAMES, created=1.7e9, change=None, **more):
        spec = spec_of(names, tmp_path / run_id, **more)
        enqueue(store, spec, run_id, created)
        write_result(store.runs_folder / run_id, spec)
        path = store.runs_folder / run_id / "summary.json"
        summary = json.loads(path.read_text())
        (change or (lambda summary: None))(summary)
        path.write_text(json.dumps(summary))
        finish(store, run_id, "done")
        return run_id

    return make


@pytest.fixture
def compare(page):
    """The page with these views in its address."""

    def open_page(*views, **query):
        return page("pages/compare.py", views="_".join(views), **query)

    return open_page


def figure(at, number=0):
    return json.loads(at.get("plotly_chart")[number].proto.spec)


def table(at, column):
    return next(frame.value for frame in at.dataframe if column in frame.value.columns)


def test_it_opens_on_toxicity_against_truthfulness_of_the_demo(page):
    at = page("pages/compare.py")
    assert at.subheader[0].value == "Do the same subsets drive toxic and false text?"
    assert at.query_params["views"] == f"{TOXIC}_{TRUE}"
    text = said(at)
    assert "blog drives toxic and false (+0.37 of the largest; +0.31 of the largest)" in text
    assert "forum and stories drive toxic, help true" in text
    assert "No significant rank agreement of A and B: Spearman −0.24" in text
    assert "They are about different prompts: only the order of the subsets compares, not sizes." in text
    assert "Positive: this subset makes toxic text more likely (a lower loss)" in text
    assert "Negative: it pushes towards true" in text
    assert "do not prove" in text
    assert len(figure(at)["data"][0]["customdata"]) == 8
    assert len(at.get("plotly_chart")) == 2


def test_the_address_restores_views_pair_and_subset(compare):
    at = compare(TRUE, BM25, f"{BIAS[:-8]}harmful", against="C", point="web")
    assert at.subheader[0].value == "Do these three views rank the subsets alike?"
    assert "Influence in A and C" in said(at)
    assert "web: A (truthfulness · contrast · UnTrac-Inv): +1.0 of the largest (+0.91 to +1.1)" in said(at)
    assert at.selectbox(key="point").value == "web"
    assert list(table(at, "Spearman")["C"])[2] == "1"


def test_views_are_swapped_added_and_removed(page):
    at = page("pages/compare.py")
    at.button(key="first_1").click().run()
    assert sound(at).query_params["views"] == f"{TRUE}_{TOXIC}"
    at.button(key="add_set").click().run()
    assert sound(at).query_params["views"] == f"{TRUE}_{TOXIC}_{BIAS}"
    at.button(key="first_2").click().run()
    assert sound(at).query_params["views"] == f"{BIAS}_{TRUE}_{TOXIC}"
    at.button(key="remove_1").click().run()
    assert sound(at).query_params["views"] == f"{BIAS}_{TOXIC}"
    assert at.subheader[0].value == "Do the same subsets drive stereotype and toxic text?"


def test_a_view_is_changed_in_place(compare, traced):
    traced()
    at = compare(TOXIC, TRUE)
    key = f"1_{TRUE}"
    at.selectbox(key=f"side_{key}").set_value("harmful").run()
    assert sound(at).query_params["views"] == f"{TOXIC}_{DEMO_RUN}.3.harmful"
    at.selectbox(key=f"method_1_{DEMO_RUN}.3.harmful").set_value("bm25").run()
    assert sound(at).query_params["views"] == f"{TOXIC}_{DEMO_RUN}.3.harmful.bm25"
    at.selectbox(key=f"set_1_{DEMO_RUN}.3.harmful.bm25").set_value("2").run()
    assert sound(at).query_params["views"] == f"{TOXIC}_{DEMO_RUN}.2.harmful.bm25"
    at.selectbox(key=f"run_1_{DEMO_RUN}.2.harmful.bm25").set_value(RUN).run()
    assert sound(at).query_params["views"] == f"{TOXIC}_{RUN}.1.harmful.bm25"
    at = compare(TOXIC, BM25)
    at.selectbox(key=f"method_1_{BM25}").set_value("untrac-inv").run()
    assert "This view is there already" in said(sound(at))


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("dddddddddddd.1.contrast", "There is no run dddddddddddd; it may have been deleted"),
        (f"{DEMO_RUN}.9.contrast", "has 3 prompt sets, and this address asks for number 9"),
        (f"{TOXIC}.ek-fac", "has no ranking of that side by that method"),
        ("../../etc.1.contrast", "A view in this address cannot be read"),
        (f"{DEMO_RUN}.1.sideways", "A view in this address cannot be read"),
        (HOSTILE[0], "A view in this address cannot be read"),
        (TOXIC, "names a view twice"),
    ],
)
def test_what_an_address_gets_wrong_is_said_and_the_rest_is_shown(compare, view, words):
    at = compare(TOXIC, view, TRUE)
    assert words in said(at)
    assert at.subheader[0].value == "Do the same subsets drive toxic and false text?"


def test_an_address_of_nonsense_alone_offers_a_start(compare):
    at = compare("zzz", against="Z", point=HOSTILE[0], rows="none")
    assert "None of the views in this address can be shown." in said(at)
    at.button(key="start_over").click().run()
    assert sound(at).subheader[0].value == "Do the same subsets drive toxic and false text?"


def test_nonsense_beside_the_views_falls_back(compare):
    at = compare(TOXIC, TRUE, BIAS, against="Z", point=HOSTILE[0], rows="none", every="perhaps")
    assert "Influence in A and B" in said(at)
    assert at.selectbox(key="point").value is None


def test_more_than_four_views_are_cut():
    choices, faults = read("_".join(f"{DEMO_RUN}.{number}.contrast" for number in range(1, 7)))
    assert len(choices) == 4
    assert "more than 4" in faults[0]
    assert read(address(choices)) == (choices, [])
    assert read("x" * 10**6) == (
        [],
        ["A view in this address cannot be read, so it is left out. Choose another in its place."],
    )
    assert read(f"{DEMO_RUN}.1.contrast.bm25")[0] == [Choice(DEMO_RUN, 1, "contrast", "bm25")]


def test_a_run_that_is_not_done_or_ranks_nothing_is_said(compare, store, tmp_path):
    enqueue(store, spec_of(NAMES, tmp_path / "data"), RUN)
    assert "has no result yet" in said(compare(TOXIC, f"{RUN}.1.harmful", TRUE))
    finish(store, RUN, "done")
    assert "cannot be read" in said(compare(TOXIC, f"{RUN}.1.harmful", TRUE))


def test_runs_of_the_same_prompts_are_told_apart_and_their_differences_listed(compare, traced):
    traced(name="the first")

    def change(summary):
        for row in summary["ranking"]:
            row.update(influence=row["influence"] - 0.03, low=row["low"] - 0.03, high=row["high"] - 0.03)

    traced(OTHER, names=[*NAMES[:3], "web"], name="the second", change=change, seeds=[7, 8])
    at = compare(f"{RUN}.1.harmful", f"{OTHER}.1.harmful")
    assert at.subheader[0].value == "Do these two views rank the subsets alike?"
    assert "forum, blog and news drive prompts in A" not in said(at)
    assert "forum and blog drive prompts in both." in said(at)
    assert "code (only in A); web (only in B)" in said(at)
    assert "over 3 subsets, too few for any order to beat chance" in said(at)
    settings = table(at, "setting").set_index("setting")
    assert settings.loc["spec.seeds"].tolist() == ["0, 1, 2, 3, 4", "7, 8"]
    assert "spec.device" not in settings.index
    at.toggle(key="every").set_value(True).run()
    assert "spec.device" in table(sound(at), "setting")["setting"].tolist()


def test_one_request_run_twice_has_a_difference_in_nats(compare, traced, tmp_path):
    traced()

    def change(summary):
        for row in summary["ranking"]:
            row.update(influence=row["influence"] + 0.5, low=row["low"] + 0.5, high=row["high"] + 0.5)

    traced(OTHER, change=change)
    for run_id in (RUN, OTHER):
        folder = next((tmp_path / "home").rglob(run_id))
        known = {"model": {"sha256": "m"}, "data": {"prompt set prompts": "p", "subset forum": run_id}}
        (folder / "environment.json").write_text(json.dumps(known))
    at = compare(f"{RUN}.1.harmful", f"{OTHER}.1.harmful")
    assert "their difference has a meaning" in said(at)
    rows = table(at, "B − A")
    assert rows["B − A"].tolist() == pytest.approx([0.5] * 4)
    assert rows["B − A from"].tolist() == pytest.approx([0.5 - 0.0002**0.5] * 4)
    assert "The same name, but other texts: forum." in said(at)


def test_a_baseline_keeps_its_own_unit(compare):
    at = compare(TOXIC, BM25)
    assert "They are in different units" in said(at)
    assert figure(at)["layout"]["yaxis"]["title"]["text"] == "B · BM25<br>BM25 score"
    assert (
        figure(at)["layout"]["xaxis"]["title"]["text"] == "A · UnTrac-Inv<br>influence, nats per token per micro-step"
    )
    assert "by BM25, this subset speaks for toxic text" in said(at)
    assert "The ranks of A and B agree: Spearman 1.00" in said(at)


def test_views_without_a_common_subset_say_so(compare, traced):
    traced()
    traced(OTHER, names=["a", "b", "c"])
    at = compare(f"{RUN}.1.harmful", f"{OTHER}.1.harmful")
    text = said(at)
    assert "no subset in common" in text
    assert "no point to draw" in text
    assert "no places to compare" in text
    assert not at.get("plotly_chart")


def test_filtered_to_nothing_is_told_from_empty(compare):
    at = compare(TOXIC, BM25, rows="not in every view")
    assert "None of the 8 subsets: not in every view" in said(at)
    at.selectbox(key="rows").set_value("significant in both").run()
    shown = table(sound(at), "Rank A")
    assert len(shown) == 8
    at = compare(TOXIC, TRUE, rows="significant in both")
    assert set(table(at, "Rank A")["Subset"]).isdisjoint({"news", "code"})


def test_a_click_on_a_point_tells_of_its_subset_and_a_later_choice_stands(compare):
    at = compare(TOXIC, TRUE)
    at.session_state["scatter_B"] = {"selection": {"points": [{"customdata": "code"}]}}
    sound(at.run())
    assert "code: A (toxicity): −0.85 of the largest" in said(at)
    at.selectbox(key="point").set_value("web").run()
    assert "web: A (toxicity)" in said(sound(at))


def test_a_run_of_one_prompt_set_offers_what_could_stand_beside_it(page, traced):
    traced()
    at = page("pages/compare.py", run=RUN)
    assert "One view is here. Choose what to compare it with." in said(at)
    assert at.button(key="open_trace").label == "Trace another prompt set"
    at.button(key="add_method").click().run()
    assert sound(at).query_params["views"] == f"{RUN}.1.harmful_{RUN}.1.harmful.bm25"
    assert "Cannot separate: no subset is significant in both views." in said(at)


def test_a_single_trace_and_none_at_all_are_told_apart(page, store, traced):
    page()  # installs the demo
    for recorded in (DEMO_RUN, DEMO_BY_UNTRAC):
        store.delete(recorded)
    at = page("pages/compare.py")
    assert "There is no finished trace yet" in said(at)
    assert at.button(key="open_trace").label == "Trace the demo"
    traced()
    at = page("pages/compare.py")
    assert "There is one finished trace, and it has one prompt set." in said(at)


def test_the_newest_run_of_several_prompt_sets_comes_before_the_demo(page, traced, tmp_path):
    sets = [
        {"name": name, "source": {"file": str(tmp_path / RUN / "prompts.jsonl")}, "columns": {"completion": "text"}}
        for name in ("tales", "songs")
    ]

    def both(summary):
        summary["ranking"] += [row | {"prompt_set": "songs"} for row in summary["ranking"]]

    traced(prompts=sets, change=both)
    at = page("pages/compare.py")
    assert at.query_params["views"] == f"{RUN}.1.harmful_{RUN}.2.harmful"
    assert at.subheader[0].value == "Do the same subsets drive tales and songs text?"


def test_hostile_names_and_labels_are_shown_as_text(page, hostile_run):
    views = f"{hostile_run}.1.harmful_{hostile_run}.1.harmful.bm25_{TOXIC}"
    at = page("pages/compare.py", views=views, point=HOSTILE[1])
    no_markup(at)
    assert HOSTILE[0] in [element.value for element in at.text]
    for chart in at.get("plotly_chart"):
        drawn = json.loads(chart.proto.spec)
        for trace in drawn["data"]:
            trace.pop("customdata", None)  # never drawn
        assert "<img" not in json.dumps(drawn)
    at = page("pages/compare.py", views=f"{hostile_run}.1.harmful_{hostile_run}.1.harmful.grad-dot", present="1")
    no_markup(at)


def test_a_presentation_has_no_controls(compare):
    at = compare(TOXIC, TRUE, present="1")
    assert at.title[0].value == "Do the same subsets drive toxic and false text?"
    assert not at.selectbox
    assert [button.key for button in at.button] == ["leave"]
    assert "blog drives toxic and false" in said(at)
    assert figure(at)["data"][0]["textfont"]["size"] == 20


def test_a_presentation_keeps_the_view_that_was_set_against_the_baseline(compare):
    at = compare(TOXIC, TRUE, BIAS, against="C")
    at.button(key="present").click().run()
    assert "in view C" in at.get("plotly_chart")[0].proto.alt
    at.run()
    assert "in view C" in sound(at).get("plotly_chart")[0].proto.alt


def test_one_view_is_nothing_to_present(compare):
    at = compare(TOXIC, present="1")
    assert [button.key for button in at.button] == ["leave"]
    assert "nothing to present" in said(at)


@pytest.mark.parametrize("run_id", ["no such run", "0123456789ab"])
def test_an_unknown_run_in_the_address_is_said(page, run_id):
    at = page("pages/compare.py", run=run_id)
    assert "there is no run" in said(at)
    assert "views" not in at.query_params
