"""CrowS-Pairs' items: the two sentences of each pair."""

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, renamed

KINDS = [
    "race-color",
    "socioeconomic",
    "gender",
    "disability",
    "nationality",
    "sexual-orientation",
    "physical-appearance",
    "religion",
    "age",
]
NUMBERED = {str(number): kind for number, kind in enumerate(KINDS)}
"""The parquet conversion holds the number of the class."""


def items(row: Cells) -> Items:
    """Two items: the sentence that is more of a stereotype, and the other."""
    group, name = renamed(row.get("bias_type", ""), NUMBERED), row.get("id", "")
    yield ProbeItem("stereotype", row["sent_more"], group=group, row=name, part="s")
    yield ProbeItem("anti_stereotype", row["sent_less"], group=group, row=name, part="a")
