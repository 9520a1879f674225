"""Time against precision: how much text a trace reads, as one slider over the form's two limits."""

from __future__ import annotations

import streamlit as st

from untrac_core.engine.checks import BLOCKS

PREFIX = "t_"
ITEMS = 256
Limits = tuple[int | None, int | None]
LEVELS: dict[str, Limits] = {
    "Quick look": (BLOCKS, ITEMS),
    "Closer look": (4 * BLOCKS, ITEMS),
    "As on Evidence": (512, ITEMS),
    "All text": (None, None),
}
"""By name, the blocks of a subset and the items of a side at most, the least first."""
OWN = "Own sizes"
KEY = f"{PREFIX}precision"


def sizes_for(*, demo: bool) -> dict[str, int | None]:
    """What a form begins with: few blocks for a look at the demo, else as many as the page *Evidence* is from."""
    return _held("Quick look" if demo else "As on Evidence")


def slider() -> None:
    """Choose both limits at once; fields that were changed by hand are a choice of their own."""
    now = st.session_state.get(f"{PREFIX}limit_subsets"), st.session_state.get(f"{PREFIX}limit_prompts")
    level = next((name for name, limits in LEVELS.items() if limits == now), OWN)
    st.session_state[KEY] = level

    def take() -> None:
        if st.session_state[KEY] in LEVELS:
            st.session_state.update(_held(st.session_state[KEY]))

    st.select_slider(
        "Time against precision",
        [*LEVELS, OWN] if level == OWN else list(LEVELS),
        key=KEY,
        on_change=take,
        help="Four times the text takes up to four times as long and makes intervals about half as wide. "
        "What it costs stands beside Start.",
    )


def _held(level: str) -> dict[str, int | None]:
    blocks, items = LEVELS[level]
    return {f"{PREFIX}limit_subsets": blocks, f"{PREFIX}limit_prompts": items}
