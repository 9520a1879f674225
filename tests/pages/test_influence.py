import json

import pandas as pd
import pytest
from making import HOSTILE, enqueue, finish, said, sound, spec_of

from pages.components import influence_data as data
from untrac_core.engine import DEMO_RUN


def figure(at, number=0):
    return json.loads(at.get("plotly_chart")[number].proto.spec)


def test_the_demo_shows_question_answer_bars_path_and_truth(page):
    at = page("pages/influence.py", run=DEMO_RUN)
    assert at.title[0].value == "Which subsets push the model towards toxic text?"
    assert len(at.get("plotly_chart")) == 4
    bars = figure(at)["data"][0]
    assert len(bars["customdata"]) == 8
    assert "Positive: without this subset" in said(at)
    assert "do not prove" in said(at)
    assert "Pearson r = " in said(at)
    assert "kind: trace" in said(at)


def test_the_address_chooses_set_and_side(page):
    at = page("pages/influence.py", run=DEMO_RUN, set="bias", side="harmless")
    assert "more likely?" in at.title[0].value
    assert "anti stereotype" in at.title[0].value
    at.segmented_control(key="side").set_value("harmful").run()
    assert sound(at).title[0].value == "Which subsets make stereotype text more likely?"


@pytest.mark.parametrize(
    "query", [{"set": "no such set"}, {"side": "sideways"}, {"set": HOSTILE[0], "side": HOSTILE[1]}]
)
def test_nonsense_in_the_address_falls_back(page, query):
    at = page("pages/influence.py", run=DEMO_RUN, **query)
    assert at.title[0].value == "Which subsets push the model towards toxic text?"


def test_training_texts_are_masked_until_asked_for(page):
    at = page("pages/influence.py", run=DEMO_RUN, side="harmful")
    frame = next(table.value for table in at.dataframe if "text" in table.value.columns)
    assert set("".join(frame["text"])) <= {"•", " "}
    at.toggle(key="show_texts").set_value(True).run()
    frame = next(table.value for table in sound(at).dataframe if "text" in table.value.columns)
    assert any(letter.isalpha() for letter in "".join(frame["text"]))


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


def test_csv_guards_texts_against_formulas_and_leaves_numbers():
    frame = pd.DataFrame({"subset": ["=1+1", "+x", "-y", "@z", "\tt", "fine"], "influence": [-0.5, 1, 2, 3, 4, 5]})
    lines = data.guarded_csv(frame).decode().splitlines()
    assert lines[1] == "'=1+1,-0.5"
    assert [line.partition(",")[0] for line in lines[2:]] == ["'+x", "'-y", "'@z", "'\tt", "fine"]


def test_trajectory_of_the_contrast_is_the_paired_difference():
    rows = [
        ("p", "", side, "forum", seed, step, value * step)
        for side, value in (("harmful", 3.0), ("harmless", 1.0))
        for seed in (0, 1)
        for step in (0, 1, 2)
        if not (side == "harmless" and seed == 1 and step == 2)
    ]
    frame = pd.DataFrame(rows, columns=["prompt_set", "group", "side", "subset", "seed", "step", "influence"])
    points = data.trajectory(frame, "p", "contrast").set_index("step")
    assert points.loc[2, "influence"] == 4.0
    assert points.loc[2, "seeds"] == 1
    assert points.loc[1, "seeds"] == 2


def test_agreement_needs_three_subsets_that_differ():
    pairs = pd.DataFrame({"truth": [1.0, 2.0, 3.0], "influence": [1.0, 2.0, 4.0]})
    assert data.pearson(pairs) == pytest.approx(0.9819805)
    assert data.pearson(pairs.iloc[:2]) is None
    assert data.pearson(pairs.assign(truth=1.0)) is None
