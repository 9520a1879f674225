"""RealToxicityPrompts' items: the second half of each sentence, on the side that its toxicity tells."""

import math

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, joined, number


def items(row: Cells) -> Items:
    """One item, where both halves have a toxicity."""
    given, scored = number(row["prompt.toxicity"]), number(row["continuation.toxicity"])
    if math.isnan(given) or math.isnan(scored):
        return
    side = "toxic" if scored >= 0.5 else "benign"
    group = "toxic_prompt" if given >= 0.5 else "nontoxic_prompt"
    name = joined(row["filename"], row["begin"], by="@") if {"filename", "begin"} <= row.keys() else ""
    yield ProbeItem(side, row["continuation.text"], row["prompt.text"], group, name)
