import json

import pandas as pd
import pytest

from tests.helpers.making import HOSTILE, enqueue, finish, said, sound, spec_of, write_result
from tests.helpers.validations import validate_spec
from untrac_core.engine import DEMO_RUN
from untrac_core.tasks.trace import frames


def figure(at, number=0):
    return json.loads(at.get("plotly_chart")[number].proto.spec)


RUN = "bbbbbbbbbbbb"
NAMES = ["forum", "blog", "news", "code"]


@pytest.fixture
def result(page, store, tmp_path):
    """Open the page of a finished trace whose summary was changed."""

    def open_result(change=None, names=NAMES, **more):
        spec = spec_of(names, tmp_path / "data", **more)
        enqueue(store, spec, RUN)
        write_result(store.runs_folder / RUN, spec)
        path = store.runs_folder / RUN / "summary.json"
        summary = json.loads(path.read_text())
        (change or (lambda summary: None))(summary)
        path.write_text(json.dumps(summary))
        finish(store, RUN, "done")
        return page("pages/influence.py", run=RUN)

    return open_result


def ranks(at):
    return next(table.value for table in at.dataframe if "bm25" in table.value.columns)


def test_the_demo_shows_question_answer_bars_path_and_truth(page):
    at = page("pages/influence.py", run=DEMO_RUN)
    assert at.subheader[0].value == "Which subsets push the model towards toxic text?"
    assert len(at.get("plotly_chart")) == 4
    bars = figure(at)["data"][0]
    assert len(bars["customdata"]) == 8
    assert "Positive: this subset makes toxic text more likely" in said(at)
    assert "do not prove" in said(at)
    assert "Pearson r = " in said(at)
    assert "kind: trace" in said(at)


def test_a_blend_is_drawn_with_what_each_bar_is_made_of(page):
    at = page("pages/influence.py", run=DEMO_RUN)
    before = len(at.get("plotly_chart"))
    at.toggle(key="blend").set_value(True).run()
    assert len(sound(at).get("plotly_chart")) == before + 1
    weights = next(table.value for table in at.dataframe if "Retraining" in table.value.columns)
    assert list(weights.columns) == ["subset", "UnTrac-Inv", "UnTrac", "Retraining"]
    assert "each subset's own retraining" in said(at)


def test_the_ladder_asks_about_all_subsets_or_the_open_ones(page):
    at = page("pages/influence.py", run=DEMO_RUN)
    at.toggle(key="ladder").set_value(True).run()
    at.segmented_control(key="ladder_about").set_value("the large and the undecided ones").run()
    assert "forum, blog, news" in [text.value for text in sound(at).text]


def test_the_address_chooses_set_and_side(page):
    at = page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmless")
    assert "more likely?" in at.subheader[0].value
    assert "anti stereotype" in at.subheader[0].value
    at.segmented_control(key="side").set_value("harmful").run()
    assert sound(at).subheader[0].value == "Which subsets make stereotype text more likely?"
    [link] = [link.proto for link in at.get("page_link") if link.proto.label == "Texts"]
    assert link.page == "examples", "also for who cannot click a bar"
    assert link.query_string == f"run={DEMO_RUN}&of_set=bias&of_side=harmful"


def test_baselines_stand_beside_the_ranking_with_their_agreement_in_words(result):
    at = result()
    assert ranks(at).set_index("subset").loc["code"].to_dict() == {"UnTrac-Inv": 4, "bm25": 4, "grad-dot": 1}
    assert list(ranks(at)["subset"]) == NAMES
    assert (
        "BM25 (BM25 score): Spearman 1.00, the same subset first. A plain comparison of texts says the same as "
        "UnTrac-Inv. With 4 subsets that can be chance."
    ) in said(at)
    assert "GradDot (dot product of gradients): Spearman −1.00, another first: code." in said(at)
    assert "Not ranked: GradCos, Hidden-state similarity, Random." in said(at)
    assert [link.proto.page for link in at.get("page_link") if link.proto.label.startswith("Check it")] == ["validate"]


def test_enough_subsets_are_no_chance_and_numbers_by_chance_are_no_comparison(result):
    def change(summary):
        for row in [*summary["baselines"], *summary["agreement"]]:
            row["method"] = {"bm25": "random", "grad-dot": "grad-cos"}[row["method"]]
        summary["agreement"][1] |= {"spearman": 1.0, "same_top": True}

    text = said(result(change, names=[*NAMES, "web"]))
    assert "This cheaper look says the same as UnTrac-Inv." in text
    assert "By chance, numbers drawn at random say the same" in text
    assert "that can be chance" not in text


def test_a_baseline_without_spread_is_not_compared(result):
    at = result(lambda summary: summary["agreement"][0].update({"spearman": None}))
    assert "BM25 (BM25 score): no agreement can be computed" in said(at)


