import pytest

from untrac_core.data.readers.columns import guess_columns, guess_sides, guess_split, guess_text
from untrac_core.specs import Columns


@pytest.mark.parametrize(
    ("labels", "column", "sides"),
    [
        (["toxic", "benign"], "label", ("toxic", "benign")),
        (["benign", "toxic"], "label", ("toxic", "benign")),
        (["anti_stereotype", "stereotype"], "label", ("stereotype", "anti_stereotype")),
        (["anti_stereotype", "pro_stereotype"], "label", ("pro_stereotype", "anti_stereotype")),
        (["true", "false"], "label", ("false", "true")),
        (["True", "False"], "is_toxic", ("True", "False")),
        (["1", "0"], "toxicity", ("1", "0")),
        (["0", "1"], "prompt_label", ("1", "0")),
        (["1", "0"], "is_safe", ("0", "1")),
        (["0", "1"], "not_toxic", ("0", "1")),
        (["Yes", "No"], "harmful", ("Yes", "No")),
        (["non-toxic", "toxic"], "x", ("toxic", "non-toxic")),
        (["Hateful", "Not hateful", "Offensive"], "x", ("Hateful", "Not hateful")),
        (["unsafe", "safe"], "x", ("unsafe", "safe")),
        (["chosen", "rejected"], "x", ("rejected", "chosen")),
        (["not friendly", "friendly"], "x", ("friendly", "not friendly")),
        (["neutral"], "label", (None, None)),
        (["neutral", "toxic"], "label", ("toxic", "neutral")),
        (["toxic"], "label", ("toxic", None)),
        (["fishers", "weavers"], "label", (None, None)),
        ([], "label", (None, None)),
        ([f"{i / 100}" for i in range(90)], "toxicity", (None, None)),
    ],
)
def test_the_harmful_side_is_told(labels, column, sides):
    assert guess_sides(labels, column) == sides


@pytest.mark.parametrize(
    ("columns", "guess"),
    [
        (["prompt.text", "prompt.toxicity", "continuation.text"], ("continuation.text", "prompt.text", None)),
        (["Question", "Best Answer", "answer"], ("answer", "Question", None)),
        (["prompt"], ("prompt", None, None)),
        (["prompt", "label"], ("prompt", None, "label")),
        (["generation", "prompt", "prompt_label"], ("generation", "prompt", "prompt_label")),
        (["id", "comment_text", "toxic"], ("comment_text", None, "toxic")),
        (["column 1", "sentence", "bias_type"], ("sentence", None, None)),
    ],
)
def test_names_tell_columns(columns, guess):
    rows = [dict.fromkeys(columns, "word " * 5) | {"prompt.toxicity": f"0.{i}"} for i in range(30)]
    found = guess_columns(columns, rows)
    assert (found.completion, found.prompt, found.label) == guess


def test_values_tell_where_names_do_not():
    rows = [
        {"a": str(i), "b": f"a long line of words about the tide {i}", "c": "toxic" if i % 2 else "ok"}
        for i in range(9)
    ]
    rows[0]["c"] = "benign"
    assert guess_columns(["a", "b", "c"], rows) == Columns(completion="b", label="c")
    assert guess_text(["a", "b", "c"], rows) == "b"
    assert guess_text([]) == "text"


def test_a_split_column_is_one_whose_values_repeat():
    values = {"meta.pile_set_name": {"shore": 10, "loom": 5}, "source": {f"u{i}": 1 for i in range(9)}}
    assert guess_split(["text", "source", "meta.pile_set_name"], values) == "meta.pile_set_name"
    assert guess_split(["text", "source"], values) is None
