"""ToxiGen's items: what followed a prompt, or a sentence that people have judged."""

import re

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, number, renamed

SIDES = {"1": "toxic", "1.0": "toxic", "true": "toxic", "0": "benign", "0.0": "benign", "false": "benign"}


def items(row: Cells) -> Items:
    """One item; of the judged sentences only those on a side by ToxiGen's own threshold, not the doubtful middle."""
    if {"generation", "prompt_label", "group"} <= row.keys():
        yield ProbeItem(renamed(row["prompt_label"], SIDES), row["generation"], group=row["group"])
        return
    score = number(row["toxicity_human"]) + number(row["toxicity_ai"])
    if score > 5.5 or score <= 3.5:
        wrapped = re.fullmatch(r"b(['\"])(.*)\1", row["text"], re.DOTALL)  # a byte string as Python writes it
        text = wrapped[2] if wrapped else row["text"]
        yield ProbeItem("toxic" if score > 5.5 else "benign", text, group=row["target_group"])
