"""Adding a prompt set: where its items come from, which column holds what, which label is which side."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.components.forms import form_state as draft
from pages.components.forms.jobs import fetch
from pages.components.forms.source_picker import hub_set, library_lock, local_file, name_field, option
from pages.components.forms.source_preview import NUMBERS, Given, look, of_numbers
from pages.components.forms.uploads import drop, given_of, listed, origin_of, paste, uploader, users_words
from pages.components.layout.errors import fault
from pages.components.layout.labels import shown_as
from pages.components.layout.masked_tables import masked_table
from pages.components.library.generate_form import generate_way
from pages.components.library.library_views import known_already, library
from pages.components.library.probe_form import probe_way
from untrac_core.engine import Store
from untrac_core.engine.library.sources import Preview, guess_columns, guess_sides
from untrac_core.errors import InputError
from untrac_core.specs import PromptSet
from untrac_core.specs.build import build
from untrac_core.text.labels import word_of
from untrac_core.text.numbers import count

PREFIX = "p_"
NONE = "(none)"
WAYS = {
    "upload": "Upload",
    "paste": "Paste",
    "file": "A file here",
    "hub": "Hugging Face Hub",
    "probe": "A benchmark",
    "generate": "Generate",
}
CARDS_MOST = 6
PREVIEW_ROWS = 8
SIDES_MOST = 50


def form(store: Store) -> None:
    """The whole form."""
    st.subheader("Add a prompt set", anchor=False)
    option(f"{PREFIX}way", list(WAYS), "upload")
    with st.container(border=True, key="add_prompts"):
        way = st.segmented_control(
            "Where do the items come from?", list(WAYS), format_func=WAYS.get, key=f"{PREFIX}way", required=True
        )
        if way == "probe":
            probe_way(PREFIX, store)
        elif way == "generate":
            generate_way(store)
        elif way in ("file", "hub"):
            given = library_lock(lambda: local_file(PREFIX) if way == "file" else hub_set(PREFIX))
            if given is not None:
                library_lock(lambda: one_source(store, given, f"{PREFIX}{way}_", None))
        else:
            if way == "upload":
                uploader(PREFIX, "Files with test items, each a prompt set")
            else:
                paste(PREFIX, label="Test items", help_text="The text that the model should not write, one per line")
            uploads(store)


def uploads(store: Store) -> None:
    """A card for each file that was given; the first ones, where there are many."""
    entries = listed(PREFIX)
    for entry in entries[:CARDS_MOST]:
        with st.container(border=True, key=f"card_prompts_{entry['id']}"):
            prefix = f"{PREFIX}{entry['id']}_"
            try:
                one_source(store, given_of(entry), prefix, entry["id"])
            except InputError as error:
                fault(str(error))
                st.button("Remove", key=f"b_{prefix}drop", on_click=drop, args=(PREFIX, entry["id"]))
    if len(entries) > CARDS_MOST:
        st.caption(f"{len(entries) - CARDS_MOST} more are shown as soon as these are added or taken off the list.")


def one_source(store: Store, given: Given, prefix: str, upload: int | None) -> None:
    """The columns of one source with a guess, its first items as they would be used, and the button that adds it."""
    found = look(given)
    head, button, remove = st.columns(
        [5, 1.4, 1.6] if upload is not None else [5, 1.4, 0.1], vertical_alignment="bottom"
    )
    name = name_field(head, prefix, given)
    values: dict[str, Any] = {"name": name, "source": given.source, **mapping(found, prefix)}
    if upload is not None:
        remove.button(
            "Remove",
            icon=":material/close:",
            key=f"b_{prefix}drop",
            on_click=drop,
            args=(PREFIX, upload),
            width="stretch",
        )
    if of_numbers(found, values["columns"]["completion"]):
        st.warning(NUMBERS, icon=":material/tag:")
    pressed = button.button("Add", type="primary", key=f"b_{prefix}add", width="stretch")
    preview(found, values, f"show_{prefix}")
    told = [f"{found.count:,} rows" if found.whole else f"the first {found.count:,} rows were looked at"]
    told += [f"{count(found.blank, 'blank row')} not used"] if found.blank else []
    st.caption(" · ".join(told))
    if pressed:
        add(store, values, given, upload)


def mapping(found: Preview, prefix: str) -> dict[str, Any]:
    """Choices for the columns and the sides, filled in with a guess."""
    guess = guess_columns(found.columns, found.first)
    wanted = (
        ("completion", "Completion (scored)", guess.completion),
        ("prompt", "Prompt (not scored)", guess.prompt),
        ("label", "Label", guess.label),
        ("group", "Group", guess.group),
        ("cluster", "Pair or question", guess.cluster),
    )
    columns: dict[str, str | None] = {"id": guess.id}
    for place, (role, label, guessed) in zip(st.columns(len(wanted)), wanted, strict=True):
        options = found.columns if role == "completion" else [NONE, *found.columns]
        option(f"{prefix}{role}", options, guessed if guessed in options else options[0])
        picked = place.selectbox(label, options, key=f"{prefix}{role}")
        columns[role] = None if picked == NONE else picked
    if not columns["label"]:
        st.caption("Without a label column all rows are one side: the texts to be explained.")
        return {"columns": columns}
    return {"columns": columns, **sides(found, columns["label"], prefix)}


def sides(found: Preview, label: str, prefix: str) -> dict[str, str | None]:
    """Which value of the label column is the harmful side, and which the harmless one."""
    counts = found.values.get(label, {})
    values = list(counts)[:SIDES_MOST]
    harmful_guess, harmless_guess = guess_sides(values, label)
    left, right = st.columns(2)
    option(f"{prefix}harmful", [NONE, *values], harmful_guess if harmful_guess in values else NONE)
    harmful = left.selectbox(
        "Harmful side: what it should not write",
        [NONE, *values],
        key=f"{prefix}harmful",
        format_func=shown_as({value: _counted(value, counts) for value in values}),
    )
    if harmful == NONE:
        st.caption("Without a harmful label all rows are one side: the texts to be explained.")
        return {"harmful": None, "harmless": None}
    named = {"harmful_name": side_name(left, "harmful", harmful, prefix)}
    others = [NONE, *(value for value in values if value != harmful)]
    guesses = [guess for guess in (harmless_guess, harmful_guess) if guess in others]
    # Of two labels the other one is the contrast, whatever they are called.
    guesses += others[1:] if len(counts) == 2 else []
    option(f"{prefix}harmless", others, guesses[0] if guesses else NONE)
    harmless = right.selectbox(
        "Harmless side: the contrast",
        others,
        key=f"{prefix}harmless",
        format_func=shown_as({value: _counted(value, counts) for value in values}),
    )
    if harmless == NONE:
        return {"harmful": harmful, "harmless": None} | named
    named["harmless_name"] = side_name(right, "harmless", harmless, prefix)
    return {"harmful": harmful, "harmless": harmless} | named


def side_name(place: DeltaGenerator, side: str, label: str, prefix: str) -> str | None:
    """What sentences call a side's texts; filled in with what its label says, anew for another label."""
    name = place.text_input(
        f"What its texts are called ({side} side)",
        value=word_of(label) or side,
        key=f"{prefix}{side}_name_{label}",
        max_chars=40,
        help="A word that fits before 'texts', such as 'toxic' or 'benign'. Titles and sentences use it.",
    )
    return name.strip() or None