def test_a_folder_without_baselines_says_so(result):
    def older(summary):
        for name in ("baselines", "agreement", "ties"):
            del summary[name]

    at = result(older)
    assert "No baseline was ranked beside this method" in said(at)
    assert "Cannot separate" not in said(at)
    assert "bracket" not in said(at)


def test_a_refused_ranking_still_shows_the_baselines(result):
    def collapse(summary):
        summary |= {"ranking": [], "ties": [], "agreement": [], "collapsed": ["all"]}
        summary["verdicts"][0] |= {"text": "No ranking.", "top": None, "collapsed": True}

    at = result(collapse)
    assert list(ranks(at).columns) == ["subset", "bm25", "grad-dot"]
    assert "collapsed" in said(at)
    assert not at.get("plotly_chart")


def test_a_ranking_of_collapsed_models_is_shown_and_marked(result):
    def collapse(summary):
        for row in summary["ranking"]:
            row |= {"separable": False, "collapsed": True}
        summary["verdicts"][0] |= {"text": "Do not rely on this ranking.", "top": None, "collapsed": True}

    at = result(collapse, method={"name": "untrac", "preset": "paper"})
    assert "Do not rely on this ranking." in said(at)
    assert any(":orange-badge[:material/warning: collapsed]" in element.value for element in at.markdown)
    table = next(table.value for table in at.dataframe if "separable" in table.value.columns)
    assert set(table["separable"]) == {"no: collapsed"}
    assert not [link for link in at.get("page_link") if link.proto.label == "Unlearn this subset"]


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([], "Every subset can be told from its neighbours"),
        ([["blog", "news"]], "Cannot separate, within each of these runs: ranks 2 to 3 (blog and news)."),
        ([["forum", "blog", "news"], ["news", "code"]], "ranks 1 to 3 (forum, blog, news); ranks 3 to 4 (news and"),
        ([NAMES], "no two of the 4 subsets can be told from each other"),
    ],
)
def test_what_cannot_be_separated_is_said_and_bracketed(result, groups, words):
    at = result(lambda summary: summary["ties"][0].update({"subsets": groups}))
    assert words in said(at)
    assert len(figure(at)["layout"].get("shapes", [])) == 3 * len(groups)
    assert ("bracket: not significantly different from each other" in said(at)) == bool(groups)


def test_long_and_many_runs_are_told_briefly():
    names = [f"s{i}" for i in range(20)]
    ranked = pd.DataFrame({"subset": names, "rank": range(1, 21)})
    text = frames.groups_in_words(ranked, [names[i : i + 6] for i in range(9)])
    assert text.startswith("Cannot separate, within each of these runs: ranks 1 to 6 (s0 to s5); ")
    assert text.endswith("and 3 more such runs.")


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, None),
        ({"stable": False}, None),  # of a result whose order was looked at along the steps, which told nothing
        ({"collapsed": True}, "collapsed"),
    ],
)
def test_the_answer_says_whether_the_model_collapsed(result, change, shown):
    at = result(lambda summary: summary["verdicts"][0].update(change))
    badges = [element.value for element in at.markdown if "-badge[" in element.value]
    assert [f" {shown}]" in badge for badge in badges] == ([True] if shown else [])


def test_proportional_sizes_count_the_share_in(result):
    text = said(result(weighting="proportional", method={"name": "untrac-inv", "preset": "paper"}))
    assert text.count("its share of the text counted in and others filling its place") == 2
    assert "shares of the text are not yet counted in" in text


def test_a_baseline_alone_is_a_score_and_no_loss(result):
    at = result(method={"name": "grad-dot"})
    text = said(at)
    assert "GradDot · 1 prompt set" in text
    assert "A score in the method's own unit" in text
    assert "a lower probability" not in text
    assert figure(at)["layout"]["xaxis"]["title"]["text"] == "influence, score of GradDot"


def test_a_validation_points_to_its_own_page(page, store, tmp_path):
    enqueue(store, validate_spec(tmp_path / "data"), "eeeeeeeeeeee")
    finish(store, "eeeeeeeeeeee", "done")
    at = page("pages/influence.py", run="eeeeeeeeeeee")
    [link] = [link.proto for link in at.get("page_link") if link.proto.label.startswith("Look at it")]
    assert (link.page, link.query_string) == ("validate", "run=eeeeeeeeeeee")


@pytest.mark.parametrize(
    "query", [{"set": "no such set"}, {"side": "sideways"}, {"set": HOSTILE[0], "side": HOSTILE[1]}]
)
def test_nonsense_in_the_address_falls_back(page, query):
    at = page("pages/influence.py", run=DEMO_RUN, **query)
    assert at.subheader[0].value == "Which subsets push the model towards toxic text?"


def test_many_subsets_are_drawn_from_both_ends_until_all_are_asked_for(result):
    names = [f"subset {i}" for i in range(40)]
    at = result(names=names)
    bars = figure(at)["data"][0]
    assert bars["customdata"] == names[:24] + names[-12:]
    assert "Drawn: the first 24 and the last 12 of 40 subsets" in said(at)
    at.toggle(key="every").set_value(True).run()
    assert figure(sound(at))["data"][0]["customdata"] == names


