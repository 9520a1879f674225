"""The views of a comparison as cards: which run, prompt set, side and method each is, and how to change that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import streamlit as st

from pages.components.compare.data import Seen
from pages.components.compare.selection import MOST, Choice, address, beside, nearest, ranked_by
from pages.components.layout.labels import ago, shown_as
from untrac_core.engine import Run
from untrac_core.explore.ranking_view import LETTERS
from untrac_core.specs import PromptSet
from untrac_core.specs.catalogue import method_title
from untrac_core.text.labels import labels

NAME_MOST = 60
SIDE_ICONS = {
    "another prompt set": ":material/chat_error:",
    "another side": ":material/contrast:",
    "another method": ":material/conversion_path:",
    "another run": ":material/view_list:",
}


def go(choices: Sequence[Choice]) -> NoReturn:
    """Show these views, and say so in the address."""
    st.query_params["views"] = address(choices)
    st.rerun()


def cards(seen: Sequence[Seen], runs: Sequence[Run]) -> None:
    """One card a view, the baseline first, and ways to set another beside them."""
    choices = [one.choice for one in seen]
    with st.container(key="views", gap="small"):
        for place, (column, one) in enumerate(zip(st.columns(max(len(seen), 2)), seen, strict=False)):
            with column.container(border=True, gap="xsmall", height="stretch"):
                _card(place, one, choices, runs)
        if len(seen) < MOST:
            offer(seen, runs)


def _card(place: int, one: Seen, choices: list[Choice], runs: Sequence[Run]) -> None:
    letter = LETTERS[place]
    st.markdown(f"**{letter}** :green-badge[baseline]" if not place else f"**{letter}**")
    view = one.view
    st.text(view.prompts.name)
    st.caption(f"{side_title(view.prompts, view.side)} · {_by(view.method)}")
    st.text(_cut(one.run.name))
    with st.container(horizontal=True, gap="small"):
        with st.popover("Change", icon=":material/tune:"):
            changed = _change(place, one, runs)
        if place and st.button(
            "Baseline" if len(choices) > 2 else "Swap",
            icon=":material/first_page:" if len(choices) > 2 else ":material/swap_horiz:",
            help="Make this view the baseline, which the others are compared with.",
            type="tertiary",
            key=f"first_{place}",
        ):
            go([one.choice, *(choice for choice in choices if choice != one.choice)])
        if len(choices) > 2 and st.button("Remove", icon=":material/close:", key=f"remove_{place}", type="tertiary"):
            go([choice for choice in choices if choice != one.choice])
    if changed is not None and changed != one.choice:
        if changed in choices:
            st.caption("This view is there already; choose another.")
        else:
            go([changed if choice == one.choice else choice for choice in choices])


def _by(method: str) -> str:
    """A method's title, where it is one of ours: a caption must not draw what a file made up."""
    title = method_title(method)
    return f"by {title}" if title != method else "by a method of its own name"


def _cut(text: str) -> str:
    return text if len(text) <= NAME_MOST else text[: NAME_MOST - 1] + "…"


def side_title(prompts: PromptSet, side: str) -> str:
    """A side in words: 'contrast: toxic beyond benign', 'toxic side', 'all its texts'."""
    harmful, harmless = labels(prompts)
    if prompts.harmful is None:
        return "all its texts"
    return f"contrast: {harmful} beyond {harmless}" if side == "contrast" else (
        f"{harmful if side == 'harmful' else harmless} side")  # fmt: skip


def _change(place: int, one: Seen, runs: Sequence[Run]) -> Choice | None:
    """Another run, prompt set, side or method for a view; ``None`` where the chosen run has nothing to show."""
    choice = one.choice
    # A new view has new widgets, so that each begins at what the address says.
    key = f"{place}_{choice}"
    known = {run.id: run for run in (*runs, one.run)}
    told = {run.id: f"{_cut(run.name)} · {ago(run.created)}" for run in known.values()}
    run_id = st.selectbox(
        "Run", list(known), index=list(known).index(choice.run), format_func=shown_as(told), key=f"run_{key}"
    )
    if run_id != choice.run:
        found = nearest(known[run_id], choice)
        if found is None:
            st.caption("This run has no ranking to show; choose another.")
        return found
    sets = {str(number): sides for number, sides in ranked_by(one.run).items() if sides}
    prompts = {str(number): prompts for number, prompts in enumerate(one.result.spec.prompts, 1)}
    number = st.selectbox(
        "Prompt set", list(sets), index=list(sets).index(str(choice.number)),
        format_func=shown_as({number: prompts[number].name for number in sets}), key=f"set_{key}",
    )  # fmt: skip
    if number != str(choice.number):
        return nearest(one.run, replace(choice, number=int(number)))
    sides = sets[number]
    side = st.selectbox(
        "Influence on", list(sides), index=list(sides).index(choice.side),
        format_func=shown_as({side: side_title(prompts[number], side) for side in sides}), key=f"side_{key}",
    )  # fmt: skip
    if side != choice.side:
        return nearest(one.run, replace(choice, side=side))
    method = st.selectbox(
        "Method", sides[side], index=sides[side].index(one.view.method),
        format_func=shown_as({method: method_title(method) for method in sides[side]}), key=f"method_{key}",
    )  # fmt: skip
    return replace(choice, method=None if method == one.result.spec.method.name else method)


def offer(seen: Sequence[Seen], runs: Sequence[Run]) -> None:
    """Buttons that set another view beside the last one."""
    choices = [one.choice for one in seen]
    found = beside(seen[-1].run, seen[-1].choice, choices, runs)
    if not found:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="add"):
        st.caption("Add to comparison" if len(seen) == 1 else "Add", width="content")
        for words, choice in found:
            if st.button(words, icon=SIDE_ICONS[words], key=f"add_{words.split()[-1]}", type="tertiary"):
                go([*choices, choice])
