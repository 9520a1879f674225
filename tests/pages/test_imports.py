"""No page loads a model library: the server stays small and answers fast."""

import os
import subprocess
import sys

import pytest
from making import ROOT

OPEN = """
import sys
from streamlit.testing.v1 import AppTest
at = AppTest.from_file("app.py", default_timeout=60).run()
if sys.argv[1] != "app.py":
    at.switch_page(sys.argv[1])
    at.query_params["run"] = sys.argv[2]
    at.run()
assert not at.exception, at.exception
heavy = {"torch", "transformers", "datasets", "accelerate", "peft"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("file", ["app.py", "pages/trace.py", "pages/runs.py", "pages/influence.py"])
def test_a_page_loads_no_model_library(file, home):
    environment = {**os.environ, "UNTRAC_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, file, "de3000000001"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
