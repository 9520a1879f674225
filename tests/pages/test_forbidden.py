"""What no page may contain: markup made of strings, hosts' fonts, and a second kind of navigation."""

import pytest

from tests.helpers.making import ROOT

FORBIDDEN = ("unsafe_allow", "st.write(", "st.html(", "st.iframe", "st.navigation", "st.cache(", "import torch")
SOURCES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=[path.stem for path in SOURCES])
def test_no_page_has_what_pages_must_not_have(path):
    text = path.read_text(encoding="utf-8")
    for ours in ("st.html(STYLESHEET)", "st.html(PAGE_STYLESHEET)"):  # files of ours, of no one's words
        text = text.replace(ours, "")
    assert not [word for word in FORBIDDEN if word in text]
    assert 'page_icon=":material' not in text
