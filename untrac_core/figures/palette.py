"""Colours that mean the same in every figure, legend and report; readers who see few colours can tell them apart.

From Okabe and Ito's set (2008): vermilion, blue, green, and a grey.
"""

import pandas as pd

HARMFUL = "#D55E00"
HARMLESS = "#0072B2"
UNDECIDED = "#999999"
GROUND = {"light": "#F4F6F5", "dark": "#1B2422"}
"""The middle of a scale of colours: where nothing changes, the page's own ground is seen."""
LESS = "#009E73"
"""Where one side is looked at alone and place says nothing of the sign: less likely."""


def colour_key(sides: tuple[str, str], side: str) -> list[tuple[str, str]]:
    """What the colours of the bars stand for: (colour, words). ``sides``: the words for the harmful and the
    harmless."""
    harmful, harmless = sides
    grey = (UNDECIDED, "zero is inside the interval")
    if side == "contrast":
        return [(HARMFUL, f"towards {harmful}"), (HARMLESS, f"towards {harmless}"), grey]
    tint, words = (HARMFUL, harmful) if side == "harmful" else (HARMLESS, harmless)
    return [(tint, f"right of zero: {words} text more likely, left: less likely"), grey]


def paleness(*, bracket: bool = False) -> str:
    """What a paler bar means; ``bracket``: and a bracket beside the bars."""
    pale = "paler: not significantly different from a neighbour in the ranking"
    return f"{pale} · bracket: not significantly different from each other" if bracket else pale


def colour(side: str, influence: float, low: float, high: float) -> str:
    """Vermilion towards the harm, blue towards the harmless, grey where the interval includes zero."""
    if pd.isna(low) or pd.isna(high) or low <= 0 <= high:
        return UNDECIDED
    if side == "contrast":
        return HARMFUL if influence > 0 else HARMLESS
    return HARMFUL if side == "harmful" else HARMLESS


def subset_colours(ranked: pd.DataFrame, side: str) -> dict[str, str]:
    """Subset to the colour of its bar, in the order of the ranking."""
    return {row.subset: colour(side, row.influence, row.low, row.high) for row in ranked.itertuples()}
