"""No page loads a model library: the server stays small and answers fast."""

import os
import subprocess
import sys

from tests.helpers.making import ROOT

OPEN = """
import functools, sys
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)
for address in sys.argv[1:]:
    at = AppTest.from_file("app.py", default_timeout=300)
    page, _, query = address.partition("?")
    if page != "app.py":
        at.switch_page(page)
    key, _, value = query.partition("=")
    if key:
        at.query_params[key] = value
    at.run()
    assert not at.exception, (address, at.exception)
    heavy = {"torch", "transformers", "datasets", "accelerate", "peft"} & set(sys.modules)
    assert not heavy, (address, heavy)
"""


PAGES = [
    "app.py",
    "pages/models.py?model=demo",
    "pages/prompts.py?prompts=demo-toxicity",
    "pages/subsets.py?subset=demo-forum",
    "pages/trace.py",
    "pages/runs.py?run=de3000000001",
    "pages/influence.py?run=de3000000001",
    "pages/examples.py?run=de3000000001",
    "pages/compare.py",
    "pages/validate.py",
    "pages/unlearn.py",
    "pages/evidence.py",
    "pages/report.py?draft=aaaaaaaaaaaa",
    "pages/unlearn.py?trace=de3000000001",
]


def test_no_page_loads_a_model_library(home):
    environment = {**os.environ, "UNTRAC_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, *PAGES], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
