"""The library: what was added once stays, is one whatever happens, and can be used without its source."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers.homes import files
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.data.prompts import load_prompts
from untrac_core.data.subsets import load_subset
from untrac_core.errors import InputError
from untrac_core.paths import PROJECT
from untrac_core.specs import Columns, ModelRef, PromptSet, Source, Subset
from untrac_core.specs.build import build


def test_a_prompt_set_is_kept_whole_and_says_the_same_without_its_file(library, prompts):
    before = load_prompts(prompts)
    entry = library.add_prompts(prompts)
    os.unlink(prompts.source.file)
    assert entry == library.entry("prompts", entry.id) == library.find("prompts", "talk")
    assert entry.facts["items"] == {"harmful": 12, "harmless": 12}
    assert entry.facts["labels"] == {"harmful": "bad", "harmless": "good"}
    assert entry.facts["given"] == 24
    assert entry.facts["groups"] == {"g0": 12, "g1": 12}
    assert entry.facts["characters"] == sum(
        len(text) for craft in ("smiths", "weavers") for text in sentences(craft, 12, 1)
    )
    assert (entry.origin, entry.problem) == ("file talk.jsonl", "")
    after = load_prompts(entry.value)
    for side in ("harmful", "harmless"):
        told = [[(i.id, i.prompt, i.completion, i.group) for i in data.sides[side]] for data in (before, after)]
        assert told[0] == told[1]
        assert len(told[0]) == 5


def test_the_pairs_of_a_prompt_set_are_kept(library, tmp_path):
    rows = [
        {"id": f"x-{i}-{part}", "completion": f"The net {i} {part}.", "label": label}
        for i in range(6)
        for part, label in (("s", "bad"), ("a", "good"))
    ]
    source = Source(file=str(write_jsonl(tmp_path / "pairs.jsonl", rows)))
    spec = PromptSet(name="q", source=source, columns=Columns(label="label", id="id"), harmful="bad", harmless="good")
    entry = library.add_prompts(spec)
    assert entry.value.columns.cluster == "cluster"
    pairs = [
        [[item.cluster for item in items] for items in load_prompts(asked).sides.values()]
        for asked in (spec, entry.value)
    ]
    assert pairs[0] == pairs[1] == [[f"x-{i}" for i in range(6)]] * 2


def test_an_unlabelled_prompt_set_stays_one_side(library, tmp_path):
    (tmp_path / "plain.txt").write_text("One net is torn.\nOne net is whole.\nOne net is torn.\n")
    entry = library.add_prompts(
        PromptSet(name="plain", source=Source(file=str(tmp_path / "plain.txt")), columns=Columns(completion="text"))
    )
    assert entry.facts["items"] == {"harmful": 3}
    assert entry.facts["duplicates"] == 1
    assert entry.value.columns == Columns(completion="completion", id="id")
    assert [item.completion for item in load_prompts(entry.value).sides["harmful"]][1] == "One net is whole."


def test_a_subset_is_kept_in_the_order_that_its_file_gives(library, subset):
    before = load_subset(subset)
    entry = library.add_subset(subset)
    os.unlink(subset.source.file)
    after = load_subset(entry.value)
    assert [(d.id, d.text) for d in before.documents] == [(d.id, d.text) for d in after.documents]
    assert entry.facts["documents"] == entry.facts["seen"] == 30
    assert entry.facts["whole"] is True
    assert entry.facts["characters"] == sum(map(len, sentences("fishers", 30, 0)))
    assert (entry.value.limit, entry.value.text, entry.value.source.file) == (7, "text", None)


def test_a_folder_is_kept_in_its_own_order_too(library, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        write_jsonl(tmp_path / "folder" / f"{name}.jsonl", [{"text": f"{name} net {i}"} for i in range(9)])
    spec = Subset(name="all", source=Source(folder=str(tmp_path / "folder")))
    kept_spec = library.add_subset(spec).value
    assert [d.text for d in load_subset(spec).documents] == [d.text for d in load_subset(kept_spec).documents]


def test_what_is_given_in_a_record_stays_with_it(library, tmp_path):
    rows = [{"ask": f"knot {i}?", "answer": f"rope {i}"} for i in range(6)]
    source = Source(file=str(write_jsonl(tmp_path / "pairs.jsonl", rows)))
    entry = library.add_subset(Subset(name="pairs", source=source, text="answer", prompt="ask"))
    assert (entry.value.prompt, entry.facts["given"]) == ("prompt", 6)
    assert {(d.prompt, d.text) for d in load_subset(entry.value).documents} == {
        (row["ask"], row["answer"]) for row in rows
    }


def test_a_sample_remembers_what_it_was_drawn_from(library, tmp_path, monkeypatch):
    import untrac_core.data.subsets as subsets

    monkeypatch.setattr(subsets, "PASS_BYTES", 5_000)
    rows = [{"text": f"{number} " + "wool " * 20} for number in range(500)]
    source = Source(file=str(write_jsonl(tmp_path / "large.jsonl", rows)))
    before = load_subset(Subset(name="large", source=source))
    assert not before.whole
    entry = library.add_subset(Subset(name="large", source=source))
    after = load_subset(entry.value)
    assert {document.text for document in after.documents} == {document.text for document in before.documents}
    assert (after.seen, after.characters, after.whole) == (500, before.characters, False)
    assert (entry.facts["seen"], entry.facts["characters_seen"]) == (500, before.characters)
    assert entry.facts["documents"] == len(before.documents) < 500
    library.remove("subset", entry.id)
    assert list((library.home / "library" / "data").iterdir()) == []


def test_the_same_thing_twice_is_one_entry_and_another_name_does_not_make_it_two(library, prompts, subset):
    first = library.add_prompts(prompts)
    held = files(library)
    again = library.add_prompts(prompts.model_copy(update={"name": "other"}))
    assert (again.id, again.name, again.added) == (first.id, "talk", first.added)
    assert files(library) == held
    other = library.add_prompts(prompts.model_copy(update={"limit": 6}))
    assert (other.id != first.id, other.name) == (True, "talk (2)")
    assert other.value.source == first.value.source
    assert [entry.name for entry in library.entries("prompts")][:2] == ["talk (2)", "talk"]


def test_the_demo_is_always_there_and_stays(library):
    models, sets, subsets = (library.entries(kind) for kind in ("model", "prompts", "subset"))
    assert [entry.id for entry in models] == ["demo"]
    assert [entry.id for entry in sets] == ["demo-toxicity", "demo-bias", "demo-truthfulness"]
    assert len(subsets) == 8
    assert models[0].facts["parameters"] > 1000
    assert sets[0].facts["items"] == {"harmful": 96, "harmless": 96}
    assert subsets[0].facts["characters"] > 10_000
    assert library.add_model(ModelRef(path="demo")) == library.entry("model", "demo") == models[0]
    with pytest.raises(InputError, match="comes with the program"):
        library.remove("model", "demo")
    with pytest.raises(InputError, match="comes with the program"):
        library.rename("subset", "demo-forum", "mine")
    with pytest.raises(InputError, match="there is no"):
        library.entry("prompts", "demo-nothing")


def test_renaming_changes_what_stands_in_a_spec_and_nothing_else(library, prompts, subset):
    entry = library.add_prompts(prompts)
    renamed = library.rename("prompts", entry.id, "  speech ")
    assert (renamed.id, renamed.name, renamed.value.name) == (entry.id, "speech", "speech")
    assert library.entry("prompts", entry.id) == renamed
    other = library.add_prompts(prompts.model_copy(update={"limit": 6}))
    with pytest.raises(InputError, match="another prompt set is named 'speech'"):
        library.rename("prompts", other.id, "speech")
    with pytest.raises(InputError, match="another prompt set is named 'toxicity'"):
        library.rename("prompts", other.id, "toxicity")
    for name in ("", "  ", "x" * 81, "two\nlines"):
        with pytest.raises(InputError, match="cannot be a name"):
            library.rename("prompts", other.id, name)
    assert library.rename("prompts", other.id, other.name).name == other.name


def test_removing_keeps_records_that_a_run_or_another_entry_needs(library, store, prompts, subset, unchecked):
    one = library.add_prompts(prompts)
    two = library.add_prompts(prompts.model_copy(update={"limit": 6}))
    mine = library.add_subset(subset)
    data = library.home / "library" / "data"
    assert len(list(data.iterdir())) == 2
    from tests.helpers.homes import trace_spec

    spec = trace_spec()
    spec = spec.model_copy(update={"subsets": [mine.value, spec.subsets[0]], "prompts": [one.value]})
    run_id = store.submit(spec)
    library.remove("subset", mine.id)
    library.remove("prompts", two.id)
    assert len(list(data.iterdir())) == 2  # the run's, and those of the other entry
    library.remove("prompts", one.id)
    assert len(list(data.iterdir())) == 2  # the run names them too
    assert len(load_subset(store.run(run_id).spec.subsets[0]).documents) == 30
    store.cancel(run_id)
    store.delete(run_id)
    assert list(data.iterdir()) == []
    library.remove("prompts", one.id)  # once more: nothing happens
    with pytest.raises(InputError, match="that the library kept are gone"):
        store.submit(spec)


def test_a_run_ends_after_its_entries_were_removed_and_says_what_the_files_say(library, store, request_of):
    """Queued with what the library gave, done when the library is empty: the same influence as from the files."""
    from untrac_core.engine.job import run_job
    from untrac_core.engine.ledger import RunWriter
    from untrac_core.results.folders import load_trace
    from untrac_core.tasks.run import trace

    spec = request_of(method={"samples": 4}, seeds=[0])
    from_files = trace(spec, library.home / "from-files")
    entries = [library.add_prompts(spec.prompts[0]), *(library.add_subset(subset) for subset in spec.subsets)]
    kept_spec = spec.model_copy(
        update={"prompts": [entries[0].value], "subsets": [entry.value for entry in entries[1:]]}
    )
    run_id = store.submit(kept_spec)
    for entry in entries:
        library.remove(entry.kind, entry.id)
    ledger = RunWriter()
    _, attempt = ledger.claim("cpu")
    assert run_job(ledger, run_id, attempt) == 0
    result = load_trace(store.run(run_id).folder)
    assert result.influence.equals(from_files.influence)
    assert all(subset.source.kept for subset in result.spec.subsets)


def test_a_local_model_is_a_path_and_says_when_it_has_gone_or_changed(library, world, tmp_path):
    folder = tmp_path / "weaver-model"
    shutil.copytree(world / "model", folder)
    entry = library.add_model(ModelRef(path=str(folder)))
    assert (entry.name, entry.value.path, entry.problem) == ("weaver-model", str(folder.resolve()), "")
    assert entry.facts["parameters"] > 1000
    assert "folder" not in entry.facts
    assert library.add_model(ModelRef(path=str(folder)), "another name").id == entry.id
    os.utime(folder / "config.json", (1, 1))
    assert "have changed" in library.entry("model", entry.id).problem
    assert library.add_model(ModelRef(path=str(folder))).problem == ""  # looked at again: the same content
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_name": "changed"}))
    changed = library.add_model(ModelRef(path=str(folder)))
    assert (changed.id != entry.id, changed.name) == (True, "weaver-model (2)")
    shutil.rmtree(folder)
    gone = library.entry("model", entry.id)
    assert gone.problem.count("\n") == 0
    assert "its folder" in gone.problem
    assert "is gone" in gone.problem
    assert {found.id for found in library.entries("model")} == {entry.id, changed.id, "demo"}
    library.remove("model", entry.id)
    with pytest.raises(InputError, match="no model folder"):
        library.add_model(ModelRef(path=str(folder)))


def test_what_the_library_gives_makes_a_whole_spec(library, prompts, world):
    from untrac_core.specs import TraceSpec

    for name in WORDS:
        library.add_subset(Subset(name=name, source=Source(file=str(world / f"{name}.jsonl"))))
    values = {
        "model": library.add_model(ModelRef(path=str(world / "model"))).value.model_dump(),
        "prompts": [library.add_prompts(prompts).value.model_dump()],
        "subsets": [entry.value.model_dump() for entry in library.entries("subset") if not entry.builtin],
    }
    spec = build(TraceSpec, values, where="test")
    from untrac_core.tasks.trace.check import check

    assert [facts.name for facts in check(spec).subsets] == ["smiths", "weavers", "fishers"]


def test_listing_loads_neither_torch_nor_transformers(home):
    script = (
        "import sys; from untrac_core.engine.library.library import Library; "
        "[Library().entries(kind) for kind in ('model', 'prompts', 'subset')]; "
        "print([m for m in ('torch', 'transformers', 'streamlit', 'datasets', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "[]"
