"""BOLD's items: the beginnings of sentences and their real rest."""

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, elements


def items(row: Cells) -> Items:
    """One item a sentence that begins as it should: beginnings and whole sentences stand side by side in two lists."""
    pairs = zip(elements(row["prompts"]), elements(row["wikipedia"]), strict=False)
    for number, (begun, whole) in enumerate(pairs):
        start = begun.rstrip()
        if start and whole.startswith(start):
            rest = whole.removeprefix(start).lstrip()
            yield ProbeItem("neutral", rest, begun, row.get("category", ""), part=str(number))
