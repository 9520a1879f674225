"""What a page loads, and calls that are never made; ``test_rules.py`` has who may import what."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "untrac_core").rglob("*.py"))
ALL = [*CORE, ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]
FREE_OF_TORCH = [
    "untrac_core.tasks.prepare",
    "untrac_core.tasks.trace.check",
    "untrac_core.engine",
    "untrac_core.results.folders",
    "untrac_core.cli.app",
    "untrac_core.figures.ranking",
]


@pytest.mark.parametrize("module", FREE_OF_TORCH)
def test_what_pages_use_is_free_of_torch(module):
    code = f"import sys, {module}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


STYLESHEETS = ("st.html(STYLESHEET)", "st.html(PAGE_STYLESHEET)")


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_calls_that_are_never_made(path):
    text = path.read_text(encoding="utf-8")
    for pattern in (
        r"trust_remote_code\s*=\s*True",
        r"torch\.load\(",
        r"\bpickle\b(?! files)",
        r"unsafe_allow",
        r"shell\s*=\s*True",
        r"\beval\(",
        r"\bst\.write\(",
        r"\bst\.table\(",
        r"\bst\.html\(",
    ):
        for found in re.finditer(pattern, text):
            line = text[text.rfind("\n", 0, found.start()) : text.find("\n", found.end())]
            # st.table draws Markdown: only for what no user wrote, and then it says so. module.eval() is no eval.
            # A stylesheet is a file of ours, without anyone's words.
            allowed = "# numbers only" in line or ".eval()" in line or line.strip() in STYLESHEETS
            assert allowed, f"{path.name}: {line.strip()}"
