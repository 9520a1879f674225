"""The public calls, run to their end on the tests' own small world, with every kind of input."""

import copy
import gc
import io
import json
import shutil
import subprocess
import sys

import datasets
import pandas as pd
import pytest

import untrac_core as untrac
from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.recipes import CHEAP, QUICK, TINY
from tests.helpers.worlds import WORDS, sentences
from untrac_core.errors import Cancelled, InputError
from untrac_core.explore import calls
from untrac_core.explore.outcomes import GenerateResult, UnlearnResult, ValidateResult, VerifyResult
from untrac_core.explore.result import TraceResult
from untrac_core.paths import PROJECT
from untrac_core.specs import PromptSet, Source, Subset
from untrac_core.specs.files import to_yaml

SMALL = {"method": {**QUICK, "trainable": "all"}, "block_size": 16, "seeds": [0, 1], "baselines": [], "device": "cpu"}


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def given(world):
    """A call over the world's files."""
    return {
        "model": world / "model",
        "prompts": {"talk": world / "prompts.jsonl"},
        "subsets": {name: str(world / f"{name}.jsonl") for name in WORDS},
        "progress": False,
        **SMALL,
    }


@pytest.fixture(scope="module")
def from_files(world, tmp_path_factory):
    """The trace of the world's files."""
    return untrac.trace(
        model=str(world / "model"),
        prompts={"talk": str(world / "prompts.jsonl")},
        subsets={name: world / f"{name}.jsonl" for name in WORDS},
        out=str(tmp_path_factory.mktemp("calls") / "trace"),
        progress=False,
        **SMALL,
    )


def same(found, other):
    assert isinstance(found, TraceResult)
    pd.testing.assert_frame_equal(found.ranking("talk"), other.ranking("talk"))


def test_files_give_a_result_with_guessed_columns_and_sides(from_files):
    [prompts] = from_files.spec.prompts
    assert (prompts.harmful, prompts.harmless, prompts.columns.group) == ("bad", "good", "group")
    assert from_files.ranking("talk")["subset"].iloc[0] == "smiths"
    assert from_files.plot("talk").data
    assert from_files.examples("talk")["influence"].is_monotonic_decreasing
    assert repr(from_files).startswith("<TraceResult 'untitled' in ")


def test_data_in_memory_rank_as_their_files_do_and_stand_in_the_run(given, world, from_files, tmp_path):
    texts = {name: rows_of(world / f"{name}.jsonl") for name in WORDS}
    items = pd.DataFrame(rows_of(world / "prompts.jsonl"))
    given["prompts"] = {"talk": items}
    given["subsets"] = {
        "fishers": [row["text"] for row in texts["fishers"]],
        "weavers": datasets.Dataset.from_list(texts["weavers"]),
        "smiths": pd.Series([row["text"] for row in texts["smiths"]]),
    }
    found = untrac.trace(**given, out=tmp_path / "run")
    same(found, from_files)
    files = [part.source.file for part in (*found.spec.prompts, *found.spec.subsets)]
    assert all((tmp_path / "run" / "inputs") in (tmp_path / file).parents for file in files)
    again = untrac.trace(tmp_path / "run" / "spec.yaml", out=tmp_path / "again", progress=False)
    same(again, found)
    assert again.spec == found.spec


def test_spec_objects_are_taken_as_they_are_and_a_spec_as_a_whole(given, world, from_files, request_of, tmp_path):
    columns = {name: name for name in ("prompt", "completion", "group", "label", "id")}
    prompts = {"source": {"file": str(world / "prompts.jsonl")}, "columns": columns, "harmful": "bad"}
    given["prompts"] = {"talk": PromptSet.model_validate({"name": "other", **prompts, "harmless": "good"})}
    given["subsets"] = [Subset(name=name, source=Source(file=str(world / f"{name}.jsonl"))) for name in WORDS]
    same(untrac.trace(**given), from_files)
    spec = request_of(SMALL["method"], block_size=16)
    same(untrac.trace(spec, progress=False), from_files)
    (tmp_path / "spec.yaml").write_text(to_yaml(spec), encoding="utf-8")
    one = untrac.trace(str(tmp_path / "spec.yaml"), seeds=(0,), method="random", progress=False)
    assert one.spec.seeds == [0]


