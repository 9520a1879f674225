"""The page of a finished unlearning: what it says, what it hides, and what it does with the unlearned model."""

import json
import shutil

import pandas as pd
import pytest

from pages.components.unlearn import export
from tests.helpers.making import HOSTILE, enqueue, finish, no_markup, said, sound
from tests.helpers.unlearn_results import audit_of, make_unlearn_result, unlearn_spec
from untrac_core.engine import Library
from untrac_core.errors import InputError
from untrac_core.paths import DEMO

RUN = "eeeeeeeeeeee"
HARSH = "the tolvek ruin every market"


@pytest.fixture
def result(page, store, tmp_path):
    """Open the page of a finished unlearning."""

    def open_result(change=None, text="sing.", retrained=True, model=False, query=None, **more):
        spec = unlearn_spec(tmp_path / "data", retrained=retrained, **more)
        enqueue(store, spec, RUN)
        folder = store.runs_folder / RUN
        make_unlearn_result(folder, spec, text, retrained, change)
        if model:
            shutil.copytree(DEMO / "model", folder / "model")
        finish(store, RUN, "done")
        return page("pages/unlearn.py", run=RUN, **(query or {}))

    return open_result


def table(at, column):
    """The first table with a column of this name."""
    return next(frame.value for frame in at.dataframe if column in frame.value.columns)


def figure(at, key):
    [chart] = [chart for chart in at.get("plotly_chart") if f"-{key}" in chart.proto.id]
    return json.loads(chart.proto.spec)


def downloads(at):
    return [button.proto.label for button in at.get("download_button")]


def test_the_answer_says_what_it_did_how_it_stopped_and_what_to_doubt(result):
    told = said(result())
    assert "To the unlearned model the texts are at 4.00 nats per token." in told
    assert "Stop rule: as after retraining, when the forget set is as unlikely as to models that never saw it" in told
    assert "(from 3.50 nats per token on)" in told
    assert "Seed 0: at step 20 the texts are as unlikely (3.50)." in told
    assert "NPO: some of it was hidden, not gone." in told
    assert "40 texts were to go · 80 to stay · 2 models retrained without them" in told
    assert "It proves no erasure." in told


def test_before_after_and_retrained_model_stand_with_seeds_and_floor(result):
    at = result()
    rows = table(at, "seed_noise")
    assert list(rows.iloc[0])[:6] == ["Loss, the forget set", "2.00", "4.00", "3.90 to 4.10", "3.50", "0.0040"]
    assert list(rows["metric"])[-1].startswith("Generalised exposure")
    assert "The seed noise is how far two of them are apart" in said(at)
    assert "KL divergence of next-token probabilities" in said(at)
    methods = table(at, "forget_quality")
    assert list(methods["forget_quality"]) == ["0.75", "0.75"]
    assert list(methods["relearning"]) == ["11 (retrained 17)"] * 2
    assert list(methods["method"]) == ["NPO", "Training on the rest"]
    assert "are not multiplied" in said(at)


def test_the_course_is_that_of_the_chosen_method_and_seed(result):
    at = result(query={"uway": "NPO, seed 1"})
    assert at.selectbox(key="uway").value == "NPO, seed 1"
    assert "the forget set from 2.00 to 4.00 (the retrained model 3.50)" in said(at)
    at.selectbox(key="uway").set_value("Training on the rest, seed 0").run()
    assert "It never became as unlikely as to the retrained model." in said(sound(at))
    assert figure(at, "history")["data"][1]["y"] == [2.0, 2.1, 2.2]


def test_without_a_retrained_model_everything_says_so(result):
    at = result(retrained=False)
    told = said(at)
    assert "There is no retrained model here" in told
    assert set(table(at, "seed_noise")["retrained"]) == {"no retrained model"}
    assert "Without a retrained model nothing says how unlikely each text should be" in told
    assert "There is no retrained model to write beside it." in told
    assert "dotted: the retrained model" not in told
    assert "genex" not in table(at, "text").columns
    assert set(table(at, "forget_quality")["forget_quality"]) == {"cannot tell"}


