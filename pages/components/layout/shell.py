"""What every page begins with: its title, the logo, the navigation and the store."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from pages.components.layout import tour
from pages.components.layout.context import context
from pages.components.layout.under_way import watch
from untrac_core.engine import Store
from untrac_core.errors import InputError
from untrac_core.paths import PROJECT, data_home, only_shows
from untrac_core.text.glossary import GLOSSARY

ASSETS = PROJECT / "assets"
STYLESHEET, PAGE_STYLESHEET = ASSETS / "presentation.css", ASSETS / "page.css"
PRESENT, PRESENTED_AS = "present", "show_"
NEVER_MOVED = ("", "run", PRESENT, "embed", "embed_options")
"""Not among what a presentation has under other names: the last two are Streamlit's own and cannot be set."""
PRESENTED = ("Influence", "Compare", "Validate")
"""Pages that can be shown to an audience."""
OF_A_RUN = ("Influence", "Examples", "Compare")
"""Pages that show a trace."""
OF_RESULTS = (*OF_A_RUN, "Validate", "What if", "Unlearn", "Evidence")
"""Pages that show something without a run of one's own: all that there is of a dashboard on one result folder."""
LETTERS_PRESENTED = 20
"""Size of the letters in a figure of a presentation, in pixels."""
PAGES = (
    ("app.py", "Home", ":material/home:"),
    ("pages/models.py", "Models", ":material/neurology:"),
    ("pages/prompts.py", "Prompts", ":material/chat_error:"),
    ("pages/subsets.py", "Subsets", ":material/library_books:"),
    ("pages/trace.py", "Trace", ":material/conversion_path:"),
    ("pages/runs.py", "Runs", ":material/view_list:"),
    ("pages/influence.py", "Influence", ":material/bar_chart:"),
    ("pages/examples.py", "Examples", ":material/format_quote:"),
    ("pages/compare.py", "Compare", ":material/compare_arrows:"),
    ("pages/validate.py", "Validate", ":material/verified:"),
    ("pages/what_if.py", "What if", ":material/instant_mix:"),
    ("pages/unlearn.py", "Unlearn", ":material/ink_eraser:"),
    ("pages/report.py", "Report", ":material/article:"),
    ("pages/evidence.py", "Evidence", ":material/balance:"),
)


@st.cache_resource(max_entries=8, show_spinner=False)
def _store(home: Path) -> Store:
    store = Store(home)
    if not only_shows():
        store.install_demo()
    return store


@st.cache_resource(max_entries=len(PAGES), show_spinner=False)
def _settle(tab: str) -> None:
    """Take what a page has imported out of the garbage collection that Streamlit makes after each answer."""
    gc.collect()
    gc.freeze()


def shell(tab: str) -> Store:
    """Set up the page whose browser tab is named ``tab`` and return the store of runs; called first on every page."""
    st.set_page_config(page_title=f"{tab} · untrac", page_icon=str(ASSETS / "favicon.png"), layout="wide")
    if tab in PRESENTED and presenting():
        _stage()
    else:
        _navigation(tab)
        _breadcrumb(_store(data_home()))
        with st.sidebar:
            watch(_store(data_home()), f"{tab} · untrac")
    _settle(tab)
    return _store(data_home())


def presenting() -> bool:
    """Whether the address asks for a presentation: large type, no controls, masked texts (``?present=1``)."""
    return st.query_params.get(PRESENT) == "1"


def presented(name: str) -> str:
    """What the address chose on the page that is presented, as ``set`` or ``side``; empty where it says nothing.

    The names of a page's own widgets leave the address with the widgets, so a presentation has them under others.
    """
    return st.query_params.get(PRESENTED_AS + name) or st.query_params.get(name, "")


def present_button() -> None:
    """The way into a presentation of what the page shows now."""
    if st.button("Present", icon=":material/slideshow:", help="Large type, no controls, for a screen", key=PRESENT):
        for name in [name for name in st.query_params if name not in NEVER_MOVED]:
            st.query_params[PRESENTED_AS + name] = st.query_params.get_all(name)
        st.query_params[PRESENT] = "1"
        st.rerun()


def _stage() -> None:
    """What a presentation has in place of the navigation: large type, and the one way out."""
    st.html(STYLESHEET)
    with st.container(horizontal=True, horizontal_alignment="right", key="way_out"):
        if st.button("Exit presentation", icon=":material/close:", type="tertiary", key="leave"):
            del st.query_params[PRESENT]
            for name in [name for name in st.query_params if name.startswith(PRESENTED_AS)]:
                if (own := name.removeprefix(PRESENTED_AS)) not in NEVER_MOVED:
                    st.query_params[own] = st.query_params.get_all(name)
                del st.query_params[name]
            st.rerun()


def _navigation(tab: str) -> None:
    """The logo, and a link to every page."""
    st.html(PAGE_STYLESHEET)
    logo = "logo-dark.svg" if is_dark() else "logo.svg"
    st.logo(str(ASSETS / logo), size="medium", icon_image=str(ASSETS / "icon.svg"))
    with st.sidebar:
        for page, label, icon in shown_pages():
            st.page_link(page, label=label, icon=icon, width="stretch", query_params=_of_run(tab, label))
        _glossary()
    tour.guide()


def _glossary() -> None:
    """Every word with its meaning, on any page; drawn when it is opened."""
    popover = st.popover("Glossary", icon=":material/menu_book:", type="tertiary", key="glossary", on_change="rerun")
    if popover.open:
        for word, meaning in GLOSSARY.items():
            popover.markdown(f"**{word}**: {meaning}")


def shown_pages() -> list[tuple[str, str, str]]:
    """The pages of the navigation; of a dashboard that only shows results, those that do."""
    return [page for page in PAGES if not only_shows() or page[1] in OF_RESULTS]


def _of_run(tab: str, label: str) -> dict[str, str] | None:
    """What the link to a page of results says: the run that is looked at, so that the page need not say it later."""
    if label not in OF_A_RUN:
        return None
    run = (st.query_params.get("run") if tab in OF_A_RUN else None) or context().run
    return {"run": run} if run else None


def _breadcrumb(store: Store) -> None:
    """The run that is looked at, on every page; nothing before there is one."""
    held = context()
    try:
        run = store.run(held.run) if held.run else None
    except InputError:
        return
    if run is None:
        return
    with st.sidebar, st.container(border=True, gap="xxsmall", key="looking_at_now"):
        st.caption("You are looking at")
        st.text(run.name)
        if held.prompt_set:
            st.text(" · ".join(filter(None, (held.prompt_set, held.side))))


def is_dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def title(name: str, question: str, purpose: str) -> None:
    """A page's name, the question that it answers, and one line on what it is for and what to do next."""
    st.title(name, anchor=False)
    st.subheader(question, anchor=False)
    st.caption(purpose)


def lines(texts: list[str], *, heading: str, icon: str) -> None:
    """Sentences that may hold a user's words, as plain text under a heading of ours; nothing when there are none."""
    if not texts:
        return
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"{icon} **{heading}**")
        for text in texts:
            st.text(text)