def test_a_loaded_model_ranks_as_its_folder_does_and_stays_as_it_was(given, world, from_files, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from untrac_core.models.loading import hash_weights

    given["model"] = model = AutoModelForCausalLM.from_pretrained(world / "model").train()
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    first = next(model.parameters()).requires_grad_(False)
    model.config.architectures = None
    before, config = hash_weights(model), copy.deepcopy(model.config.__dict__)
    found = untrac.trace(**given, tokenizer=tokenizer, out=tmp_path)
    same(found, from_files)
    assert found.spec.model.path == str(tmp_path / "inputs" / "model")
    assert (hash_weights(model), model.training, first.requires_grad) == (before, True, False)
    assert model.config.__dict__ == config
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_out_the_folder_lives_as_long_as_the_result(given):
    given["method"] = "random"
    found = untrac.trace(**given)
    folder = found.folder
    assert (folder / "summary.json").is_file()
    assert untrac.report(folder).startswith(b"<!DOCTYPE html>")
    assert found.report(folder / "report.html").read_bytes() == untrac.report(str(folder))
    del found
    gc.collect()
    assert not folder.exists()


def test_the_same_folder_again_replaces_the_result_and_another_kind_is_refused(given, tmp_path):
    given |= {"method": "random", "out": tmp_path}
    untrac.trace(**given)
    assert untrac.trace(**given | {"seeds": [3, 4]}).spec.seeds == [3, 4]
    with pytest.raises(InputError, match="another kind of run"):
        untrac.generate(model=given["model"], texts=["They say"], out=tmp_path, progress=False)


def test_unlearn_forgets_a_subset_or_texts_in_memory(given, world, tmp_path):
    given |= {"method": "npo", "stop": {"rule": "fixed", "steps": 4, "eval_every": 2}, "seeds": [0]}
    given |= {"relearn_steps": 0, "eval_samples": 8}
    del given["baselines"], given["block_size"]
    found = untrac.unlearn(**given, forget="smiths", compare=["grad-ascent"], holdout=sentences("smiths", 40, 9))
    assert isinstance(found, UnlearnResult)
    assert found.spec.forget.subset == "smiths"
    assert [method.name for method in found.spec.compare] == ["grad-ascent"]
    assert {"before", "after"} <= set(found.table().columns)
    assert all(figure.data for figure in (found.plot(), found.tradeoff(), found.collateral()))
    assert found.answer()
    assert (found.model / "config.json").is_file()
    chosen = pd.DataFrame({"subset": ["smiths"] * 2, "id": ["smiths-1 @0", "smiths-2 @0"], "text": ["a", "b"]})
    with pytest.raises(InputError, match="smiths-1"):
        untrac.unlearn(**given | {"subsets": {"smiths": ["one"], "weavers": ["two"]}}, forget=chosen)
    assert untrac.unlearn(**given, forget=sentences("smiths", 30, 4)).spec.forget.upload.name == "the forget set"
    assert untrac.unlearn(**given, forget="talk").spec.forget.prompts == "talk"


def test_without_a_recipe_an_unlearning_stops_by_the_budget(given, monkeypatch):
    asked = []

    def ask(spec, *more):
        asked.append(spec.stop.rule)
        raise Cancelled

    monkeypatch.setattr(calls, "run_task", ask)
    del given["baselines"], given["method"]
    for more in ({}, {"training": {"steps": 10}}, {"stop": {"rule": "fixed"}}):
        with pytest.raises(Cancelled):
            untrac.unlearn(**given, forget="smiths", **more)
    assert asked == ["retain_budget", "match_retrained", "fixed"]
    with pytest.raises(InputError, match=r"'stop\.steps'"):
        untrac.unlearn(**given, forget="smiths", stop={"rule": "match_retrained", "steps": "x"})


def test_verify_takes_a_result_and_rows_of_its_table(from_files):
    texts = from_files.examples("talk", subset="smiths").head(2)
    found = untrac.verify(trace=from_files, prompt_set="talk", texts=texts, controls=2, device="cpu", progress=False)
    assert isinstance(found, VerifyResult)
    assert [text.id for text in found.spec.texts] == texts["id"].tolist()
    assert found.table()["side"].tolist() == ["contrast", "harmful", "harmless"]
    assert found.plot(from_files).data
    assert found.answer()
    with pytest.raises(InputError, match="Name the trace"):
        found.plot()


def test_validate_names_methods_by_name(given, tmp_path):
    del given["model"], given["baselines"], given["method"], given["block_size"]
    methods = [method["name"] for method in CHEAP]
    found = untrac.validate(
        **given, methods=methods, training=TINY, samples_per_subset=8, estimate_seeds=[0, 1], out=tmp_path
    )
    assert isinstance(found, ValidateResult)
    assert len(found.table()) == 4  # and the row of one retraining
    assert found.plot(scope=found.scopes[0]).data
    assert found.answer()
    assert type(untrac.open_result(str(tmp_path))) is ValidateResult
    with pytest.raises(InputError, match="there is no scope 'x'"):
        found.table("x")


def test_generate_takes_a_list_or_a_table(world, tmp_path):
    given = {"model": world / "model", "sampling": {"tokens": 4}, "device": "cpu", "progress": False}
    found = untrac.generate(**given, texts=["They say"], out=tmp_path)
    assert isinstance(found, GenerateResult)
    assert found.table()["prompt"].tolist() == ["They say"]
    assert type(untrac.open_result(tmp_path)) is GenerateResult
    table = pd.DataFrame({"question": ["Who?", "Where?"], "id": [1, 2]})
    assert sorted(untrac.generate(**given, texts=table).table()["prompt"]) == ["Where?", "Who?"]


def test_ids_on_the_hub_are_written_down_with_their_commit_and_a_probe_by_its_name(given, world, tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    root = tmp_path / "hub"
    for name in ("prompts", *WORDS):
        place = root / "datasets" / "guild" / name
        place.mkdir(parents=True)
        shutil.copy(world / f"{name}.jsonl", place / "train.jsonl")
    shutil.copytree(world / "model", root / "models" / "guild" / "model")
    given |= {"model": "guild/model", "prompts": {"talk": "guild/prompts"}, "method": "bm25"}
    given["subsets"] = {name: f"guild/{name}" for name in WORDS}
    with HubStandIn(root) as hub, hub.here(tmp_path / "cache"):
        found = untrac.trace(**given)
    assert [prompts.harmful for prompts in found.spec.prompts] == ["bad"]
    assert all(len(part.source.revision) == 40 for part in (*found.spec.prompts, *found.spec.subsets))
    assert len(found.spec.model.revision) == 40
    assert found.ranking("talk")["subset"].iloc[0] == "smiths"
    asked = calls.values_of("trace", {"prompts": {"mine": "toxigen"}}, calls.Inputs(tmp_path), {})
    assert asked["prompts"] == [{"name": "mine", "probe": "toxigen"}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seedz": [1]}, r"unknown key 'seedz': did you mean 'seeds'\?"),
        ({"method": "untrak"}, "no method is named 'untrak': did you mean 'untrac'"),
        ({"model": None}, "'model' is missing"),
        ({"model": 3}, "'model'"),
        ({"model": "/no/such/folder"}, "there is no model folder"),
        ({"tokenizer": object()}, "without a loaded model"),
        ({"prompts": ["a text"]}, "'prompts' is a mapping of names"),
        ({"prompts": {"talk": []}}, "no texts in it"),
        ({"prompts": {"talk": ["a", 3]}}, "entry 2 is of type int"),
        ({"prompts": {"talk": "two words"}}, "no path and no id on the hub"),
        ({"prompts": {"talk": "missing.jsonl"}}, "there is no file"),
        ({"prompts": {"talk": "nobody/nothing"}}, "nobody/nothing"),
        ({"prompts": {"talk": [{"text": {1, 2}}]}}, "cannot be written as JSON"),
        ({"prompts": {"talk": ["half \ud800"]}}, "surrogate"),
        ({"prompts": {"talk": {"probe": "nothing"}}}, "no probe is named 'nothing'"),
        ({"subsets": {"a": 3.5, "b": ["x"]}}, "it is of type float"),
        ({"subsets": {"a": datasets.DatasetDict(train=datasets.Dataset.from_dict({"text": ["a"]}))}}, "several splits"),
        ({"subsets": {"only": ["x y z"]}}, "at least 2"),
        ({"out": "/dev/null/x"}, "the folder cannot be made"),
        ({"out": "a\0b"}, "the folder cannot be made"),
        ({"spec": "/no/spec.yaml"}, "cannot read the spec"),
    ],
)
def test_what_cannot_be_used_is_one_line(given, change, said):
    with pytest.raises(InputError, match=said) as caught:
        untrac.trace(**given | change)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_saved_or_has_an_adapter_is_named(given):
    class Broken:
        def save_pretrained(self, folder):
            raise OSError("no\nroom")

    with pytest.raises(InputError, match="needs its tokenizer"):
        untrac.trace(**given | {"model": Broken()})
    with pytest.raises(InputError, match=r"cannot be saved \(no\)"):
        untrac.trace(**given | {"model": Broken(), "tokenizer": Broken()})
    adapted = Broken()
    adapted.peft_config = {"default": 1}
    with pytest.raises(InputError, match="Merge it"):
        untrac.trace(**given | {"model": adapted, "tokenizer": Broken()})


def test_a_spec_of_another_kind_names_its_call(request_of):
    with pytest.raises(InputError, match=r"is of kind 'trace'. Call untrac.trace"):
        untrac.verify(request_of())


class Heard:
    def __init__(self):
        self.phases, self.ticks = [], 0

    def phase(self, text):
        self.phases.append(text)

    def tick(self, done, total):
        self.ticks += 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal_and_can_be_silenced_or_heard(given, monkeypatch):
    given |= {"method": {"name": "grad-dot"}}
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    untrac.trace(**given | {"progress": True})
    assert "reading prompt sets" in screen.getvalue()
    assert "%" in screen.getvalue()
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    untrac.trace(**given)
    assert screen.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    untrac.trace(**given | {"progress": True})
    assert pipe.getvalue() == ""
    heard = Heard()
    untrac.trace(**given | {"progress": heard})
    assert "writing the result" in heard.phases
    assert heard.ticks > 0


def told_by(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    return done.stdout.strip()


def test_the_package_alone_loads_no_library_and_its_names_come_when_asked_for():
    loaded = "print([m for m in ('torch', 'transformers', 'pandas', 'plotly', 'pydantic') if m in sys.modules])"
    assert told_by(f"import sys, untrac_core as u; dir(u); {loaded}") == "[]"
    names = "assert all(callable(getattr(u, name)) for name in u.__all__); assert set(u.__all__) <= set(dir(u))"
    torch = "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert told_by(f"import sys, untrac_core as u; {names}; {torch}") == "[]"
    with pytest.raises(AttributeError, match="no attribute 'traces'"):
        _ = untrac.traces


def test_a_report_is_a_call_whichever_import_came_first():
    for first in ("import untrac_core.report.file", "from untrac_core.report import report", "pass"):
        assert told_by(f"{first}\nimport untrac_core as u\nprint(callable(u.report))") == "True"
