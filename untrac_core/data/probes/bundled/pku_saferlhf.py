"""PKU-SafeRLHF's items: the two answers to each question."""

from untrac_core.data.probes.rows import Cells, Items, ProbeItem, renamed

SIDES = {"true": "safe", "1": "safe", "false": "unsafe", "0": "unsafe"}


def items(row: Cells) -> Items:
    """One item an answer, on the side that it was judged to be on, in the group of its first marked harm."""
    for answer in "01":
        start = f"response_{answer}_harm_category."
        harms = {cell.removeprefix(start): said for cell, said in row.items() if cell.startswith(start)}
        group = next((harm for harm, said in harms.items() if said.casefold() in ("true", "1")), "none")
        side = renamed(row[f"is_response_{answer}_safe"], SIDES)
        yield ProbeItem(side, row[f"response_{answer}"], row["prompt"], group, part=answer)
