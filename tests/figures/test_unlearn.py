import math
from dataclasses import replace

import pytest

from tests.helpers.reports import only_text
from tests.helpers.unlearn_results import make_unlearn_result, unlearn_spec
from untrac_core.figures.collateral import collateral_heatmap, wrapped
from untrac_core.figures.palette import LESS, UNDECIDED
from untrac_core.figures.unlearn import MORE, course_lines, exposure_strip, method_colours, tradeoff_lines
from untrac_core.results.folders import load_unlearn
from untrac_core.specs import unlearning_method_spec
from untrac_core.tasks.unlearn import frames
from untrac_core.tasks.unlearn.frames import collateral_in_words, collateral_rows

HOSTILE = '<a href="http://evil.example">x</a><img src=x onerror=alert(1)>'


@pytest.fixture
def result(tmp_path):
    def make(retrained=True, change=None, text="sing.", **more):
        spec = unlearn_spec(tmp_path / "data", retrained=retrained, **more)
        make_unlearn_result(tmp_path / "result", spec, text, retrained, change)
        return load_unlearn(tmp_path / "result")

    return make


def drawn(found, dark=False):
    """One of each figure of a result."""
    prompts = found.spec.prompts[0]
    retrained = frames.retrained_point(found)
    figures = [
        course_lines(frames.history(found, "npo", 0, prompts), stop=20, dark=dark),
        tradeoff_lines(frames.tradeoff(found), titles=frames.titles(found.spec), retrained=retrained, dark=dark),
        collateral_heatmap(collateral_rows(found), dark=dark),
    ]
    return figures + [
        exposure_strip(found.forget_examples, by=by, dark=dark) for by in ("memorised", "difficult") if retrained
    ]


def test_a_course_has_a_line_a_set_its_retrained_model_dotted_and_the_kept_step_dashed(result):
    found = result()
    chart = course_lines(frames.history(found, "npo", 1, found.spec.prompts[0]), stop=10)
    lines = [trace for trace in chart.data if trace.mode == "lines+markers"]
    assert [list(line.y) for line in lines] == [[2, 3, 4], [2.5, 2.625, 2.75], [1.5, 2, 2.5], [1.5, 1.625, 1.75]]
    assert [trace.y[0] for trace in chart.data if trace.line.dash == "dot"] == [3.5, 2.5, 2.25, 1.5]
    assert [note.text for note in chart.layout.annotations] == [
        "the forget set", "the retain set", "toxic", "benign", "kept: step 10",
    ]  # fmt: skip
    assert chart.layout.shapes[0].x0 == 10
    low, high = chart.layout.yaxis.range
    assert low < 1.5
    assert high > 4


def test_a_course_without_a_retrained_model_or_a_stop_is_drawn_without_them(result):
    found = result(retrained=False)
    chart = course_lines(frames.history(found, "npo", 0, None), stop=None)
    assert len(chart.data) == 2
    assert not chart.layout.shapes


def test_lines_of_quality_end_where_the_unlearning_ended_and_the_retrained_model_is_at_its_place(result):
    found = result()
    chart = tradeoff_lines(
        frames.tradeoff(found), titles=frames.titles(found.spec), retrained=frames.retrained_point(found)
    )
    *ways, marks = chart.data
    assert [(way.line.color, way.line.width) for way in ways] == [(LESS, 2.5), (LESS, 1), (MORE, 2.5)]
    assert (ways[0].x[-1], ways[0].y[-1], ways[0].marker.symbol[-1]) == (2.75, -20, "diamond")
    assert (marks.x[-1], marks.y[-1], marks.marker.symbol[-1]) == (2.5, 0, "star")
    assert [text.strip() for text in marks.text if text] == ["NPO", "Training on the rest", "before", "retrained"]


def test_a_destroyed_model_leaves_the_figure_and_the_others_stay_visible(result):
    def change(summary, tables):
        rows = tables["curves"]
        rows.loc[(rows["method"] == "npo") & (rows["kind"] == "subset") & (rows["step"] == 20), "loss"] = 9.0

    found = result(change=change)
    chart = tradeoff_lines(frames.tradeoff(found), titles=frames.titles(found.spec), retrained=(2.5, 0.0))
    assert chart.layout.xaxis.range[1] < 3
    assert "diamond" not in chart.data[0].marker.symbol
    assert "NPO" not in [text.strip() for text in chart.data[-1].text]


def test_without_a_retrained_model_quality_is_the_loss_of_the_forget_set(result):
    found = result(retrained=False)
    chart = tradeoff_lines(frames.tradeoff(found), titles=frames.titles(found.spec), retrained=None)
    assert list(chart.data[0].y) == [2, 3, 4]
    assert "NPO: the forget set went from 2.00 to 4.00; the retain set" in frames.tradeoff_in_words(found)
    assert "loss of the forget set" in chart.layout.yaxis.title.text


def test_the_heatmap_colours_what_is_clear_and_writes_every_number(result):
    vague, clear = collateral_heatmap(collateral_rows(result())).data
    assert [row[0] for row in clear.z] == [2, None, 0.25, 1, 0.25]
    assert [row[0] for row in vague.z] == [None, 0, None, None, None]
    assert [row[0] for row in vague.text] == ["", "+0.25", "", "", ""]
    assert [row[2] for row in clear.text] == ["+1.5", "", "", "+0.75", ""]
    assert (clear.zmin, clear.zmax) == (-1, 1)  # of all but the forget set
    assert vague.colorscale[0][1] == UNDECIDED
    assert list(clear.customdata[3][0]) == ["toxicity, harmful", "NPO"]


