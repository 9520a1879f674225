"""What the probes' modules make of single rows, at the edges that files of their schema do not reach."""

from __future__ import annotations

from importlib import import_module

import pytest

from untrac_core.data.probes.rows import FROM, ProbeItem, elements, joined, number, only_kind, renamed, tidy


def made(name: str, row: dict[str, str], origin: str = "file.csv") -> list[ProbeItem]:
    return list(import_module(f"untrac_core.data.probes.bundled.{name}").items({**row, FROM: origin}))


def bbq(**changed: str) -> list[tuple[str, str]]:
    row = {
        "category": "Age", "example_id": "7", "context": "Two came. ", "question": "Who?", "question_polarity": "neg",
        "context_condition": "ambig", "ans0": "the smith", "ans1": "the weaver", "ans2": "nobody knows",
        "answer_info.ans0": '["smith", "Old"]', "answer_info.ans1": '["weaver", "nonOld"]',
        "answer_info.ans2": '["x", "unknown"]',
    } | changed  # fmt: skip
    items = made("bbq", row)
    assert {(item.prompt, item.group, item.row) for item in items} <= {("Two came. Who?", "Age", "Age-7")}
    return [(item.part, item.label) for item in items]


def test_bbq_takes_the_meant_answer_by_its_number_or_by_its_groups():
    for told in ({"target_label": "0"}, {"target_label": "0.0"}, {"additional_metadata.stereotyped_groups": '["old"]'}):
        assert bbq(**told) == [("0", "stereotype"), ("1", "anti_stereotype")]
        assert bbq(**told, question_polarity="NonNeg") == [("0", "anti_stereotype"), ("1", "stereotype")]
    assert bbq(**{"target_label": "0", "additional_metadata.stereotyped_groups": '["nonOld"]'})[0][1] == "stereotype"
    assert [side for _, side in bbq(**{"additional_metadata.stereotyped_groups": "[]"})] == ["anti_stereotype"] * 2
    assert bbq(target_label="0", context_condition="disambig") == []


@pytest.mark.parametrize(
    ("begun", "whole", "rest"),
    [
        ("one two ", "one two three", "three"),
        ("one two", "one two  three ", "three "),
        ("two", "one two three", None),
        (" ", "one two three", None),
    ],
)
def test_bold_scores_what_follows_the_beginning(begun, whole, rest):
    items = made("bold", {"prompts": f'["{begun}"]', "wikipedia": f'["{whole}", "more"]', "category": "c"})
    assert items == ([] if rest is None else [ProbeItem("neutral", rest, begun, "c", part="0")])


@pytest.mark.parametrize(("given", "group"), [("2", "gender"), (" 8 ", "age"), ("religion", "religion"), ("9", "9")])
def test_crows_pairs_names_the_numbered_kinds(given, group):
    items = made("crows_pairs", {"sent_more": "a", "sent_less": "b", "bias_type": given})
    assert items == [
        ProbeItem("stereotype", "a", group=group, part="s"),
        ProbeItem("anti_stereotype", "b", group=group, part="a"),
    ]


def test_pku_saferlhf_groups_by_the_first_marked_harm():
    start = "response_0_harm_category"
    row = {
        "prompt": "How?", "response_0": "So.", "response_1": "No.", "is_response_0_safe": "False",
        "is_response_1_safe": "1", f"{start}.a": "false", f"{start}.b c": "True", f"{start}.d": "true",
    }  # fmt: skip
    assert made("pku_saferlhf", row) == [
        ProbeItem("unsafe", "So.", "How?", "b c", part="0"),
        ProbeItem("safe", "No.", "How?", "none", part="1"),
    ]


@pytest.mark.parametrize(
    ("given", "scored", "sides"),
    [
        ("0.5", "0.49", [("benign", "toxic_prompt")]),
        ("0.1", "0.5", [("toxic", "nontoxic_prompt")]),
        ("", "0.5", []),
        ("0.5", "NaN", []),
        ("inf", "0.5", []),
    ],
)
def test_real_toxicity_prompts_needs_two_numbers(given, scored, sides):
    row = {"prompt.text": "a", "continuation.text": " b", "prompt.toxicity": given, "continuation.toxicity": scored}
    for more, name in (({}, ""), ({"filename": "f.txt", "begin": "3"}, "f.txt@3"), ({"begin": "3"}, "")):
        items = made("real_toxicity_prompts", row | more)
        assert items == [ProbeItem(side, " b", "a", group, name) for side, group in sides]


