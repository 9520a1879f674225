"""Report: figures of several results on one page, with own words between them, to hand on as one file."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import streamlit as st

from pages.components.forms import form_state
from pages.components.layout.shell import shell, title
from pages.components.report import adding, blocks
from pages.components.report.draft import ITEMS, MARKER, PREFIX, TITLE, Item, items_of, report_of, request_of, with_item
from untrac_core.engine import DEMO_RUN, Store
from untrac_core.errors import InputError
from untrac_core.explore.composed.compose import compose, item_part, usual_items
from untrac_core.report.blocks import Part
from untrac_core.report.picks import PICKS
from untrac_core.specs.files import composed_yaml

NAME = "Report"
QUESTION = "What do you want to tell, and to whom?"
PURPOSE = (
    "Put figures of your results in order and write your own words between them; then download one file that opens "
    "anywhere, without a network, and that a browser prints to PDF."
)
TITLES = {name: pick.title for picks in PICKS.values() for name, pick in picks.items()} | {"comparison": "Comparison"}
MARKDOWN = "Markdown: # heading, **bold**, *italic*, - list, > quote, `code`, | table |, [link](https://…)."


def main() -> None:
    store = shell(NAME)
    title(NAME, QUESTION, PURPOSE)
    form_state.take_up_latest(PREFIX)
    form_state.restore(PREFIX, MARKER)
    st.session_state.setdefault(MARKER, TITLE)
    items = items_of(dict(st.session_state))
    left, right = st.columns([5, 3], gap="large")
    with right:
        added = panel(store)
    if added:
        for item in added:
            items = with_item(items, item)
        _put(items)
    with left:
        st.text_input("Title", key=MARKER, max_chars=80)
        changed, faults = listing(store, items)
    st.session_state[ITEMS] = changed
    form_state.keep(PREFIX)
    with right, st.container(border=True):
        take(store, changed, faults)


def panel(store: Store) -> list[Item]:
    """What can be added, and by which button it was."""
    runs = adding.runs_of(store)
    found: list[Item] = []
    with st.container(border=True):
        if runs:
            found = adding.panel(store, runs)
        else:
            st.caption("There is no finished run to show yet; words can be written already.")
        if st.button("Add words", icon=":material/notes:", key="add_words"):
            found = [{"text": ""}]
    return found


def listing(store: Store, items: list[Item]) -> tuple[list[Item], int]:
    """The parts one below the other, each with its buttons; the items with what was typed, and how many are faulty."""
    if not items:
        st.caption("Nothing is in this report yet. Add a part at the right, or begin with the demo.")
        if any(run.id == DEMO_RUN for run in adding.runs_of(store)) and st.button(
            "Begin with the demo", icon=":material/play_arrow:", key="begin_demo"
        ):
            usual = usual_items([DEMO_RUN], partial(adding.opened, store))
            for one in usual[:1]:
                items = with_item(items, one.model_dump(mode="json", exclude_defaults=True))
            _put(items)
    changed, faults = [], 0
    for place, item in enumerate(items):
        with st.container(border=True, key=f"item_{item['number']}"):
            buttons(place, items)
            if item.get("show") is None:
                changed.append({**item, "text": words(item)})
                continue
            changed.append(item)
            faults += not picture(store, item)
    return changed, faults


def buttons(place: int, items: list[Item]) -> None:
    """Move a part up or down, or take it out."""
    number = items[place]["number"]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"Part {place + 1} of {len(items)}")
        if st.button("Up", icon=":material/arrow_upward:", type="tertiary", key=f"up_{number}", disabled=not place):
            _swap(items, place, place - 1)
        last = place == len(items) - 1
        if st.button("Down", icon=":material/arrow_downward:", type="tertiary", key=f"down_{number}", disabled=last):
            _swap(items, place, place + 1)
        if st.button("Remove", icon=":material/close:", type="tertiary", key=f"remove_{number}"):
            _put([item for item in items if item["number"] != number])


def words(item: Item) -> str:
    """The field of own words; what stands in it now."""
    typed = st.text_area(
        "Words", value=str(item.get("text", "")), key=f"words_{item['number']}", max_chars=50_000, height=160,
        placeholder="What should the reader see here, and what not conclude?",
    )  # fmt: skip
    st.caption(f"{MARKDOWN} It is set in the file; HTML and images in it stay text.")
    return typed or ""


def picture(store: Store, item: Item) -> bool:
    """A part as it will stand in the file, texts masked; whether there is one."""
    try:
        heading, made = part(store, item)
    except (InputError, OSError) as error:
        st.text(f"This part cannot be shown: {error}")
        return False
    st.markdown(f"**{TITLES[item['show']]}**")
    st.text(heading)
    blocks.show(made, key=f"block_{item['number']}")
    return True


def part(store: Store, item: Item) -> Part:
    """The blocks of an item, made once as long as its results stay as they are."""
    wanted = request_of(item)
    names = [name for name in (wanted.run, *(view.run for view in wanted.views)) if name]
    changed = tuple(store.run(name).changed for name in names)
    text = json.dumps(wanted.model_dump(mode="json"), sort_keys=True)
    return _part(store.home, text, changed, store, wanted)


@st.cache_resource(max_entries=128, show_spinner=False)
def _part(home: Any, text: str, changed: tuple[float, ...], _store: Store, _item: Any) -> Part:
    return item_part(_item, partial(adding.opened, _store))


def take(store: Store, items: list[Item], faults: int) -> None:
    """The file to hand on, and the same from the command line."""
    st.subheader("Export", anchor=False)
    try:
        wanted = report_of(str(st.session_state[MARKER]), items)
    except InputError:
        st.caption("Add a part first.")
        return
    if faults:
        st.caption("A part cannot be shown: remove it, or run it again, to get the file.")
    else:
        st.download_button(
            "Report (HTML)",
            lambda: compose(wanted, partial(adding.opened, store)),
            file_name="untrac-report.html",
            mime="text/html",
            on_click="ignore",
            icon=":material/download:",
            type="primary",
            key="report_file",
        )
        st.caption("One file; texts are masked in it. To get a PDF, open it in a browser and print it.")
    if st.button("Start another report", icon=":material/note_add:", type="tertiary", key="another"):
        form_state.begin_anew(PREFIX)
        st.rerun()
    with st.expander("The same from the command line"):
        st.caption("Save this as page.yaml, then run the second line.")
        st.code(composed_yaml(wanted), language="yaml", height=240)
        st.code("untrac report page.yaml --out report.html", language="bash")
        st.caption("Many results as a folder of pages with a list that can be filtered, for any web server:")
        st.code("untrac bundle RUN RUN --out folder", language="bash")


def _swap(items: list[Item], one: int, other: int) -> None:
    moved = list(items)
    moved[one], moved[other] = moved[other], moved[one]
    _put(moved)


def _put(items: list[Item]) -> None:
    """Keep these items and draw the page anew."""
    st.session_state[ITEMS] = items
    form_state.keep(PREFIX)
    st.rerun()


main()
