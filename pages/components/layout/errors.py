"""What is wrong, said in one line where it is wrong: at a field, in a section of a form, after a button."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from untrac_core.errors import InputError

FAULTS_HEIGHT = 260

Spots = dict[str, DeltaGenerator]
"""Where a form says what is wrong, by the name of the field or the section."""


def at_field(error: InputError) -> str:
    """What to say at the field that an error belongs to, which need not be named once more."""
    text = str(error).removeprefix(f"{error.field}: ")
    return text[:1].upper() + text[1:]


def fault(text: str) -> None:
    """One line that says what is wrong, at the field; as plain text, since it may quote the user's words."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="top", wrap=False):
        st.markdown(":red[:material/error:]", width="content")
        st.text(text, width="stretch")


def faults_in_a_box(texts: list[str]) -> None:
    """Many faults, one per line, in a box that scrolls."""
    if not texts:
        return
    if len(texts) <= 4:
        for text in texts:
            fault(text)
        return
    st.markdown(f":red[:material/error: {len(texts)} files cannot be used]")
    st.code("\n".join(texts), language=None, wrap_lines=True, height=FAULTS_HEIGHT)


def attempt(act: Callable[[], Any]) -> None:
    """Do what a button asks for and draw the page anew; where it cannot be done, say why."""
    try:
        act()
    except InputError as error:
        fault(str(error))
        return
    st.rerun()


@dataclass
class Sections:
    """Draws the sections of a form, each with its place for what is wrong there (``spots``); keeps the ``faults``."""

    spots: Spots
    faults: list[InputError] = field(default_factory=list)

    def gather(self, name: str, draw: Callable[..., Any], *given: Any) -> Any:
        """The values of one section; ``None`` where it is faulty, which is then said at the field or below it."""
        try:
            return draw(*given)
        except InputError as error:
            self.faults.append(error)
            place = self.spots[error.field] if error.field in self.spots else st.empty()
            with place.container():
                fault(at_field(error))
            return None
        finally:
            self.spots.setdefault(name, st.empty())


def place_of(error: InputError, places: Iterable[tuple[str, str]], spots: Spots) -> DeltaGenerator | None:
    """Where an error of a whole request belongs; ``places``: how its 'where' begins, and the section for that."""
    where = error.field
    if where == "request":
        key = re.match(r"'(\w+)", error.message)
        where = key.group(1) if key else error.message
    return next((spots[name] for word, name in places if where.startswith(word) and name in spots), None)


def say(text: str, place: DeltaGenerator) -> None:
    """Say an error of a whole request in its place."""
    with place.container():
        fault(text.removeprefix("request: "))