@pytest.mark.parametrize(
    ("origin", "sides"),
    [("forget10 train x.json", ["forget"]), ("a/b_retain95.json", ["retain"]), ("forget01 retain99", []), ("x", [])],
)
def test_tofu_takes_the_side_from_where_a_row_stands(origin, sides):
    row = {"question": "Who?", "answer": "He."}
    assert made("tofu", row, origin) == [ProbeItem(side, "He.", "Who?") for side in sides]


@pytest.mark.parametrize(
    ("human", "machine", "text", "made_of_it"),
    [
        ("3", "2.5", "a", []),
        ("3", "2.6", "b'it is'", [ProbeItem("toxic", "it is", group="g")]),
        ("1", "2.5", "b is", [ProbeItem("benign", "b is", group="g")]),
        ("1", "2.6", "a", []),
        ("1", "", "a", []),
    ],
)
def test_toxigen_leaves_the_doubtful_middle_out(human, machine, text, made_of_it):
    row = {"text": text, "target_group": "g", "toxicity_human": human, "toxicity_ai": machine}
    assert made("toxigen", row) == made_of_it


@pytest.mark.parametrize(("label", "side"), [("1", "toxic"), ("0.0", "benign"), ("True", "toxic"), ("odd", "odd")])
def test_toxigen_reads_the_prompts_label_first(label, side):
    row = {"generation": "a", "prompt_label": label, "group": "g", "text": "t"}
    assert made("toxigen", row) == [ProbeItem(side, "a", group="g")]


def test_truthfulqa_parts_only_the_authors_answers_at_semicolons():
    hub = {"question": "Q?", "incorrect_answers": "a; b", "correct_answers": '["c", "d"]', "category": "k"}
    said = [ProbeItem("true", "c", "Q?", "k", part="t0"), ProbeItem("true", "d", "Q?", "k", part="t1")]
    assert made("truthfulqa", hub) == [ProbeItem("false", "a; b", "Q?", "k", part="f0"), *said]
    file = {"Question": "Q?", "Incorrect Answers": "a; b;", "Correct Answers": "c;d", "Category": "k"}
    parts = [ProbeItem("false", "a", "Q?", "k", part="f0"), ProbeItem("false", "b", "Q?", "k", part="f1")]
    assert made("truthfulqa", file) == [*parts, *said]


@pytest.mark.parametrize(
    ("text", "origin", "found"),
    [
        (
            "12 [The smith] said [SHE] left.",
            "pro_x",
            [("pro_stereotype", "female", "The smith said SHE left.")],
        ),
        ("[He] left.", "type1_anti", [("anti_stereotype", "male", "He left.")]),
        ("She and he left.", "pro", []),
        ("There they left.", "pro", []),
        ("She left.", "other", []),
        ("She left.", "pro anti", []),
    ],
)
def test_winobias_needs_one_gender_and_one_side(text, origin, found):
    items = made("winobias", {"text": text}, origin)
    assert [(item.label, item.group, item.completion) for item in items] == found


def test_the_two_sentences_of_winobias_that_differ_in_a_pronoun_alone_are_one_pair():
    pro, anti = (
        "[The smith] paid the baker, for [she] broke her oven.",
        "The smith paid the baker, for he broke his oven.",
    )
    (first,), (second,) = made("winobias", {"text": pro}, "pro_x"), made("winobias", {"text": anti}, "anti_x")
    (other,) = made("winobias", {"text": "The smith left, for he was late."}, "anti_x")
    assert first.cluster == second.cluster != other.cluster


def test_wmdp_takes_the_field_from_where_a_row_stands():
    row = {"question": "Which?", "choices": '["a", "b"]', "answer": "1"}
    items = [ProbeItem("wrong", "a", "Which?", "bio", part="0"), ProbeItem("hazardous", "b", "Which?", "bio", part="1")]
    assert made("wmdp", row, "wmdp-bio test x.parquet") == items
    assert made("wmdp", row, "x.json") == [item._replace(group="") for item in items]


def test_what_the_modules_share():
    assert elements('["x", 1, {"é": null}]') == ["x", "1", '{"é": null}']
    assert (elements("[x"), elements(" a;; b", ";"), elements(" "), elements(None)) == (["[x"], ["a", "b"], [], [])
    assert joined("x ", "", "y", by="-") == "x-y"
    assert renamed(" TRUE", {"true": "safe"}) == "safe"
    assert (number(" 2.5"), str(number("")), str(number("1e999"))) == (2.5, "nan", "nan")
    kinds = {"f": {"she"}, "m": {"he"}}
    assert [only_kind(text, kinds) for text in ("Then SHE left.", "she_x", "she and he", "there")] == [
        "f",
        "f",
        None,
        None,
    ]


def test_tokens_are_written_as_people_write():
    assert tidy("He did n't say `` so '' , ( she 's there ) .") == "He didn't say \"so\", (she's there)."
