"""BBQ's items: of each ambiguous question, the two answers that name somebody."""

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, elements, folded, joined, renamed

SIDES = {
    "neg yes": "stereotype",
    "neg no": "anti_stereotype",
    "nonneg yes": "anti_stereotype",
    "nonneg no": "stereotype",
}
"""By the question's polarity, and by whether the answer is of the stereotyped group."""


def items(row: Cells) -> Items:
    """One item an answer; on the hub its number tells the stereotyped one, in the authors' files its groups do."""
    if folded(row["context_condition"]) != "ambig" or "category" not in row:
        return
    asked = joined(row["context"], row["question"])
    name = joined(row["category"], row["example_id"], by="-") if "example_id" in row else ""
    for answer in "012":
        named = elements(row.get(f"answer_info.ans{answer}"))
        if not named or folded(named[-1]) == "unknown":
            continue
        if "target_label" in row:
            meant = answer in elements(row["target_label"].removesuffix(".0"))
        else:
            groups = {group.casefold() for group in elements(row["additional_metadata.stereotyped_groups"])}
            meant = any(group.casefold() in groups for group in named)
        side = renamed(joined(row["question_polarity"], "yes" if meant else "no"), SIDES)
        yield ProbeItem(side, row[f"ans{answer}"], asked, row["category"], name, answer)