def _counted(value: str, counts: dict[str, int]) -> str:
    return f"{value} ({counts[value]:,})" if value in counts else value


def preview(found: Preview, values: dict[str, Any], key: str) -> None:
    """The first items as they would be used: what is given and masked out, and what is scored."""
    columns = values["columns"]
    rows = found.first[:PREVIEW_ROWS]

    def of(role: str) -> list[str]:
        return [row.get(columns[role] or "", "") for row in rows]

    shown: dict[str, list[str]] = {}
    if columns["label"]:
        names = {values.get("harmful"): "harmful", values.get("harmless"): "harmless"}
        both = values.get("harmful") is not None
        shown["Side"] = [names.get(label, "not used") if both else "harmful" for label in of("label")]
    if columns["group"]:
        shown["Group"] = of("group")
    if columns["cluster"]:
        shown["Pair or question"] = of("cluster")
    given = of("prompt") if columns["prompt"] else ["" for _ in rows]
    masked_table(
        {**shown, "Prompt (not scored)": given, "Completion (scored)": of("completion")},
        words=["Prompt (not scored)", "Completion (scored)"],
        key=key,
        alt="The first items: what is given, and what is scored",
    )


def add(store: Store, values: dict[str, Any], given: Given, upload: int | None) -> None:
    """Put the set into the library: at once when it is small and here, else in the background."""
    try:
        spec, began = build(PromptSet, values, where="prompt set"), time.time()
        if given.large:
            fetch(store, PREFIX, spec.name, prompts=[spec])
            return
        with st.spinner("Reading the items"):
            entry = library().add_prompts(spec, origin=origin_of(given, upload))
    except InputError as error:
        fault(users_words(str(error), given))
        return
    known_already(entry, spec.name, began)
    if upload is not None:
        st.session_state[f"dropped_{PREFIX}"] = upload
    if len(listed(PREFIX)) <= 1:
        draft.empty(PREFIX)
    st.query_params["prompts"] = entry.id
    st.rerun()


def settle() -> None:
    """Take the upload that was just added off the list; called before anything is drawn."""
    number = st.session_state.pop(f"dropped_{PREFIX}", None)
    if number is not None:
        drop(PREFIX, number)
