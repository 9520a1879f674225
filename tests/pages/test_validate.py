"""The page of a validation's result."""

import json

import pytest

from tests.helpers.making import HOSTILE, enqueue, finish, no_markup, said, sound
from tests.helpers.validations import (
    GROUND_TRUTH,
    NAMES,
    RUN,
    validate_spec,
    with_choices,
    with_controls,
    with_halves,
    with_pairs,
    with_writing,
    write_validation,
)
from untrac_core.tasks.validate import frames
from untrac_core.tasks.validate.additions import choice_frames, control_frames, half_frames, pair_frames


@pytest.fixture
def result(page, store, tmp_path):
    """Open the page of a finished validation whose summary was changed."""

    def open_result(change=None, text="Trust UnTrac-Inv here.", names=NAMES, prompts="toxicity", **query):
        spec = validate_spec(tmp_path / "data", names, prompts=prompts, name="a check")
        enqueue(store, spec, RUN)
        write_validation(store.runs_folder / RUN, spec, text, change)
        finish(store, RUN, "done")
        return page("pages/validate.py", run=RUN, **query)

    return open_result


def figure(at, key):
    [chart] = [chart for chart in at.get("plotly_chart") if f"-{key}" in chart.proto.id]
    return json.loads(chart.proto.spec)


def table(at, column):
    """The first table with a column of this name."""
    return next(frame.value for frame in at.dataframe if column in frame.value.columns)


def test_the_result_says_which_method_to_trust_and_why(result):
    at = result()
    assert "Trust UnTrac-Inv here." in [element.value for element in at.text]
    assert "1 of 2 sides can be resolved · 1 of 1 contrast can be resolved" in said(at)
    dots = figure(at, "agreement")
    assert dots["data"][0]["customdata"] == [frames.RETRAINING, "UnTrac-Inv (robust)", "GradDot", "BM25"]
    assert dots["data"][0]["marker"]["symbol"] == ["diamond", "circle", "circle-open", "circle"]
    assert "0.95" in dots["layout"]["annotations"][0]["text"]
    rows = table(at, "pearson")
    assert list(rows["method"]) == ["UnTrac-Inv (robust)", "GradDot", "BM25", frames.RETRAINING]
    assert list(rows["seconds"]) == ["12 s", "under 1 s", "under 1 s", "–"]
    assert "the subset that its r of 0.95 depends on most, it is 1.00." in said(at)
    against = table(at, "verdict")
    assert list(against["verdict"]) == ["a tie", "better"]
    assert "12 s against under 1 s" in set(against["cost"])
    assert "may be chance" in said(at)
    assert "untrac run validate.yaml" in said(at)
    assert len(at.get("download_button")) == 8


def test_noise_is_said_to_separate_nothing(result):
    at = result(vset="toxicity", vside="harmless")
    assert "Noise: cannot separate" in said(at)
    assert set(figure(at, "ground_truth")["data"][0]["marker"]["opacity"]) == {0.6}
    at.selectbox(key="vside").set_value("harmful").run()
    assert "Steady: retrainings with other seeds agree to r = 0.90" in said(sound(at))
    assert 1.0 in figure(at, "ground_truth")["data"][0]["marker"]["opacity"]


def test_the_score_over_halves_has_a_table_where_there_is_one(result):
    at = result(with_halves)
    assert half_frames.HEADING in [element.value for element in at.subheader]
    found = table(at, "value").set_index("method")
    assert list(found.index) == ["UnTrac-Inv (robust)", "BM25"]
    assert found.loc["UnTrac-Inv (robust)", ["value", "low", "high"]].tolist() == [0.9, 0.7, 0.97]
    assert "24 trainings by seed 0, each without 2 subsets drawn at random." in said(at)


def test_pairs_have_their_interactions_beside_the_noise(result):
    at = result(with_pairs)
    assert pair_frames.HEADING in [element.value for element in at.subheader]
    assert at.selectbox(key="vpairs").value == "toxicity: contrast"
    rows = table(at, "interaction")
    assert rows["pair"].iloc[0] == "forum + news"
    assert list(rows["verdict"]) == ["more than the sum", "cannot separate", "cannot separate", "cannot separate"]
    assert "4 pairs: leaving out both departs from the sum by 0.021 nats per token" in said(at)
    assert "seed noise alone makes 0.0060: more than noise, p = 0.012." in said(at)
    assert "4 pairs of subsets, each left out at once by 2 seeds of retraining." in said(at)
    assert [frame.value.columns[0] for frame in at.dataframe if len(frame.value.columns) == 4] == ["method"]  # scores


