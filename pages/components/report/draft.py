"""The draft of a composed report: its title and its items, which outlive the session as those of a form do."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.forms import form_state
from untrac_core.errors import InputError
from untrac_core.specs.build import build
from untrac_core.specs.composed import ITEMS_MOST, ComposedItem, ComposedReport
from untrac_core.text.numbers import count

PREFIX, MARKER, ITEMS = "rp_", "rp_title", "rp_items"
TITLE = "What we found"
Item = dict[str, Any]
"""An item as the draft keeps it: that of a request, with ``number``, by which its fields are known."""


def items_of(values: dict[str, object]) -> list[Item]:
    """The items of a draft; what anyone else wrote into its file is left out."""
    held = values.get(ITEMS)
    return [item for item in held if isinstance(item, dict) and _sound(item)] if isinstance(held, list) else []


def _sound(item: Item) -> bool:
    try:
        request_of(item)
    except InputError:
        return item.get("text") == "" and isinstance(item.get("number"), int)
    return isinstance(item.get("number"), int)


def request_of(item: Item) -> ComposedItem:
    """An item as the request has it; :class:`InputError` where it is none."""
    return build(ComposedItem, {name: value for name, value in item.items() if name != "number"}, where="item")


def report_of(title: str, items: list[Item]) -> ComposedReport:
    """The request of a draft; words that are still empty are left out. :class:`InputError` where nothing is in it."""
    found = [request_of(item) for item in items if item.get("text") != ""]
    values = {"title": title.strip() or TITLE, "items": found}
    return build(ComposedReport, values, where="report")


def with_item(items: list[Item], item: Item) -> list[Item]:
    """The items with one more at the end, known by a number of its own."""
    number = max((each["number"] for each in items), default=0) + 1
    return [*items, {**item, "number": number}][:ITEMS_MOST]


def add_button(*items: Item, key: str = "add_to_report") -> None:
    """A button on a result's page that puts parts of it into this session's report."""
    told = "Put this into the report that you compose on the page Report"
    if not st.button("Add to report", icon=":material/post_add:", key=key, help=told):
        return
    form_state.take_up_latest(PREFIX)
    values = form_state.peek(PREFIX)
    held = items_of(values)
    for item in items:
        held = with_item(held, item)
    form_state.put(PREFIX, {**values, MARKER: values.get(MARKER) or TITLE, ITEMS: held})
    st.toast(f"Added; the report has {count(len(held), 'part')}. It is on the page Report.", icon=":material/check:")
