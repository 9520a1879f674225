import json
from dataclasses import replace

import pytest

from tests.helpers.views import TRUE, prompt_set, view
from untrac_core.errors import InputError
from untrac_core.explore.ranking_view import available, joined, names, one_scale, other_texts, view_of
from untrac_core.paths import DEMO
from untrac_core.results.folders import load_trace
from untrac_core.text.numbers import STEP_UNIT


@pytest.fixture(scope="module")
def demo():
    return load_trace(DEMO / "run")


def test_a_view_of_a_result_is_its_ranking_and_a_baseline_is_one_too(demo):
    own = view_of(demo, "toxicity")
    assert (own.side, own.method, own.unit, own.run_name) == ("contrast", "untrac-inv", STEP_UNIT, demo.spec.name)
    assert own.values["subset"].iloc[0] == "forum"
    assert own.values["value"].tolist() == demo.ranking("toxicity", "contrast")["influence"].tolist()
    beside = view_of(demo, "toxicity", "harmful", "bm25")
    rows = [row for row in demo.summary["baselines"] if row["method"] == "bm25" and row["prompt_set"] == "toxicity"]
    assert beside.unit == rows[0]["unit"]
    assert beside.values.set_index("subset")["value"].to_dict() == {
        row["subset"]: row["score"] for row in rows if row["side"] == "harmful"
    }
    assert set(own.digests) == set(own.values["subset"])


def test_a_view_of_collapsed_models_says_so_and_has_no_intervals(demo):
    rows = [row | {"collapsed": row["side"] == "harmful"} for row in demo.summary["ranking"]]
    result = replace(demo, summary=demo.summary | {"ranking": rows})
    gone, sound = view_of(result, "toxicity", "harmful"), view_of(result, "toxicity", "harmless")
    assert (gone.collapsed, sound.collapsed, view_of(result, "toxicity", "harmful", "bm25").collapsed) == (
        True, False, False,
    )  # fmt: skip
    assert gone.values[["low", "high"]].isna().all(axis=None)
    assert [name.endswith(" (collapsed)") for name in names([gone, sound])] == [True, False]


def test_what_is_available_names_sets_sides_and_methods(demo):
    found = available(demo)
    assert list(found) == ["toxicity", "bias", "truthfulness"]
    assert list(found["bias"]) == ["contrast", "harmful", "harmless"]
    assert found["bias"]["contrast"][0] == "untrac-inv"
    assert "bm25" in found["bias"]["contrast"]


@pytest.mark.parametrize("place", [("none",), ("toxicity", "sideways"), ("toxicity", "contrast", "ek-fac")])
def test_what_a_result_does_not_have_is_said_in_one_line(demo, place):
    with pytest.raises(InputError) as error:
        view_of(demo, *place)
    assert "\n" not in str(error.value)
    assert "hoose" in str(error.value)


def test_a_join_keeps_all_subsets_and_counts_places_among_those_that_all_have():
    first = view({"a": 0.5, "x": 0.4, "b": 0.3, "c": 0.005})
    second = view({"c": 0.5, "b": 0.3, "a": -0.5, "y": 0.0}, **TRUE)
    table = joined([first, second]).set_index("subset")
    assert list(table.index) == ["a", "x", "b", "c", "y"]
    assert table["views"].to_dict() == {"a": "AB", "x": "A", "b": "AB", "c": "AB", "y": "B"}
    assert table.loc[["a", "b", "c"], "place_A"].tolist() == [1, 2, 3]
    assert table.loc[["a", "b", "c"], "place_B"].tolist() == [3, 2, 1]
    assert table.loc[["a", "b", "c"], "move_B"].tolist() == [-2, 0, 2]
    assert table.loc[["x", "y"], ["place_A", "place_B", "move_B"]].isna().all(axis=None)
    assert table.loc[["a", "b", "c", "x"], "sign_A"].tolist() == [1, 1, 0, 1]
    assert table.loc["a", "sign_B"] == -1
    assert "difference_B" not in table