def test_controls_say_who_passes_and_who_fails(result):
    at = result(with_controls)
    assert control_frames.HEADING in [element.value for element in at.subheader]
    rows = table(at, "largest")
    assert list(rows["of"]) == ["Retraining", "Retraining", "UnTrac-Inv (robust)", "UnTrac-Inv (robust)", "BM25"]
    assert list(rows["verdict"]) == ["passed", "passed", "failed", "passed", "no interval"]
    assert rows["share"].iloc[0] == 52
    assert (
        "One subset under two names: retraining passes on 1 of 1 prompt sets, methods in 0 of 1 answers (0%); failed: "
        "UnTrac-Inv (robust). One in twenty fails by chance." in said(at)
    )


def test_choices_stand_beside_the_rankings_that_tell_them(result):
    at = result(with_choices)
    assert choice_frames.HEADING in [element.value for element in at.subheader]
    assert table(at, "change")["change"].tolist() == pytest.approx([10, 2, 0, -3, -8])
    scores = [frame.value for frame in at.dataframe if list(frame.value.columns) == ["method", "value", "low", "high"]]
    assert scores[0]["method"].tolist() == [choice_frames.RETRAINING, "UnTrac-Inv (robust)", "BM25"]
    assert "the model chooses the harmful text in 55% of 40 pairs" in said(at)
    assert "tells its changes to rho = 0.90 (0.40 to 1.00)." in said(at)


def test_writing_stands_beside_the_rankings_that_tell_it(result):
    at = result(with_writing)
    assert choice_frames.WRITING in [element.value for element in at.subheader]
    assert table(at, "change")["change"].tolist() == pytest.approx([10, 2, 0, -3, -8])
    assert "the model writes harmful text in 55% of 40 completions of 20 prompts" in said(at)


def test_without_additions_there_is_nothing_of_them(result):
    shown = {element.value for element in result().subheader}
    assert not shown & {part.HEADING for part in (half_frames, pair_frames, control_frames, choice_frames)}


def test_size_and_sign_stand_in_a_table_of_their_own(result):
    """GradDot gives every subset the same here, and BM25 the reverse of the truth."""
    at = result()
    assert "Size and sign" in [element.value for element in at.subheader]
    rows = table(at, "slope").set_index("method")
    assert list(rows.index) == ["UnTrac-Inv (robust)", "GradDot", "BM25", frames.RETRAINING]
    assert rows.loc["UnTrac-Inv (robust)", "slope"].startswith("1.0 (")
    assert rows.loc["BM25", "slope"].startswith("−1.0 (")
    assert rows.loc["GradDot", "slope"] == "–"
    assert list(rows["signs"]) == [100, 0, 0, 100]
    assert "multiply by 30" in said(at)
    assert "UnTrac-Inv (robust): 100% of its estimates have the sign of retraining (one retraining: 100%)." in said(at)
    assert "they estimate nats per token of retraining, with a root mean square error of" in said(at)
    sides = table(at, "resolution")
    assert dict(zip(sides["title"], sides["items"], strict=True)) == {
        "toxicity: contrast": 79, "toxicity: harmful": 48, "toxicity: harmless": 31,
    }  # fmt: skip


def test_a_slope_that_may_be_zero_makes_no_nats(result):
    def change(summary):
        for row in summary["calibration"]:
            row |= {"low": -0.5, "high": 2.5}

    assert "Its slope may be zero: no factor makes nats of retraining of them." in said(result(change))


def test_a_result_from_before_sizes_were_told_is_shown_without_them(result):
    def change(summary):
        del summary["calibration"], summary["retraining"]
        summary["data"] = {}

    at = result(change)
    assert "Size and sign" not in [element.value for element in at.subheader]
    assert figure(at, "agreement")["data"][0]["customdata"] == ["UnTrac-Inv (robust)", "GradDot", "BM25"]
    assert "least" not in table(at, "pearson").columns


def test_four_subsets_are_too_few_to_call_a_truth_steady(result):
    at = result(names=NAMES[:4], vset="toxicity", vside="harmful")
    assert "Steady" not in said(at)
    assert "over 4 subsets chance alone often does as well" in said(at)
    assert "too few subsets to tell which sides can be resolved" in said(at)
    assert set(figure(at, "ground_truth")["data"][0]["marker"]["opacity"]) == {0.6}
    assert set(table(at, "resolution")["resolution"]) == {"too few subsets to tell", "noise: cannot separate"}


def test_the_scatter_is_that_of_the_chosen_methods(result):
    at = result(vmethods="BM25")
    assert at.multiselect(key="vmethods").value == ["bm25"]
    marks = figure(at, "scatter_0")["data"][-1]
    assert marks["customdata"] == NAMES
    assert marks["y"] == pytest.approx([-value for value in GROUND_TRUTH])
    assert all(mark["visible"] if "visible" in mark else mark["array"] for mark in (marks["error_x"], marks["error_y"]))
    assert "r = −0.50 (−0.53 to −0.47)" in said(at)
    at.multiselect(key="vmethods").set_value([]).run()
    assert "Choose a method" in said(sound(at))


