"""TruthfulQA's items: every wrong and every right answer."""

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, elements


def items(row: Cells) -> Items:
    """One item an answer; the answers are lists on the hub, parted by semicolons in the authors' csv."""
    if {"question", "incorrect_answers", "correct_answers"} <= row.keys():
        question, group = row["question"], row.get("category", "")
        wrong, right = elements(row["incorrect_answers"]), elements(row["correct_answers"])
    else:
        question, group = row["Question"], row.get("Category", "")
        wrong, right = elements(row["Incorrect Answers"], ";"), elements(row["Correct Answers"], ";")
    for side, answers in (("false", wrong), ("true", right)):
        for number, answer in enumerate(answers):
            yield ProbeItem(side, answer, question, group, part=f"{side[0]}{number}")