def test_a_difference_stands_only_between_views_of_one_scale():
    first, again = view({"a": 0.5, "b": 0.3}, half=0.03), view({"a": 0.1, "b": 0.3}, half=0.04, run="bbbbbbbbbbbb")
    row = joined([first, again]).set_index("subset").loc["a"]
    assert row["difference_B"] == pytest.approx(-0.4)
    assert (row["difference_low_B"], row["difference_high_B"]) == pytest.approx((-0.45, -0.35))
    assert one_scale(first, again)
    for other in (
        view({"a": 1.0}, unit="BM25 score"),
        view({"a": 1.0}, scale_key=("other model", "texts", "method")),
        view({"a": 1.0}, scale_key=("model", "other texts", "method")),
        view({"a": 1.0}, scale_key=("model", "texts", "another method")),
    ):
        assert not one_scale(first, other)
    assert not one_scale(view({"a": 1.0}, unit="score"), view({"a": 1.0}, unit="score"))


def test_the_demo_is_of_one_scale_within_a_prompt_set_only(demo):
    toxic = view_of(demo, "toxicity")
    assert one_scale(toxic, view_of(demo, "toxicity", "harmful"))
    assert not one_scale(toxic, view_of(demo, "truthfulness"))
    assert not one_scale(toxic, view_of(demo, "toxicity", "contrast", "bm25"))


def test_without_intervals_nothing_is_clear_of_zero():
    table = joined([view({"a": 0.5, "b": -0.5}, half=None), view({"a": 0.5, "b": -0.5}, **TRUE)])
    assert table["sign_A"].tolist() == [0, 0]
    assert table["sign_B"].tolist() == [1, -1]


def test_two_to_four_views_are_joined():
    one = view({"a": 1.0})
    for count in (1, 5):
        with pytest.raises(ValueError, match="2 to 4"):
            joined([one] * count)


def test_names_say_what_the_views_do_not_share():
    first = view({"a": 1.0})
    assert names([first, view({"a": 1.0}, **TRUE)]) == ["toxicity", "truthfulness"]
    assert names([first, view({"a": 1.0}, side="harmful")]) == ["contrast", "toxic"]
    assert names([first, view({"a": 1.0}, method="bm25")]) == ["UnTrac-Inv", "BM25"]
    assert names([first, view({"a": 1.0}, run_name="yours")]) == ["mine", "yours"]
    again = names([first, view({"a": 1.0}, run="bbbbbbbbbbbb")])
    assert again == ["toxicity · aaaaaaaaaaaa", "toxicity · bbbbbbbbbbbb"]


def test_other_texts_of_the_same_name_are_found():
    first = view({"a": 1.0, "b": 0.5, "c": 0.1}, digests={"a": "1", "b": "2", "c": "3"})
    second = view({"a": 1.0, "b": 0.5, "d": 0.1}, digests={"a": "1", "b": "9"})
    assert other_texts([first, second]) == ["b"]


@pytest.mark.parametrize(
    ("more", "up", "down"),
    [
        ({}, ("drive", "toxic"), ("help", "benign")),
        ({"side": "harmful"}, ("drive", "toxic"), ("hold back", "toxic")),
        ({"side": "harmless"}, ("help", "benign"), ("hold back", "benign")),
        ({"unit": "BM25 score"}, ("speak for", "toxic"), ("speak for", "benign")),
        ({"unit": "BM25 score", "side": "harmful"}, ("speak for", "toxic"), ("speak against", "toxic")),
        (
            {"prompts": prompt_set("tales", None), "side": "harmful"},
            ("drive", "tales"),
            ("hold back", "tales"),
        ),
        ({"prompts": prompt_set(harmful="<b>x</b>")}, ("drive", "harmful"), ("help", "benign")),
    ],
)
def test_what_a_subset_does_is_said_in_the_labels_of_the_prompt_set(more, up, down):
    one = view({"a": 1.0}, **more)
    assert (one.does(1), one.does(-1)) == (up, down)


def test_towards_the_harm_is_up_but_on_the_harmless_side():
    assert [view({"a": 1.0}, side=side).harm(1) for side in ("contrast", "harmful", "harmless")] == [1, 1, -1]


def test_a_result_with_a_strange_environment_still_compares(demo, tmp_path):
    for value in ({}, {"model": "x", "data": []}, {"model": None}):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for file in (DEMO / "run").iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        (folder / "environment.json").write_text(json.dumps(value))
        strange = view_of(load_trace(folder), "toxicity")
        assert strange.digests == {}
        assert not one_scale(strange, view_of(demo, "toxicity"))
