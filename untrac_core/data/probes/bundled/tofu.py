"""TOFU's items: the answers, on the side that the config or the file's name tells."""

from untrac_core.data.probes.rows import FROM, Cells, Items, ProbeItem, only_kind

SIDES = {"forget": {"forget01", "forget05", "forget10"}, "retain": {"retain90", "retain95", "retain99"}}


def items(row: Cells) -> Items:
    """One item, where the side is told."""
    side = only_kind(row[FROM], SIDES)
    if side:
        yield ProbeItem(side, row["answer"], row["question"])
