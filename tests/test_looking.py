import pytest

from untrac_core.engine import DEMO_RUN, Store
from untrac_core.errors import InputError
from untrac_core.home import DEMO
from untrac_core.looking import look


@pytest.fixture(scope="module")
def demo():
    return look("demo")


@pytest.fixture(scope="module")
def by_untrac():
    return look(DEMO / "untrac")


def test_three_lines_make_the_figure_of_the_page(demo):
    figure = demo.bars("toxicity")
    assert list(figure.data[0].customdata) == demo.ranking("toxicity")["subset"].tolist()
    assert "Positive: without this subset" in demo.answer("toxicity")
    assert len(demo.path("bias", "harmful").data) > 8


def test_a_run_is_found_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path))
    Store().install_demo()
    assert look(DEMO_RUN).result.summary == look("demo").result.summary


@pytest.mark.parametrize("what", ["no/such/folder", "ffffffffffff", "../../etc"])
def test_what_is_not_there_is_said(what, tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path))
    with pytest.raises(InputError) as caught:
        look(what)
    assert "\n" not in str(caught.value)


def test_texts_are_masked_until_shown_and_open_to_their_words(demo):
    rows = demo.texts("toxicity", subset="forum")
    assert rows["influence"].is_monotonic_decreasing
    assert set("".join(rows["text"])) <= {"•", " "}
    first = demo.texts("toxicity", subset="forum", show=True).iloc[0]
    drawn = demo.words("toxicity", "forum", first["id"], show=True).data[1]
    assert "".join(drawn.text).replace("\u00a0", "").startswith(first["text"].replace(" ", "")[:20].replace("\n", ""))
    with pytest.raises(InputError, match="not looked at token by token"):
        demo.words("toxicity", "forum", rows["id"].iloc[len(rows) // 2])
    assert len(demo.traits("toxicity").data[0].x) > 2


def test_groups_are_those_of_untrac(demo, by_untrac):
    table = by_untrac.groups("toxicity")
    assert table["group"].nunique() == 12
    assert len(by_untrac.heatmap("toxicity").data) == 2
    with pytest.raises(InputError, match="no numbers by group"):
        demo.heatmap("toxicity")


def test_two_questions_and_two_methods_side_by_side(demo, by_untrac):
    found = demo.against("toxicity", "truthfulness")
    assert len(found.pair()) == 8
    assert found.scatter().data
    same = demo.against("toxicity", "toxicity", of=by_untrac).agreement()
    assert same.spearman.value > 0.7


def test_wrong_names_are_said(demo):
    with pytest.raises(InputError, match="there is no prompt set 'x'"):
        demo.bars("x")
    with pytest.raises(InputError, match="has no side 'up'"):
        demo.bars("toxicity", "up")