def test_points_stand_in_rows_by_stratum_with_their_median(result):
    points, middles = exposure_strip(result().forget_examples).data
    assert list(points.customdata) == [f"text {number}" for number in range(6)]
    assert list(points.marker.symbol) == ["diamond", *["circle"] * 5]
    assert [round(y) for y in points.y] == [2, 2, 1, 1, 0, 0]
    assert list(middles.x) == [-60, -20, 20]


@pytest.mark.parametrize("dark", [False, True])
def test_backgrounds_are_transparent_and_hostile_names_are_text(result, dark):
    beside = [{"name": "retain-only"}, {"name": "npo", "label": f"{HOSTILE[:60]}"}]

    def change(summary, tables):
        tables["forget_examples"]["id"] = HOSTILE
        for table in ("curves", "collateral"):
            rows = tables[table]
            rows.loc[rows["method"] == "retain-only", "method"] = beside[1]["label"]

    found = result(names=[HOSTILE[:60], "=1+1", "b"], prompts=HOSTILE[:70], compare=beside[:1], change=change)
    for figure in drawn(found, dark):
        only_text(figure)


def test_names_stand_on_short_lines_and_methods_have_colours_in_order():
    assert wrapped("Training on the rest", 24) == "Training<br>on the<br>rest"
    assert wrapped("<b>", 24) == "&lt;b&gt;"
    assert list(method_colours(list("abcdef")).values())[-2:] == [UNDECIDED] * 2


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4.436, "nats per token", "4.44"), (0.00499, "nats per token", "0.0050"), (-0.148, "nats per token", "−0.15"),
        (154.4, "bits per text", "154"), (-3.98, "bits per text", "−4.0"), (0.0, "", "0"), (17.0, "steps", "17"),
        (None, "", "–"), (math.nan, "", "–"), (-12.4, "nats per token", "−12.40"),
    ],
)  # fmt: skip
def test_numbers(value, unit, text):
    assert frames.figure(value, unit) == text


def test_the_headlines_come_first_and_what_has_no_retrained_model_says_so(result):
    first = frames.table(result(), headlines=True)
    assert list(first["metric"]) == [
        "Loss, the forget set", "Loss, the retain set", "Loss gap, harmless minus harmful, toxicity",
        "Harmful texts written, what is written", "Distance to the retrained model, the forget set",
        "Generalised exposure, mean, the forget set",
    ]  # fmt: skip
    assert list(first.iloc[0])[1:6] == ["2.00", "4.00", "3.90 to 4.10", "3.50", "0.0040"]
    bare = result(retrained=False)
    table = frames.table(bare, headlines=True)
    assert set(table["retrained"]) == set(table["seed_noise"]) == {"no retrained model"}
    assert "the retrained model's" not in set(table["goal"])
    assert "Steps to relearn, the forget set" in set(frames.table(bare, headlines=False)["metric"])


def test_sentences_say_when_and_what_it_cost(result):
    found = result()
    rows = frames.history(found, "npo", 0, found.spec.prompts[0])
    told = frames.course_in_words(rows, frames.stopped_at(found, "npo", 0))
    assert "By step 20, in nats per token: the forget set from 2.00 to 4.00 (the retrained model 3.50)" in told
    assert "first as unlikely as to the retrained model at step 20" in told
    assert "never became" in frames.course_in_words(frames.history(found, "retain-only", 0, None), 20)
    told = frames.tradeoff_in_words(found)
    assert told.startswith(
        "NPO: exposure went from 60 to −20 bits per text (the retrained model 0); the retain set went from 2.50 to 2.75"
    )
    moved = collateral_in_words(collateral_rows(found), "npo")
    assert "NPO moved most: toxicity, harmful, less likely (+1.0 nats per token" in moved
    assert "Of 4 sets, 3 became less likely and 0 more likely" in moved
    assert "2 of 6 texts are still likelier" in frames.hard_in_words(found.forget_examples)
    assert frames.stopping(found)[0].startswith("Stop rule: as after retraining, when")
    assert frames.stopping(found)[2] == "Seed 1: all 20 steps."


@pytest.mark.parametrize("rule", ["match_retrained", "match_holdout"])
def test_a_stop_by_the_models_that_it_is_compared_with_says_so(result, rule):
    found = result()
    stop = found.spec.stop.model_copy(update={"rule": rule})
    told = frames.stopping(replace(found, spec=found.spec.model_copy(update={"stop": stop})))
    assert told[-1].startswith("This rule looks at the retrained models") == (rule == "match_retrained")


def test_where_a_side_of_a_prompt_set_is_to_go_the_other_prompts_stay(result):
    def change(summary, tables):
        for name in ("curves", "collateral"):
            tables[name] = tables[name][tables[name]["kind"] != "subset"]

    found = result(retrained=False, change=change, forget={"prompts": "toxicity", "side": "harmful"})
    rows = frames.history(found, "npo", 0, None)
    assert list(rows[rows["line"] == "retain"]["loss"]) == [1.5, 1.625, 1.75]
    assert list(frames.tradeoff(found)["retain"])[-1] == pytest.approx(1.525)


def test_methods_are_called_as_people_call_them(result):
    more = [{"name": "grin", "mask": "random"}, {"name": "grad-ascent", "label": "climb"}]
    spec = result(compare=[{"name": "retain-only"}]).spec
    named = spec.model_copy(update={"compare": [unlearning_method_spec(**values) for values in more]})
    assert frames.titles(named) == {
        "npo": "NPO", "grin (random mask)": "GRIN (random mask)", "climb": "climb",
        "retain-only": "Training on the rest",
    }  # fmt: skip
    assert frames.in_words(spec, "npo: collapsed") == "NPO: collapsed"
    text = "Unlearning subset npo by npo made the model collapse: nothing can be said of it."
    assert frames.in_words(spec, text).startswith("Unlearning subset npo by NPO made")
