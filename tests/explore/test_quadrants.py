import pytest

from tests.helpers.views import TRUE, view
from untrac_core.explore.quadrants import (
    answer,
    corners,
    difference_in_words,
    listing,
    quadrant,
    subset_in_words,
    verb,
)
from untrac_core.explore.ranking_view import joined

TOXIC = {"both": 0.5, "harm": 0.3, "mixed": 0.4, "open": 0.005, "down": -0.4}
UNTRUE = {"both": 0.4, "harm": 0.2, "mixed": -0.3, "open": 0.2, "down": -0.5}


def test_quadrants_are_named_in_the_labels_of_both_prompt_sets():
    first, second = view(TOXIC), view(UNTRUE, **TRUE)
    assert corners(first, second) == {
        (1, 1): "drives toxic and false",
        (1, -1): "drives toxic, helps true",
        (-1, 1): "helps benign, drives false",
        (-1, -1): "helps benign and true",
    }
    assert quadrant(first, second, 1, -1, many=True) == "drive toxic, help true"


def test_views_with_the_same_labels_are_told_by_their_letters():
    first, second = view(TOXIC), view(UNTRUE, run="bbbbbbbbbbbb")
    assert quadrant(first, second, 1, 1) == "drives toxic in both"
    assert quadrant(first, second, 1, -1, "AC") == "drives toxic in A, helps benign in C"
    side = view(UNTRUE, side="harmless")
    assert quadrant(first, side, 1, 1) == "drives toxic in A, helps benign in B"


@pytest.mark.parametrize(
    ("signs", "words"),
    [
        ((0, 0), "cannot separate from zero in either"),
        ((0, 1), "drives false in B; cannot separate from zero in A"),
        ((-1, 0), "helps benign in A; cannot separate from zero in B"),
    ],
)
def test_what_includes_zero_cannot_be_separated(signs, words):
    assert quadrant(view(TOXIC), view(UNTRUE, **TRUE), *signs) == words


def test_verbs_are_bent():
    assert [verb(words, many=False) for words in ("drive", "hold back", "speak for")] == [
        "drives",
        "holds back",
        "speaks for",
    ]
    assert verb("hold back", many=True) == "hold back"


def test_the_answer_names_what_drives_both_and_then_what_goes_two_ways():
    first, second = view(TOXIC), view(UNTRUE, **TRUE)
    assert answer(first, second, joined([first, second])) == (
        "both and harm drive toxic and false; mixed drives toxic, helps true (+0.40 and −0.30 nats per token)."
    )


def test_the_answer_says_that_none_drives_both():
    first, second = view({"a": 0.5, "b": -0.3}), view({"a": -0.5, "b": 0.005}, **TRUE)
    said = answer(first, second, joined([first, second]))
    assert said.startswith("No subset clearly drives toxic and also false. a drives toxic, helps true (+0.50 and")


def test_the_answer_can_be_that_nothing_separates_or_that_nothing_is_shared():
    first = view({"a": 0.005, "b": -0.3})
    second = view({"a": 0.5, "b": 0.005}, **TRUE)
    assert answer(first, second, joined([first, second])).startswith(
        "Cannot separate: no subset is significant in both"
    )
    other = view({"c": 0.5}, **TRUE)
    assert "no subset in common" in answer(first, other, joined([first, other]))


def test_names_in_a_sentence_are_few_and_short():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a", "b", "c", "d"]) == "a, b and 2 more"
    assert len(listing(["x" * 80])) == 36


def test_one_subset_is_told_in_every_view_with_its_move():
    first, second = view(TOXIC), view(UNTRUE, **TRUE)
    third = view({"harm": 0.2}, half=None, method="bm25", unit="BM25 score")
    table = joined([first, second])
    said = subset_in_words([first, second], table, "mixed", {"B": True})
    assert said == (
        "mixed: A (toxicity): +0.40 nats per token (+0.39 to +0.41), rank 2 of 5; B (truthfulness): −0.30 nats per "
        "token (−0.31 to −0.29), rank 4 of 5, 2 places down from A (more than the intervals allow)."
    )
    said = subset_in_words([first, third], joined([first, third]), "mixed", {})
    assert said.endswith("B (BM25): not in this view.")
    said = subset_in_words([first, third], joined([first, third]), "harm", {})
    assert "+0.20 BM25 score (no interval), rank 1 of 1" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"unit": "BM25 score"}, "different units"),
        ({"scale_key": ("other", "texts", "method")}, "different models"),
        ({"scale_key": ("model", "other", "method")}, "different prompts"),
        ({"scale_key": ("model", "texts", "other")}, "different methods or settings"),
        ({"run": "bbbbbbbbbbbb"}, "their difference has a meaning"),
    ],
)
def test_why_sizes_compare_or_not(more, words):
    assert words in difference_in_words(view(TOXIC), view(TOXIC, **more))