def test_a_collapse_is_said_and_nothing_breaks(result):
    def change(summary, tables):
        summary["verdict"] = "Unlearning subset forum by npo made the model collapse: nothing can be said of it."
        row = summary["methods"][0]
        row |= {"collapsed": True, "destroyed": True, "forget_quality": None, "utility": None, "relearning": None}
        rows = tables["curves"]
        rows.loc[(rows["method"] == "npo") & (rows["step"] == 20), ["loss", "genex"]] = float("nan")
        tables["collateral"].loc[tables["collateral"]["method"] == "npo", ["after", "change", "low", "high"]] = float(
            "nan"
        )
        tables["forget_examples"]["after"] = float("nan")

    at = result(change)
    assert "by NPO made the model collapse" in said(at)
    assert "the model collapsed" in said(at)
    assert "nan" not in said(at).split()
    assert table(at, "state")["state"][0] == "collapsed"


def test_the_heatmap_has_a_table_with_intervals(result):
    at = result()
    rows = table(at, "change")
    assert list(rows["place"])[:2] == ["the forget set", "blog"]
    assert set(rows["by"]) == {"NPO", "Training on the rest", "the retrained model"}
    assert "NPO moved most: toxicity, harmful, less likely" in said(at)


def test_of_many_methods_the_heatmap_shows_some_first(result):
    def change(summary, tables):
        rows = tables["collateral"]
        more = [rows[rows["method"] == "npo"].assign(method=name) for name in ("grad-ascent", "mine")]
        tables["collateral"] = pd.concat(
            [rows[rows["method"] != "retrained"], *more, rows[rows["method"] == "retrained"]]
        )
        summary["methods"] += [summary["methods"][0] | {"method": name} for name in ("grad-ascent", "mine")]

    at = result(change, compare=[{"name": "retain-only"}, {"name": "grad-ascent"}, {"name": "npo", "label": "mine"}])
    assert at.multiselect(key="uheat").value == ["NPO", "Training on the rest", "the retrained model"]
    assert len(figure(at, "collateral")["data"][1]["x"]) == 3
    at.multiselect(key="uheat").set_value(["mine"]).run()
    assert figure(sound(at), "collateral")["layout"]["xaxis"]["ticktext"] == ["mine"]
    at.multiselect(key="uheat").set_value([]).run()
    assert figure(sound(at), "collateral")["layout"]["xaxis"]["ticktext"] == ["NPO"]


def test_what_is_written_is_masked_until_asked_for(result):
    at = result(text=HARSH, query={"uprompt": "Prompt 2 of 2"})
    shown = json.dumps([element.value for element in [*at.text, *at.markdown, *at.caption]])
    shown = shown.replace(f"nats per token. {HARSH}", "").replace(f"gone. {HARSH}", "").replace(f"read {HARSH}", "")
    assert HARSH not in shown  # the verdict, the warning and the note are the run's own words
    assert not any(HARSH in text for text in table(at, "text")["text"])
    assert "harmful, score 0.9" in said(at)
    assert "before 2 of 4, after 0 of 8, by the retrained model 0 of 8" in said(at)
    at.toggle(key="show_written").set_value(True).run()
    assert f"Once {HARSH}" in [element.value for element in sound(at).text]
    assert f"{HARSH} before 0 0" in said(at)
    assert "empty" in [element.value for element in at.caption]
    at.toggle(key="show_forgotten").set_value(True).run()
    assert set(table(sound(at), "text")["text"]) == {HARSH}


def test_the_texts_of_another_seed_can_be_read(result):
    at = result()
    at.toggle(key="show_written").set_value(True).run()
    at.selectbox(key="useed").set_value("seed 1").run()
    assert "sing. npo 1 0" in said(sound(at))
    assert "sing. retrained 1 1" in said(at)
    assert "**Before** (only seed 0)" in said(at)
    at.selectbox(key="uafter").set_value("Training on the rest").run()
    assert "sing. retain-only 0 0" in said(sound(at))


def test_nothing_written_is_said(result):
    at = result(lambda summary, tables: tables.update(generations=tables["generations"].iloc[:0]))
    assert "Nothing was written" in said(at)


def test_single_texts_can_be_told_by_difficulty(result):
    at = result()
    assert "2 of 6 texts are still likelier than to the retrained model" in said(at)
    at.segmented_control(key="uby").set_value("difficult").run()
    assert figure(sound(at), "strip_difficult")["layout"]["yaxis"]["ticktext"][0] == "most difficult  "


@pytest.mark.parametrize(("low", "words"), [(0.0, "can tell them apart better"), (0.4, "Nothing here shows")])
def test_the_ensemble_audit_stands_beside_chance(result, low, words):
    at = result(lambda summary, tables: summary.update(ensemble_audit=audit_of(low)))
    assert words in said(at)
    assert "F is 0.40" in said(at)
    assert "0.60" in at.table[0].value.loc["F, beside chance"].iloc[0]
    assert at.table[0].value.loc["Accuracy on unseen text"].iloc[0] == "not measured"
    assert list(table(at, "percentile95")["place"]) == ["the forget set", "blog"]