def test_a_single_side_and_another_measure_can_be_asked_for(result):
    at = result(vmeasure="Kendall's tau", vover="toxicity: harmful")
    dots = figure(at, "agreement")
    assert dots["layout"]["xaxis"]["title"]["text"] == "Kendall's tau"
    assert "1.00" in dots["layout"]["annotations"][0]["text"]
    at.selectbox(key="vmeasure").set_value("top1").run()
    assert not figure(sound(at), "agreement")["layout"].get("annotations")


@pytest.mark.parametrize("query", [{"vmeasure": "x"}, {"vover": HOSTILE[0]}, {"vset": "?"}, {"vmethods": HOSTILE[1]}])
def test_nonsense_in_the_address_falls_back(result, query):
    assert "Agreement with retraining" in said(result(**query))


def test_when_no_method_can_be_trusted_the_page_says_so(result):
    def change(summary):
        summary["best"] = None
        for row in summary["noise"]:
            row["resolvable"] = False
        summary["leaderboard"] = [row for row in summary["leaderboard"] if row["side"] != "resolvable"]
        summary["differences"] = []

    at = result(change, text="No method can be trusted here.")
    assert "no method can be trusted here" in said(at)
    assert "0 of 2 sides can be resolved" in said(at)
    assert "Is one method better" not in said(at)


def test_failures_and_collapse_stand_in_words(result):
    def change(summary):
        summary["methods"][1]["failed"] = "kronfluence is not installed"
        summary["warnings"] = ["grad-dot did not work here: kronfluence is not installed"]
        summary["methods"][2]["collapsed"] = True
        summary["leaderboard"] = [row for row in summary["leaderboard"] if row["method"] != "grad-dot"]

    at = result(change)
    told = table(at, "trouble")
    assert list(told["method"]) == ["UnTrac-Inv (robust)", "BM25", "GradDot", frames.RETRAINING]
    assert list(told["trouble"]) == ["", "collapsed", "failed", ""]
    assert "GradDot did not work here: kronfluence is not installed" in said(at)
    assert "Not in the figure: GradDot" in said(at)
    assert "BM25 (collapsed)" in at.get("plotly_chart")[0].proto.spec


def test_one_seed_tells_no_noise(result):
    def change(summary):
        summary["seeds"] = [0]
        for row in summary["noise"]:
            row |= dict.fromkeys(("agreement", "agreement_low", "agreement_high", "ceiling")) | {"resolvable": False}
        for row in summary["ground_truth"]:
            row |= {"low": None, "high": None}

    at = result(change)
    assert "how steady the truth is cannot be told" in said(at)
    assert "One seed of retraining" in said(at)


def test_further_training_says_what_it_answers(result, store, tmp_path, page):
    spec = validate_spec(tmp_path / "more", model={"path": "demo"}, training={"init": "continued", "steps": 10})
    enqueue(store, spec, RUN)
    write_validation(store.runs_folder / RUN, spec)
    finish(store, RUN, "done")
    assert "training of this model was not repeated" in said(page("pages/validate.py", run=RUN))


def test_hostile_names_and_texts_are_shown_as_text(result, page):
    names = [*HOSTILE, "plain"]
    at = result(text=" ".join(HOSTILE), names=names, prompts=HOSTILE[0])
    no_markup(at)
    for chart in at.get("plotly_chart"):
        shapes = json.loads(chart.proto.spec)
        for trace in shapes["data"]:
            trace.pop("customdata", None)  # never drawn
        assert "<img" not in json.dumps(shapes)


@pytest.mark.parametrize("run", ["dddddddddddd", "../../etc", "zzz"])
def test_an_unknown_run_offers_the_form(page, run):
    at = page("pages/validate.py", run=run)
    assert "There is no run with the id in this address" in said(at)
    assert not at.button(key="start").disabled


def test_a_trace_is_no_validation(page):
    assert "is no validation" in said(page("pages/validate.py", run="de3000000001"))


def test_unfinished_and_broken_runs_are_said(page, store, tmp_path):
    enqueue(store, validate_spec(tmp_path / "data"), RUN)
    at = page("pages/validate.py", run=RUN)
    assert at.button(key="go_to_run").label == "Go to the run"
    finish(store, RUN, "done")
    assert "cannot be read" in said(page("pages/validate.py", run=RUN))


def test_a_finished_validation_opens_here_from_the_runs_page(result, page):
    result()
    at = page("pages/runs.py", run=RUN)
    at.button(key="result").click().run()
    assert sound(at).subheader[0].value == "Can the estimate be trusted here?"
    at = page("pages/validate.py")
    assert at.button(key=f"row_{RUN}").label == "View"
