"""What one looks at: a run, a prompt set and its side. It stays from page to page until something else is chosen.

Kept for the session of a browser tab, not in an address: an address says all that it means by itself, and what it names
goes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

KEY, BEGUN = "looking_at", "begun_with"


@dataclass(frozen=True)
class Context:
    """Empty where nothing was looked at yet."""

    run: str = ""
    prompt_set: str = ""
    side: str = ""


def context() -> Context:
    """What was looked at last."""
    held = st.session_state.get(KEY)
    return held if isinstance(held, Context) else Context()


def look_at(run: str, prompt_set: str = "", side: str = "") -> None:
    """Take note of what a page shows; another run begins without a prompt set and side."""
    held = context()
    if run != held.run:
        held = Context(run)
    named = {name: value for name, value in (("prompt_set", prompt_set), ("side", side)) if value}
    st.session_state[KEY] = replace(held, **named)


def begin_with(key: str, options: Sequence[str], value: str) -> str | None:
    """What a switch begins with: what was looked at, where neither its address nor a choice says otherwise.

    Returns the switch's ``default``: the first option; none where its value was put there, as both may not be.
    """
    begun: set[str] = st.session_state.setdefault(BEGUN, set())
    if value in options and key not in st.session_state and key not in st.query_params:
        st.session_state[key] = value
        begun.add(key)
    return None if key in begun else options[0]
