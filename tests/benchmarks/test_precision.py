"""What the benchmark of half precision computes from influences, and what it calls a failure."""

import pytest

from benchmarks.accuracy import precision

SIDE, OTHER = ("talk", "harmful"), ("talk", "contrast")
EXACT = {SIDE: {"a": 3.0, "b": 1.0, "c": -1.0}, OTHER: {"a": 1.0, "b": 2.0, "c": 0.0}}


def test_number_formats_are_compared_by_subset_and_not_by_place():
    half = {SIDE: {"c": -1.0, "b": 1.0, "a": 3.0}, OTHER: {"a": 2.1, "b": 2.0, "c": 0.0}}
    same, swapped = precision.compared(EXACT, half, "bfloat16")
    assert same["r"] == pytest.approx(1.0)
    assert (same["first_float32"], same["first"], same["same_first"]) == ("a", "a", True)
    assert (swapped["first_float32"], swapped["first"], swapped["same_first"]) == ("b", "a", False)
    found = {"asked": 0.99, "rows": [same, swapped]}
    assert len(precision.failures(found)) == 1
    [line] = precision.failures({"asked": 0.5, "rows": [same, swapped], "second_prompt_set": 0.0})
    assert line.startswith("talk, contrast, bfloat16: r 0.8")
    assert "1.0e-05" in precision.failures({"asked": 0.5, "rows": [], "second_prompt_set": 1e-5})[0]


def test_the_difference_is_a_share_of_the_largest_influence():
    beside = {SIDE: {"a": 3.0, "b": 1.0, "c": -1.003}, OTHER: EXACT[OTHER], ("more", "harmful"): {"a": 9.0}}
    assert precision.difference(EXACT, beside) == pytest.approx(1e-3)
    beside[SIDE]["b"] = 1.002
    assert precision.own_difference({SIDE: EXACT[SIDE]}, beside) == pytest.approx(3e-3)


def test_results_are_kept_beside_each_other_and_tabled(tmp_path):
    path = tmp_path / "precision.json"
    rows = [
        {"prompt_set": "toxigen", "side": "contrast", "dtype": dtype, "r": 0.99876, "first_float32": "a"}
        | {"first": "b", "same_first": dtype == "float16"}
        for dtype in precision.HALF
    ]
    for method in precision.ASKED:
        precision.keep(method, {"rows": rows}, path)
    lines = precision.table(path).splitlines()
    assert len(lines) == 4
    assert lines[2] == "| UnTrac-Inv | ToxiGen, contrast | .9988 | .9988 | a | b | the same |"
