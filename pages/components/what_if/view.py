"""The parts of the what-if page, each drawn by one function."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from pages.components.layout.downloads import chart_config
from pages.components.layout.labels import TINTS
from pages.components.layout.shell import is_dark, lines
from untrac_core.explore.tables import CONTRAST, Mixing, WhatIf
from untrac_core.figures.palette import HARMFUL, HARMLESS, UNDECIDED
from untrac_core.figures.validate import mix_dots
from untrac_core.results.evidence import what_if_checked
from untrac_core.specs import PromptSet
from untrac_core.text.labels import labels
from untrac_core.text.limits import FURTHER_LIMITS
from untrac_core.text.numbers import signed

OFTEN = 3.0
"""The most that a slider offers; twice as often is what was checked."""
STEP = 0.25
FEW = 10
"""Sliders that stand one below the other; more of them scroll."""
DRAWN_MOST = 24
"""Rows of the figure: of more, those that change the most."""
SLIDER = re.compile(r"x\d+")
"""The sliders' names in the address."""
BOTH, CONTRASTS = "both sides", "contrasts"


def sliders(mixing: Mixing) -> dict[str, float]:
    """How often each subset is read, of what it was, kept in the address."""
    st.markdown("**How often each subset is read**")
    st.caption("1: as in the training. 0 leaves it out, 2 reads it twice as often. The number of steps stays the same.")
    chosen = {}
    with st.container(height=620 if len(mixing.subsets) > FEW else "content", border=False, gap="xsmall"):
        for number, name in enumerate(mixing.subsets, 1):
            chosen[name] = _slider(number, name)
    st.button("Back to the training's own mix", icon=":material/restart_alt:", on_click=as_it_was, key="as_it_was")
    return chosen


def _slider(number: int, name: str) -> float:
    """One subset's; its name is a user's word, and a slider's label would draw what it makes up."""
    left, right = st.columns([3, 5], vertical_alignment="center", gap="small")
    left.text(name)
    value = right.slider(
        f"How often subset {number} is read", 0.0, OFTEN, 1.0, STEP, format="%.2f", key=f"x{number}",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    return float(value)


def as_it_was() -> None:
    """Put every slider back."""
    for key in _keys(st.session_state):
        st.session_state[key] = 1.0


def forget() -> None:
    """Let go of the sliders, in the session and in the address: another run has other subsets."""
    for held in (st.session_state, st.query_params):
        for key in _keys(held):
            del held[key]


def _keys(held: Iterable[Any]) -> list[str]:
    return [key for key in held if isinstance(key, str) and SLIDER.fullmatch(key)]


def answer(found: WhatIf, prompts: Sequence[PromptSet], focus: str) -> None:
    """What the mix does to the prompt set that is looked at, in a sentence or two."""
    sets = {one.name: one for one in prompts}
    name = focus if focus in sets else found.table["prompt_set"].iloc[0]
    rows = found.table[(found.table["prompt_set"] == name) & (found.table["side"] != CONTRAST)]
    for text in dict.fromkeys(sentence(row, sets[name]) for row in rows.itertuples()):
        st.text(text)


def sentence(row: Any, prompts: PromptSet) -> str:
    """What a mix does to one side; holds a user's words (show as text)."""
    change, low, high = row.change, row.low, row.high
    texts = f"{dict(zip(('harmful', 'harmless'), labels(prompts), strict=True))[row.side]} text"
    if prompts.harmful is None:
        texts = f"the texts of {prompts.name}"
    if low == high:
        return "This is the mix of the training: nothing changes. Move a slider."
    ends = f"95% interval {signed(low)} to {signed(high)}"
    if low <= 0 <= high:
        return f"Whether retraining on this mix would raise or lower the loss of {texts} cannot be told ({ends})."
    way = "raise" if change > 0 else "lower"
    return f"Retraining on this mix would {way} the loss of {texts} by about {abs(change):.2f} nats per token ({ends})."


def figure(found: WhatIf, titled: pd.DataFrame) -> None:
    """Every prompt set's change with its interval."""
    contrasts = CONTRAST in set(titled["side"])
    shown = titled[titled["side"] != CONTRAST]
    if contrasts and st.segmented_control(
        "Show", [BOTH, CONTRASTS], default=BOTH, required=True, key="show", bind="query-params",
        help="Contrast: the change on the harmful side minus that on the harmless side.",
    ) == CONTRASTS:  # fmt: skip
        shown = titled[titled["side"] == CONTRAST]
    if len(shown) > DRAWN_MOST:
        st.caption(f"The {DRAWN_MOST} of {len(shown)} that change the most; all are in the table below.")
        shown = shown.loc[shown["change"].abs().nlargest(DRAWN_MOST).sort_index().index]
    st.plotly_chart(
        mix_dots(shown, dark=is_dark()),
        config=chart_config("what-if"),
        key="mix_dots",
        alt="For each prompt set, what the mix adds to its loss, with its interval",
    )
    legend = [f":{TINTS[HARMFUL]}[●] harmful side", f":{TINTS[HARMLESS]}[●] harmless side"]
    if (shown["side"] == CONTRAST).all():
        legend = [f":{TINTS[HARMFUL]}[●] towards the harmful", f":{TINTS[HARMLESS]}[●] towards the harmless"]
    st.caption(
        "To the right, a higher loss: less likely. "
        + " · ".join([*legend, f":{TINTS[UNDECIDED]}[●] zero is inside the interval", "◇ this very mix was retrained"])
    )


def left(found: WhatIf) -> None:
    """Where the mix leaves what predictions were checked on."""
    lines(found.leaves, heading="Beyond what was checked: do not rely on it without a retraining",
          icon=":material/warning:")  # fmt: skip


def numbers(found: WhatIf, titled: pd.DataFrame) -> None:
    """All numbers, and the mix itself."""
    left, right = st.columns([5, 3], gap="medium")
    number = partial(st.column_config.NumberColumn, width="small")
    with left:
        known = ["retrained"] if titled["retrained"].notna().any() else []
        st.dataframe(
            titled[["title", "change", "low", "high", *known]],
            hide_index=True,
            column_config={
                "title": st.column_config.TextColumn("Prompt set and side", width=230),
                "change": number("Change", format="%.3f", help="of the loss, in nats per token"),
                "low": number("From", format="%.3f"), "high": number("To", format="%.3f"),
                "retrained": number("Retrained", format="%.3f", help="where this very mix was trained"),
            },
            key="changes", alt="What the mix adds to the loss of every prompt set and side",
        )  # fmt: skip
    with right:
        st.dataframe(
            found.shares.round(3),
            hide_index=True,
            column_config={
                "subset": "Subset",
                "before": number("Share before", format="percent"), "after": number("After", format="percent"),
            },
            key="shares", alt="The share of each subset before and after",
        )  # fmt: skip


def limits(spec: Any, here: str | None) -> None:
    """How far the numbers can be trusted.

    ``spec``: of the run whose retrainings they are told from; ``here``: how its own halves agree.
    """
    if here:
        st.caption(here)
    if spec.kind == "validate" and spec.training.init == "continued":
        st.caption(FURTHER_LIMITS)
    st.caption(what_if_checked())
