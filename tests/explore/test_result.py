import pytest

from tests.helpers import unlearn_results, validations
from untrac_core.engine import DEMO_RUN, Store
from untrac_core.errors import InputError
from untrac_core.explore.opening import open_result
from untrac_core.explore.outcomes import UnlearnResult, ValidateResult
from untrac_core.explore.result import TraceResult
from untrac_core.paths import DEMO


@pytest.fixture(scope="module")
def demo():
    return open_result("demo")


@pytest.fixture(scope="module")
def by_untrac():
    return open_result(DEMO / "untrac")


def test_three_lines_make_the_figure_of_the_page(demo):
    figure = demo.plot("toxicity")
    assert list(figure.data[0].customdata) == demo.ranking("toxicity")["subset"].tolist()
    assert "Positive: this subset makes toxic text more likely" in demo.answer("toxicity")
    assert len(demo.trajectory("bias", "harmful").data) > 8


def test_what_is_not_named_is_the_first_prompt_set(demo):
    first = demo.prompt_sets[0]
    assert demo.ranking().equals(demo.ranking(first))
    assert demo.plot().data[0].customdata == demo.plot(first).data[0].customdata
    assert demo.examples().equals(demo.examples(first))
    assert demo.answer(side="harmful") == demo.answer(first, "harmful")
    with pytest.raises(InputError, match="Choose one of"):
        demo.ranking("nothing")


def test_a_run_is_found_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path))
    Store().install_demo()
    assert open_result(DEMO_RUN).summary == open_result("demo").summary


@pytest.mark.parametrize("what", ["no/such/folder", "ffffffffffff", "../../etc"])
def test_what_is_not_there_is_said(what, tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path))
    with pytest.raises(InputError) as caught:
        open_result(what)
    assert "\n" not in str(caught.value)


def test_a_result_opens_as_one_of_its_kind(tmp_path):
    assert type(open_result(str(DEMO / "run"))) is TraceResult
    unlearn_results.make_unlearn_result(tmp_path / "a", unlearn_results.unlearn_spec(tmp_path / "a-data"))
    result = open_result(tmp_path / "a")
    assert type(result) is UnlearnResult
    assert result.plot(seed=1, prompt_set="toxicity").data
    with pytest.raises(InputError, match="no such unlearning"):
        result.plot("x")
    validations.write_validation(tmp_path / "b", validations.validate_spec(tmp_path / "b-data"))
    validated = open_result(tmp_path / "b")
    assert type(validated) is ValidateResult
    assert validated.table()["method"].iloc[0] == "UnTrac-Inv (robust)"
    sizes = validated.calibration().set_index("method")
    assert sizes.loc["UnTrac-Inv (robust)", "slope"] == pytest.approx(1, abs=0.01)
    assert list(sizes.index)[-1] == "One retraining"
    assert validated.report(str(tmp_path / "report.html")).stat().st_size > 1e6
    with pytest.raises(InputError, match="there is no metric 'x'"):
        validated.plot("x")
    (tmp_path / "b" / "summary.json").write_text('{"kind": "fetch"}')
    with pytest.raises(InputError, match="a fetch run has nothing to open"):
        open_result(tmp_path / "b")


def test_texts_are_masked_until_shown_and_open_to_their_words(demo):
    rows = demo.examples("toxicity", subset="forum")
    assert rows["influence"].is_monotonic_decreasing
    assert set("".join(rows["text"])) <= {"•", " "}
    first = demo.examples("toxicity", subset="forum", show=True).iloc[0]
    drawn = demo.words("toxicity", "forum", first["id"], show=True).data[1]
    assert "".join(drawn.text).replace("\u00a0", "").startswith(first["text"].replace(" ", "")[:20].replace("\n", ""))
    with pytest.raises(InputError, match="not looked at token by token"):
        demo.words("toxicity", "forum", rows["id"].iloc[len(rows) // 2])
    assert len(demo.text_features("toxicity").data[0].x) > 2


def test_both_methods_have_groups(demo, by_untrac):
    for result in (demo, by_untrac):
        assert result.groups("toxicity")["group"].nunique() == 12
        assert len(result.heatmap("toxicity").data) == 2


def test_two_questions_and_two_methods_side_by_side(demo, by_untrac):
    found = demo.compare(demo, "toxicity", to="truthfulness")
    assert len(found.pair()) == 8
    assert found.plot() == found.scatter()
    assert demo.compare(by_untrac, "toxicity").agreement().spearman.value > 0.7
    assert demo.compare(by_untrac).views[0].prompts.name == demo.prompt_sets[0]
    with pytest.raises(InputError, match="share no prompt set"):
        demo.compare(demo, to="x")


def test_wrong_names_are_said(demo):
    with pytest.raises(InputError, match="there is no prompt set 'x'"):
        demo.plot("x")
    with pytest.raises(InputError, match="has no side 'up'"):
        demo.plot("toxicity", "up")
