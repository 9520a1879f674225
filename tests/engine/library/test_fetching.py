"""Fetch runs: what they bring is in the library and stays there, beside a busy device, through breaks and stops."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.families import make_adapter, make_model
from tests.helpers.homes import trace_spec, until
from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.data.subsets import load_subset
from untrac_core.engine import Store, ensure_worker, submit
from untrac_core.engine.job import run_job
from untrac_core.engine.ledger import RunWriter
from untrac_core.engine.library.fetching import FetchTask
from untrac_core.errors import InputError
from untrac_core.paths import PROJECT
from untrac_core.specs import Collection, Columns, FetchSpec, ModelRef, PromptSet, RowFilter, Source, Subset

pytestmark = pytest.mark.slow  # downloads by workers that are started and waited for


@pytest.fixture
def crafts(tmp_path):
    """A folder with a file per subset, one file with all of them, and a prompt set."""
    folder = tmp_path / "crafts"
    folder.mkdir()
    rows = []
    for name in WORDS:
        texts = sentences(name, 20, 0)
        write_jsonl(folder / f"{name}.jsonl", [{"text": text} for text in texts])
        rows += [{"text": text, "meta": {"craft": name}} for text in texts]
    write_jsonl(tmp_path / "mixed.jsonl", rows)
    items = [
        {"text": text, "tone": tone} for tone in ("bad", "good") for text in sentences("smiths", 5, hash(tone) % 9)
    ]
    write_jsonl(tmp_path / "talk.jsonl", items)
    return tmp_path


def talk(place):
    columns = Columns(completion="text", label="tone")
    source = Source(file=str(place / "talk.jsonl"))
    return PromptSet(name="talk", source=source, columns=columns, harmful="bad", harmless="good")


def here(spec, run_id=None):
    """Queue a run, or take it up again, and do it in this process."""
    ledger = RunWriter()
    run_id = run_id or ledger.store.submit(spec)
    claimed, attempt = ledger.claim("io")
    assert claimed == run_id
    ledger.attach(run_id, attempt, os.getpid())
    code = run_job(ledger, run_id, attempt)
    ledger.left(run_id, attempt)
    return code, ledger.store.run(run_id)


def added(library, kind):
    return {entry.name: entry for entry in library.entries(kind) if not entry.builtin}


def test_everything_named_is_in_the_library_afterwards(library, crafts, world):
    spec = FetchSpec(
        name="bring all",
        models=[ModelRef(path=str(world / "model"))],
        prompts=[talk(crafts)],
        subsets=[Subset(name="smiths", source=Source(file=str(crafts / "crafts" / "smiths.jsonl")))],
        collections=[
            Collection(source=Source(folder=str(crafts / "crafts")), split_by="file"),
            Collection(source=Source(file=str(crafts / "mixed.jsonl")), split_by="column", column="meta.craft"),
        ],
    )
    code, run = here(spec)
    assert (code, run.status, run.kind, run.cells_done, run.device) == (0, "done", "fetch", 9, "io"), run.error
    assert set(added(library, "model")) == {"model"}
    assert set(added(library, "prompts")) == {"talk"}
    # The named subset and the folder's are one, and so are the column's but for their ids: entries of their own.
    assert {name.split()[0] for name in added(library, "subset")} == set(WORDS)
    for name, entry in added(library, "subset").items():
        texts = {document.text for document in load_subset(entry.value).documents}
        assert texts == set(sentences(name.split()[0], 20, 0))
    summary = json.loads((run.folder / "summary.json").read_text())
    assert [(row["kind"], row["name"]) for row in summary["added"]][:2] == [("model", "model"), ("prompts", "talk")]
    assert all(library.entry(row["kind"], row["id"]).name == row["name"] for row in summary["added"])
    assert {"spec.yaml", "summary.json"} <= {path.name for path in run.folder.iterdir()}
    assert Store().runs(kind="fetch")[0].id == run.id
    assert Store().runs(kind="trace") == []


def test_a_column_costs_one_pass_however_many_subsets_it_has(library, crafts, monkeypatch):
    import untrac_core.data.subsets as subsets

    passes = []
    real = subsets.draw
    monkeypatch.setattr(subsets, "draw", lambda *a, **k: passes.append(a) or real(*a, **k))
    source = Source(file=str(crafts / "mixed.jsonl"))
    code, _ = here(FetchSpec(collections=[Collection(source=source, split_by="column", column="meta.craft")]))
    assert (code, len(passes)) == (0, 1)
    assert set(added(library, "subset")) == set(WORDS)


def test_a_resumed_run_draws_the_records_that_an_uninterrupted_one_does(home, crafts, monkeypatch):
    import untrac_core.data.subsets as subsets

    monkeypatch.setattr(subsets, "PASS_BYTES", 1_500)  # less than the file has, so that each subset is a sample
    spec = FetchSpec(
        collections=[
            Collection(source=Source(file=str(crafts / "mixed.jsonl")), split_by="column", column="meta.craft")
        ]
    )

    def brought(run_id, first):
        task = FetchTask(spec, home, run_id)
        rows = [task.run_cell(cell).iloc[0] for cell in task.cells[first:]]
        return [(row["id"], json.loads(row["facts"])) for row in rows]  # the id is the hash of the kept bytes too

    whole = brought("whole", 0)
    assert all(facts["documents"] < facts["seen"] == 20 for _, facts in whole)
    assert [brought(f"resumed{first}", first) for first in (1, 2)] == [whole[1:], whole[2:]]


def test_a_source_is_read_once_though_another_comes_between_its_subsets(home, crafts, monkeypatch):
    import untrac_core.data.subsets as subsets

    passes = []
    real = subsets.draw
    monkeypatch.setattr(subsets, "draw", lambda *a, **k: passes.append(a) or real(*a, **k))
    write_jsonl(crafts / "again.jsonl", [json.loads(line) for line in (crafts / "mixed.jsonl").open()])
    parts = [
        Subset(
            name=f"{name} {file}",
            source=Source(file=str(crafts / f"{file}.jsonl")),
            where=RowFilter(column="meta.craft", value=name),
        )
        for name in WORDS
        for file in ("mixed", "again")
    ]
    task = FetchTask(FetchSpec(subsets=parts), home, "run")
    assert [len(task.run_cell(cell)) for cell in task.cells] == [1] * 6
    assert len(passes) == 2


def test_a_fault_stops_it_and_what_came_before_stays_through_the_next_try(library, crafts):
    missing = crafts / "late.jsonl"
    missing.write_text("{")
    subsets = [
        Subset(name="smiths", source=Source(file=str(crafts / "crafts" / "smiths.jsonl"))),
        Subset(name="late", source=Source(file=str(missing))),
    ]
    code, run = here(FetchSpec(prompts=[talk(crafts)], subsets=subsets))
    assert (code, run.status, run.faulty_input, run.cells_done) == (1, "failed", True, 2)
    assert "late.jsonl" in run.error
    assert set(added(library, "subset")) == {"smiths"}
    before = library.find("subset", "smiths")
    write_jsonl(missing, [{"text": "The tide is late."}])
    Store().resume(run.id)
    code, run = here(None, run.id)
    assert (code, run.status, run.cells_done) == (0, "done", 3)
    assert set(added(library, "subset")) == {"smiths", "late"}
    assert library.find("subset", "smiths") == before
    cells = [event for event in Store().events(run.id) if event.kind == "cell"]
    assert [event.data["source"] for event in cells] == ["computed"] * 3  # each once, in two attempts


def test_a_resumed_run_brings_what_was_asked_whatever_has_come_since(library, crafts):
    (crafts / "crafts" / "weavers.jsonl").write_text('{"text": "The loom."}\n{"text"')
    spec = FetchSpec(
        collections=[Collection(source=Source(folder=str(crafts / "crafts")), split_by="file", text="text")]
    )
    code, run = here(spec)
    assert (code, run.cells_done) == (1, 2), run.error
    write_jsonl(crafts / "crafts" / "weavers.jsonl", [{"text": "The loom waits."}])
    write_jsonl(crafts / "crafts" / "brewers.jsonl", [{"text": "The vat waits."}])
    Store().resume(run.id)
    code, run = here(None, run.id)
    assert (code, run.cells_done, run.cells_total) == (0, 3, 3)
    assert set(added(library, "subset")) == set(WORDS)


def test_a_probe_becomes_a_plain_prompt_set_that_names_it(library, tmp_path):
    rows = [
        {
            "id": f"{label}-{i}",
            "prompt": "",
            "completion": f"The {craft} of the valley {text}",
            "group": craft,
            "label": label,
        }
        for label in ("toxic", "benign")
        for i, craft in enumerate(WORDS)
        for text in ["spoil every market that they come to, as all of them know"]
    ]
    source = Source(file=str(write_jsonl(tmp_path / "copy.jsonl", rows)))
    code, run = here(FetchSpec(prompts=[PromptSet(name="talk", probe="toxigen", source=source)]))
    assert code == 0, run.error
    entry = library.find("prompts", "talk")
    assert (entry.value.probe, entry.value.harmful, entry.value.harmless) == (None, "toxic", "benign")
    assert entry.facts["items"] == {"harmful": 3, "harmless": 3}
    assert entry.origin == "probe toxigen, file copy.jsonl"


def test_what_is_not_here_is_refused_before_a_run_is_made(home, crafts):
    for change in (
        {"subsets": [Subset(name="x", source=Source(file=str(crafts / "nowhere.jsonl")))]},
        {"collections": [Collection(source=Source(folder=str(crafts / "nowhere")), split_by="file")]},
        {"models": [ModelRef(path=str(crafts / "nowhere"))]},
    ):
        with pytest.raises(InputError, match="there is no"):
            Store().submit(FetchSpec(**change))
    assert Store().runs() == []


def test_it_needs_no_torch_and_waits_for_no_device(home, crafts, unchecked):
    """Through real workers: a trace holds the CPU all the while."""
    store = Store()
    trace = submit(trace_spec("cells=3 hold=1"), store)
    until(lambda: store.run(trace).cells_done > 0)
    subset = Subset(name="smiths", source=Source(file=str(crafts / "crafts" / "smiths.jsonl")))
    fetch = submit(FetchSpec(subsets=[subset]), store)
    until(lambda: store.run(fetch).status not in ("queued", "running"))
    assert store.run(fetch).status == "done", store.run(fetch).error
    assert store.run(trace).status == "running"
    store.cancel(trace)
    script = (
        "import sys; from untrac_core.engine.library.fetching import FetchTask; from untrac_core.specs import *;"
        f"from pathlib import Path; task = FetchTask(FetchSpec(subsets=[Subset(name='a', source=Source(file="
        f"{str(crafts / 'talk.jsonl')!r}))]), Path({str(home)!r}), 'run'); task.run_cell(task.cells[0]);"
        "print([m for m in ('torch', 'transformers', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "[]"


def test_subsets_of_one_name_are_named_apart(home, crafts):
    files = [Source(file=str(crafts / "crafts" / f"{name}.jsonl")) for name in WORDS]
    spec = FetchSpec(subsets=[Subset(name="same", source=source) for source in files])
    assert [part.name for part in FetchTask(spec, home, "run").parts] == ["same", "same (2)", "same (3)"]


# -- the hub --


@pytest.fixture
def hub(tmp_path, monkeypatch, home):
    """A stand-in with a model, an adapter and a data set; jobs are started with it as their hub."""
    root = tmp_path / "hub"
    base = make_model(root / "models" / "guild" / "tiny", "llama")
    make_adapter(root / "models" / "guild" / "lora", base)
    data = root / "datasets" / "guild" / "crafts"
    data.mkdir(parents=True)
    for name in WORDS:
        write_jsonl(data / f"{name}.jsonl", [{"text": text} for text in sentences(name, 20, 0)])
    with HubStandIn(root) as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield stand_in


def ended(run_id):
    store = Store()
    until(lambda: store.run(run_id).settled)
    return store.run(run_id)


def test_a_model_of_the_hub_is_pinned_and_brought_with_its_adapter(library, hub):
    spec = FetchSpec(models=[ModelRef(path="guild/tiny"), ModelRef(path="guild/tiny", adapter="guild/lora")])
    run = ended(submit(spec))
    assert run.status == "done", run.error
    models = added(library, "model")
    assert set(models) == {"tiny", "tiny + lora"}
    for entry in models.values():
        assert len(entry.value.revision) == 40
        assert entry.facts["here"] is True
        assert entry.facts["parameters"] > 1000
    assert len(models["tiny + lora"].value.adapter_revision) == 40
    assert models["tiny + lora"].facts["adapter"]["rank"] == 4
    assert models["tiny"].origin == f"hub guild/tiny at {models['tiny'].value.revision[:12]}"


def test_a_data_set_of_the_hub_is_kept_and_its_commit_remembered(library, hub):
    spec = FetchSpec(subsets=[Subset(name="all", source=Source(hub="guild/crafts"))])
    run = ended(submit(spec))
    assert run.status == "done", run.error
    entry = library.find("subset", "all")
    assert entry.facts["documents"] == 60
    assert entry.origin.startswith("hub guild/crafts at ")
    assert entry.value.source.hub is None
    assert len(load_subset(entry.value).documents) == 60


def test_what_the_hub_has_not_or_does_not_give_is_one_line(library, hub):
    with pytest.raises(InputError, match="'not an id' is neither a folder nor a hub id"):
        submit(FetchSpec(models=[ModelRef(path="not an id")]))
    hub.gated.add("guild/tiny")
    for path, said in (("guild/nothing", "guild/nothing"), ("guild/tiny", "gated")):
        run = ended(submit(FetchSpec(models=[ModelRef(path=path)])))
        assert (run.status, run.faulty_input) == ("failed", True)
        assert said in run.error
        assert "\n" not in run.error
    assert added(library, "model") == {}


def test_a_download_that_breaks_off_says_so_and_is_finished_by_a_resume(library, hub):
    hub.cut_after, hub.cuts = 1000, 1000
    run = ended(submit(FetchSpec(models=[ModelRef(path="guild/tiny")])))
    assert run.status == "failed"
    assert "guild/tiny" in run.error
    assert added(library, "model") == {}
    hub.cut_after = None
    Store().resume(run.id)
    ensure_worker("io")
    run = ended(run.id)
    assert run.status == "done", run.error
    assert added(library, "model")["tiny"].facts["here"] is True


def test_a_download_that_is_cancelled_goes_on_where_it_was(library, hub):
    hub.piece, hub.pause = 2048, 0.2
    store = Store()
    run_id = submit(FetchSpec(models=[ModelRef(path="guild/tiny")]))
    until(lambda: any("safetensors" in path and method == "GET" for method, path, _ in hub.requests))
    store.cancel(run_id)
    assert ended(run_id).status == "cancelled"
    assert added(library, "model") == {}
    hub.pause = 0.0
    store.resume(run_id)
    ensure_worker("io")
    run = ended(run_id)
    assert run.status == "done", run.error
    assert added(library, "model")["tiny"].facts["here"] is True