def test_too_few_models_say_nothing(result):
    at = result(lambda summary, tables: summary.update(ensemble_audit={"models": 2, "too_few": True}))
    assert "With 2 models of each kind the ensemble audit says nothing" in said(at)


def test_everything_can_be_taken_away(result):
    at = result()
    assert downloads(at) == [
        "Audit record (JSON)", "Report (HTML)", "Everything (.zip)",
        "Metrics (CSV)", "Curves (CSV)", "Collateral (CSV)",
        "Single texts (CSV)", "Written (CSV)", "Summary (JSON)", "Request (YAML)",
    ]  # fmt: skip
    assert "untrac run unlearn.yaml" in said(at)
    assert '"does_not_prove"' in said(at)


def test_the_unlearned_model_is_kept_and_taken_away_again(result, home, store):
    at = result(model=True)
    folder = store.runs_folder / RUN / "model"
    assert str(folder.resolve()) in said(at)
    at.button(key="keep").click().run()
    [entry] = [entry for entry in Library(home).entries("model") if not entry.builtin]
    assert (entry.name, entry.value.path) == ("without it", str(folder.resolve()))
    assert "In the library as without it." in said(sound(at))
    assert export.keep(RUN, home) == entry
    at.button(key="undo").click().run()
    told = said(sound(at))
    assert "The original was never changed." in told
    assert "makes the same unlearned model" in told
    assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    assert all(entry.builtin for entry in Library(home).entries("model"))
    assert (DEMO / "model" / "config.json").is_file()
    export.undo(RUN, home)  # once more does nothing


def test_a_model_in_use_stays(result, home, store, tmp_path):
    result(model=True)
    entry = export.keep(RUN, home)
    enqueue(store, unlearn_spec(tmp_path / "more", model=entry.value.model_dump()), "ffffffffffff")
    with pytest.raises(InputError, match="a run that has not ended uses it"):
        export.undo(RUN, home)
    assert export.kept(RUN, home) == entry


def test_a_link_in_place_of_the_model_is_not_followed(result, home, store, tmp_path):
    result()
    shutil.copytree(DEMO / "model", tmp_path / "elsewhere")
    (store.runs_folder / RUN / "model").symlink_to(tmp_path / "elsewhere")
    for act in (export.keep, export.undo):
        with pytest.raises(InputError, match="not in the folder of its run"):
            act(RUN, home)
    assert (tmp_path / "elsewhere" / "config.json").is_file()


def test_what_is_not_there_is_not_kept(result, home):
    result()
    with pytest.raises(InputError, match="this run has none"):
        export.keep(RUN, home)
    with pytest.raises(InputError):
        export.keep("../../etc", home)


def test_hostile_names_and_texts_are_shown_as_text(result):
    names = [*HOSTILE, "plain"]

    def change(summary, tables):
        summary["ensemble_audit"] = audit_of()
        summary["ensemble_audit"]["klom"][1]["name"] = HOSTILE[0]
        tables["forget_examples"]["id"] = HOSTILE[0]

    at = result(change, " ".join(HOSTILE), names=names, prompts=HOSTILE[0], name=HOSTILE[0])
    for key in ("show_written", "show_forgotten"):
        at.toggle(key=key).set_value(True).run()
    no_markup(sound(at))
    assert "evil.example" in json.dumps([element.value for element in at.text])
    for chart in at.get("plotly_chart"):
        shapes = json.loads(chart.proto.spec)
        for trace in shapes["data"]:
            trace.pop("customdata", None)  # never drawn
        assert "<img" not in json.dumps(shapes)


@pytest.mark.parametrize(
    "query", [{"uway": "x"}, {"uset": HOSTILE[0]}, {"uprompt": "?"}, {"useed": "seed 9"}, {"uby": "x"}, {"uafter": "x"}]
)
def test_nonsense_in_the_address_falls_back(result, query):
    assert "Generations" in said(result(query=query))


def test_damaged_files_are_said(result, page, store):
    result()
    (store.runs_folder / RUN / "curves.parquet").write_bytes(b"x")
    (store.runs_folder / RUN / "summary.json").write_text("{}")
    assert "cannot be read" in said(page("pages/unlearn.py", run=RUN))
