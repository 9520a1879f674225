"""The example notebook runs from its first cell to its last, and draws what it says."""

import nbformat
from nbclient import NotebookClient

from tests.helpers.homes import PATIENCE
from untrac_core.paths import PROJECT

NOTEBOOK = PROJECT / "notebooks" / "demo.ipynb"


def test_the_notebook_runs_and_draws(monkeypatch):
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    where = {"metadata": {"path": str(PROJECT)}}
    NotebookClient(notebook, timeout=PATIENCE, startup_timeout=PATIENCE, resources=where).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    drawn = [output for output in shown if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(drawn) == 7
    assert "Positive: this subset makes" in str(shown)
