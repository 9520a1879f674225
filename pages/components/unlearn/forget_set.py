"""The first section of the unlearn form: whose model and data, and which texts to forget."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.forms import form_state as draft
from pages.components.forms.source_picker import option
from pages.components.forms.source_preview import label_of, look
from pages.components.forms.uploads import drop, given_of, listed, uploader
from pages.components.layout.labels import number, shown_as
from pages.components.layout.masked_tables import masked_table
from pages.components.library.library_views import named
from pages.components.library.prompt_views import items_in_words
from pages.components.library.subset_form import text_columns
from pages.components.trace.form import Shelf, fitting, held_among
from pages.components.unlearn import request
from pages.components.unlearn.request import Origin
from untrac_core.engine import Store
from untrac_core.errors import InputError
from untrac_core.explore.tables import sides_of
from untrac_core.specs import PromptSet
from untrac_core.text.labels import labels, unit_of
from untrac_core.text.numbers import count, signed

UPLOADS = f"{request.PREFIX}f_"
KINDS = {
    "subset": ("A training subset", "Its texts are the forget set; the other subsets are the retain set."),
    "texts": ("The first texts of a trace", "The single texts that a trace found most influential."),
    "upload": ("Texts of my own", "A file of texts; the subsets are the retain set."),
    "prompts": (
        "One side of a prompt set",
        "What it says is the forget set; its other side and the subsets are the retain set.",
    ),
}
FIRST, MOST = 20, 2_000
"""Texts of a trace that are taken at first, and at most."""
SHOWN = 50
ALL = "all subsets"
ON = {"contrast": "contrast", "harmful": "harmful side", "harmless": "harmless side"}


def origin_section(store: Store, known: Shelf) -> Origin:
    """Whose model and data; of the library, which."""
    held = st.session_state.get("u_from")
    offered = request.choices(store, held if isinstance(held, str) else None)
    option("u_from", list(offered), request.first_choice(offered, known))
    chosen = st.selectbox(
        "Model and data of", list(offered), format_func=shown_as(offered), key="u_from", on_change=forget_target
    )
    if chosen == request.LIBRARY:
        return _library(known)
    origin = request.of_demo() if chosen == request.DEMO else request.of_trace(store, str(chosen))
    with st.container(gap=None):
        told = [f"{number(origin.parameters)} parameters"] if origin.parameters else []
        model = "" if origin.model is None else origin.model.path
        sizes = [count(len(origin.subsets), "training subset"), count(len(origin.prompts), "prompt set")]
        st.text(" · ".join([f"model {model}", *told, *sizes]))
    return origin


def forget_target() -> None:
    """Another model: the choices that hang on it begin anew."""
    hanging = ("what", "subset", "texts_set", "texts_on", "texts_among", "set", "neighbours", "steps", "stop")
    for key in hanging:
        st.session_state.pop(f"u_{key}", None)


def _library(known: Shelf) -> Origin:
    """Model, prompt sets and subsets of the library; at first what was set up for a trace."""
    up = draft.peek("t_")
    models = known["model"]
    wanted = up.get("t_model")
    option("u_model", list(models), wanted if wanted in models else next(iter(models), None))
    model = str(st.selectbox("Model", list(models), format_func=named(models), key="u_model", on_change=forget_target))
    chosen: dict[str, list[str]] = {}
    for data, kind, label in (
        ("prompts", "prompts", "Prompt sets: what the model may say after it"),
        ("subsets", "subset", "Training subsets: what the model was trained on"),
    ):
        entries = {one: entry for one, entry in known[kind].items() if not entry.problem}
        listed_up = up.get(f"t_{data}")
        held = [one for one in listed_up if one in entries] if isinstance(listed_up, list) else []
        first = held if held and wanted == model else fitting(known, model, data) if model in models else []
        held_among(f"u_{data}", entries, first)
        chosen[data] = st.multiselect(
            label, list(entries), format_func=named(entries), key=f"u_{data}", placeholder="Choose from the library"
        )
    if chosen["prompts"]:
        told = [f"{known['prompts'][one].name}: {items_in_words(known['prompts'][one])}" for one in chosen["prompts"]]
        st.text(" · ".join(told))
    return request.of_library(known, model, chosen["prompts"], chosen["subsets"])


def kind_section(origin: Origin) -> str:
    """What kind of forget set it is."""
    kinds = [
        kind
        for kind in KINDS
        if (kind != "texts" or request.result_of(origin) is not None) and (kind != "prompts" or origin.prompts)
    ]
    option("u_what", kinds, kinds[0])
    kind = st.radio(
        "Forget set",
        kinds,
        format_func=shown_as({name: words[0] for name, words in KINDS.items()}),
        captions=[KINDS[name][1] for name in kinds],
        key="u_what",
        on_change=_other_rule,
        label_visibility="collapsed",
    )
    if "texts" not in kinds:
        st.caption("To take single texts out, choose a trace by UnTrac-Inv above: it has numbers for them.")
    return str(kind)


def _other_rule() -> None:
    """Whether there is a retrained model hangs on the forget set, and so does the rule."""
    st.session_state.pop("u_stop", None)


def forget_section(
    kind: str, origin: Origin, training: dict[str, Any] | None, block_size: int | None
) -> dict[str, Any]:
    """The forget set, as a request names it."""
    if kind == "texts":
        chosen: dict[str, Any] = {"texts": _texts(origin, training, block_size)}
    elif kind == "upload":
        chosen = {"upload": _upload()}
    else:
        chosen = _side(origin) if kind == "prompts" else _subset(origin)
    return chosen | {"neighbours": _neighbours()}


def _neighbours() -> int:
    """How many texts of the retain set join the forget set."""
    st.session_state.setdefault("u_neighbours", 0)
    most = st.number_input(
        "Neighbours", min_value=0, max_value=5_000, step=5, key="u_neighbours", width=200,
        help="So many retained texts join the forget set: those that the model finds most like one of its texts, by "
        "their hidden states. What is close to a text can give it back. The retrained model never sees them either.",
    )  # fmt: skip
    if most is None:
        raise InputError("how many neighbours is empty", field="forget", hint="write 0 for none")
    return int(most)


def _subset(origin: Origin) -> dict[str, Any]:
    """A whole subset."""
    names = [subset.name for subset in origin.subsets]
    if not names:
        raise InputError("no subset is chosen", field="subsets", hint="choose at least two: one goes, the others stay")
    option("u_subset", names, names[0])
    return {"subset": st.selectbox("Subset to forget", names, key="u_subset")}


def _texts(origin: Origin, training: dict[str, Any] | None, block_size: int | None) -> list[dict[str, str]]:
    """The first texts of a trace, in a table."""
    result = request.result_of(origin)
    if result is None or origin.trace is None:
        raise InputError("this trace has no numbers for single texts", field="forget", hint="choose another trace")
    sets = {prompts.name: prompts for prompts in result.spec.prompts}
    option("u_texts_set", list(sets), next(iter(sets)))
    places = st.columns([3, 3, 3, 2])
    prompts = str(places[0].selectbox("By their influence on", list(sets), key="u_texts_set"))
    sides = sides_of(result.summary, prompts)
    option("u_texts_on", sides, sides[0])
    side = str(places[1].selectbox("Side", sides, format_func=shown_as(ON), key="u_texts_on"))
    among = [ALL, *[subset.name for subset in origin.subsets if subset.name != ALL]]
    option("u_texts_among", among, ALL)
    only = places[2].selectbox("Among", among, key="u_texts_among")
    st.session_state.setdefault("u_texts", FIRST)
    most = places[3].number_input("How many", min_value=1, max_value=MOST, step=1, key="u_texts")
    if most is None:
        raise InputError("how many texts is empty", field="forget", hint="fill it in")
    trained = request.trained_ids(origin, training, block_size)
    rows = request.first_texts(origin.trace, prompts, side, None if only == ALL else str(only), int(most), trained)
    if rows.empty:
        raise InputError("there is no such text", field="forget", hint="choose another side or another subset")
    first = rows.head(SHOWN)
    columns = {
        "Subset": first["subset"].tolist(),
        "Influence": [signed(value) for value in first["influence"]],
        "Text": first["text"].tolist(),
    }
    masked_table(columns, words=["Text"], key="show_target", alt="The forget set")
    told = [f"the first {SHOWN} of {count(len(rows), 'text')}"] if len(rows) > SHOWN else []
    if rows.attrs["passed"]:
        told.append(f"{count(rows.attrs['passed'], 'text')} passed over, as the recipe left it out of the training")
    st.caption(" · ".join([*told, f"influence in {unit_of(result.spec.method)}"]).capitalize() + ".")
    return [{"subset": str(subset), "id": str(name)} for subset, name in zip(rows["subset"], rows["id"], strict=True)]


def _upload() -> dict[str, Any]:
    """An uploaded file as texts of the forget set."""
    uploader(UPLOADS, "A file of the forget set (csv, tsv, jsonl, txt)")
    entries = listed(UPLOADS)
    if not entries:
        raise InputError("there is no file yet", field="forget", hint="upload one")
    entry = entries[-1]
    given = given_of(entry)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"Uses {given.shown}")
        if st.button("Remove", key="b_u_drop", type="tertiary"):
            drop(UPLOADS, entry["id"])
            st.rerun()
    found = look(given, paragraphs=True)
    values = text_columns(found, f"{UPLOADS}{entry['id']}_")
    return {"name": label_of(given.shown), "source": given.source, **values}


def _side(origin: Origin) -> dict[str, Any]:
    """One side of a prompt set: completions that are to go, given their prompts."""
    sets = {prompts.name: prompts for prompts in origin.prompts}
    option("u_set", list(sets), next(iter(sets)))
    left, right = st.columns(2)
    prompts = sets[str(left.selectbox("Prompt set", list(sets), key="u_set"))]
    words = _sides(prompts)
    option("u_side", list(words), "harmful")
    side = right.selectbox("Side to forget", list(words), format_func=shown_as(words), key="u_side")
    return {"prompts": prompts.name, "side": side}


def _sides(prompts: PromptSet) -> dict[str, str]:
    return dict(zip(prompts.sides, labels(prompts), strict=False)) if prompts.harmful else {"harmful": "all of it"}