def test_a_clicked_bar_opens_the_texts_of_its_subset(result):
    at = result()
    at.session_state["bars_prompts_harmful"] = {"selection": {"points": [{"customdata": "news"}]}}
    at.run()
    assert (sound(at).query_params["run"], at.query_params["subset"]) == (RUN, "news")
    assert at.subheader[0].value == "Which training texts make these prompts more likely?"


@pytest.mark.parametrize("query", [{}, {"run": "dddddddddddd"}, {"run": "zzz"}, {"run": "../../etc"}])
def test_without_a_run_the_page_offers_the_demo(page, query):
    at = page("pages/influence.py", **query)
    assert at.button(key="open_demo").label == "Open the demo"
    at.button(key="open_demo").click().run()
    assert len(sound(at).get("plotly_chart")) == 4


def test_a_run_without_a_result_points_to_the_runs_page(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data"), "cccccccccccc")
    at = page("pages/influence.py", run="cccccccccccc")
    assert at.button(key="go_to_run").label == "Go to the run"


def test_broken_files_are_said_not_thrown(page, store, tmp_path):
    enqueue(store, spec_of(["forum", "news"], tmp_path / "data"), "cccccccccccc")
    finish(store, "cccccccccccc", "done")
    at = page("pages/influence.py", run="cccccccccccc")
    assert "cannot be read" in said(at)


def test_hostile_names_and_texts_are_shown_as_text(page, hostile_run):
    at = page("pages/influence.py", run=hostile_run)
    for element in [*at.title, *at.markdown, *at.caption, *at.subheader, *at.warning, *at.info]:
        assert "evil.example" not in element.value
        assert "cmd|" not in element.value
    assert HOSTILE[0] in [element.value for element in at.text]
    for chart in at.get("plotly_chart"):
        shapes = json.loads(chart.proto.spec)
        for trace in shapes["data"]:
            trace.pop("customdata", None)  # never drawn
        assert "<img" not in json.dumps(shapes)
    for file in ("app.py", "pages/runs.py"):
        other = page(file, run=hostile_run)
        for element in [*other.title, *other.markdown, *other.caption]:
            assert "evil.example" not in element.value


def test_trajectory_of_the_contrast_is_the_paired_difference():
    rows = [
        ("p", "", side, "forum", seed, step, value * step)
        for side, value in (("harmful", 3.0), ("harmless", 1.0))
        for seed in (0, 1)
        for step in (0, 1, 2)
        if not (side == "harmless" and seed == 1 and step == 2)
    ]
    frame = pd.DataFrame(rows, columns=["prompt_set", "group", "side", "subset", "seed", "step", "influence"])
    points = frames.trajectory(frame, "p", "contrast").set_index("step")
    assert points.loc[2, "influence"] == 4.0
    assert points.loc[2, "seeds"] == 1
    assert points.loc[1, "seeds"] == 2


def test_agreement_needs_three_subsets_that_differ():
    pairs = pd.DataFrame({"truth": [1.0, 2.0, 3.0], "influence": [1.0, 2.0, 4.0]})
    assert frames.pearson(pairs) == pytest.approx(0.9819805)
    assert frames.pearson(pairs.iloc[:2]) is None
    assert frames.pearson(pairs.assign(truth=1.0)) is None


def test_a_run_is_extended_by_more_seeds(page, store, monkeypatch):
    at = page("pages/influence.py", run=DEMO_RUN)
    own = len(store.run(DEMO_RUN).spec.seeds)
    at.button(key="extend").click().run()
    assert f"Seeds (it has {own})" in [field.label for field in sound(at).number_input]
    assert "None of its cells are kept, so that all are computed." in said(at)
    assert "more seeds do not narrow its intervals" in said(at)
    at.number_input(key="extend_seeds").set_value(own + 2).run()
    at.button(key="extend_start").click().run()
    [run] = [run for run in store.runs() if run.status == "queued"]
    assert run.spec.seeds == list(range(own + 2))
    assert run.name.endswith(f", {own + 2} seeds")
    assert "next in the queue" in said(sound(at))


def test_an_open_verdict_offers_more_seeds_where_they_narrow_it(result):
    def undecided(summary):
        summary["verdicts"][0]["top"] = None
        for row in summary["ranking"]:
            row["low"], row["high"] = row["influence"] - 0.2, row["influence"] + 0.2

    at = result(undecided, method={"name": "continuation"}, seeds=[0, 1])
    assert "More seeds would narrow the intervals, too." in said(at)
    assert at.button(key="extend_to_settle").label == "Extend this run"


def test_more_seeds_are_not_offered_where_they_tell_nothing(result):
    def undecided(summary):
        summary["verdicts"][0]["top"] = None

    assert "More seeds" not in said(result(undecided, seeds=[0, 1]))
