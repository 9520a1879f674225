"""What every page begins with: its title, the logo, the navigation and the store."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from untrac_core.engine import Store
from untrac_core.home import PROJECT, data_home

ASSETS = PROJECT / "assets"
PAGES = (
    ("app.py", "Home", ":material/home:"),
    ("pages/models.py", "Models", ":material/neurology:"),
    ("pages/prompts.py", "Prompts", ":material/chat_error:"),
    ("pages/subsets.py", "Subsets", ":material/library_books:"),
    ("pages/trace.py", "Trace", ":material/conversion_path:"),
    ("pages/runs.py", "Runs", ":material/view_list:"),
    ("pages/influence.py", "Influence", ":material/bar_chart:"),
    ("pages/validate.py", "Validate", ":material/verified:"),
)


@st.cache_resource(max_entries=8, show_spinner=False)
def _store(home: Path) -> Store:
    store = Store(home)
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
    logo = "logo-dark.svg" if is_dark() else "logo.svg"
    st.logo(str(ASSETS / logo), size="medium", icon_image=str(ASSETS / "icon.svg"))
    with st.sidebar:
        for page, label, icon in PAGES:
            st.page_link(page, label=label, icon=icon, width="stretch")
    _settle(tab)
    return _store(data_home())


def is_dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def title(question: str, purpose: str) -> None:
    """The page's heading, which is a question, and one line on what the page is for and what to do next."""
    st.title(question, anchor=False)
    st.caption(purpose)


def lines(texts: list[str], *, heading: str, icon: str) -> None:
    """Sentences that may hold a user's words, as plain text under a heading of ours; nothing when there are none."""
    if not texts:
        return
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"{icon} **{heading}**")
        for text in texts:
            st.text(text)
