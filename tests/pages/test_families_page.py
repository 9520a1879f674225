"""Models of every shape go from the page Models to finished runs, and come out as rankings."""

import os
from pathlib import Path

import pytest

from tests.helpers.families import make_adapter, make_model
from tests.helpers.making import said, sound
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.engine import Library
from untrac_core.engine.job import run_job
from untrac_core.engine.ledger import RunWriter
from untrac_core.results.folders import load_trace
from untrac_core.specs import Columns, PromptSet, Source, Subset

pytestmark = pytest.mark.slow  # a run with a model of each family

TRIED = {"opt": ("untrac-inv", "untrac"), "t5": ("untrac",), "llama with an adapter": ("untrac",)}
"""The methods; UnTrac-Inv unless it says otherwise."""
MADE = ("opt", "gpt2", "neox", "llama", "qwen", "t5", "llama with an adapter")


@pytest.fixture
def crafts(home, tmp_path):
    """A prompt set and three subsets in the library."""
    shelf = Library(home)
    for name in WORDS:
        path = write_jsonl(tmp_path / f"{name}.jsonl", [{"text": text} for text in sentences(name, 30, 0)])
        shelf.add_subset(Subset(name=name, source=Source(file=str(path))))
    rows = [
        {"text": text, "label": label}
        for label, craft in (("bad", "smiths"), ("good", "weavers"))
        for text in sentences(craft, 6, 1)
    ]
    path = write_jsonl(tmp_path / "talk.jsonl", rows)
    columns = Columns(completion="text", label="label")
    talk = PromptSet(name="talk", source=Source(file=str(path)), columns=columns, harmful="bad", harmless="good")
    return shelf.add_prompts(talk)


def add_on_the_page(page, base: Path, adapter: Path | None) -> str:
    """Fill in the form of the page Models; the id of what it added."""
    at = page("pages/models.py")
    at.text_input(key="m_model_path").set_value(str(base)).run()
    if adapter is not None:
        at.button_group(key="m_a_way").set_value("folder").run()
        at.text_input(key="m_a_adapter_path").set_value(str(adapter)).run()
    at.button(key="b_m_add").click().run()
    assert "model" in sound(at).query_params, said(at)
    return at.query_params["model"]


@pytest.mark.parametrize("made", MADE)
def test_from_the_page_to_a_finished_run(page, store, crafts, tmp_path, made):
    family, _, adapted = made.partition(" with ")
    base = make_model(tmp_path / family, family)
    adapter = make_adapter(tmp_path / "adapter", base) if adapted else None
    model = add_on_the_page(page, base, adapter)
    card = said(page("pages/models.py", model=model))
    assert ("rank 4" in card) == bool(adapted)
    assert ("encoder and decoder" in card) == (family == "t5")
    for method in TRIED.get(made, ("untrac-inv",)):
        at = page("pages/trace.py", model=model)
        at.radio(key="t_method").set_value(method).run()
        at.number_input(key="t_limit_subsets").set_value(6).run()
        at.text_input(key="t_seeds").set_value("0, 1").run()
        assert not at.button(key="start").disabled, said(at)
        at.button(key="start").click().run()
        run = store.run(sound(at).query_params["run"])
        finish_here(store, run.id)
        result = load_trace(store.run(run.id).folder)
        ranked = {row["subset"] for row in result.summary["ranking"] if row["side"] == "contrast"}
        assert ranked == set(WORDS)
        assert sound(page("pages/influence.py", run=run.id)).get("plotly_chart")


def finish_here(store, run_id: str) -> None:
    """Do a waiting run in this process."""
    ledger = RunWriter(store.home)
    claimed, attempt = ledger.claim(store.run(run_id).device)
    assert claimed == run_id
    ledger.attach(run_id, attempt, os.getpid())
    assert run_job(ledger, run_id, attempt) == 0, store.run(run_id).error
    ledger.left(run_id, attempt)
