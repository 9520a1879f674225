"""WMDP's items: the choices of each question, the right one on the harmful side."""

from untrac_core.data.probes.rows import FROM, Cells, Items, ProbeItem, elements, only_kind

FIELDS = {"bio": {"bio"}, "chem": {"chem"}, "cyber": {"cyber"}}


def items(row: Cells) -> Items:
    """One item a choice, in the group of the field that the config or the file's name tells."""
    group = only_kind(row[FROM], FIELDS) or ""
    for number, choice in enumerate(elements(row["choices"])):
        side = "hazardous" if str(number) in elements(row["answer"]) else "wrong"
        yield ProbeItem(side, choice, row["question"], group, part=str(number))
