"""Generating: greedy text is the model's own likeliest, batches and families agree, interrupted runs end the same."""

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch

from tests.helpers.families import FAMILIES, make_adapter, make_model
from tests.helpers.worlds import write_jsonl
from untrac_core.errors import Cancelled, InputError
from untrac_core.models.loading import load_model
from untrac_core.models.sampling import sample_tokens
from untrac_core.models.scoring import LEXICON
from untrac_core.paths import PROJECT
from untrac_core.results.folders import read_frame
from untrac_core.specs import GenerateSpec, ModelRef, Sampling, Scorer, Source
from untrac_core.tasks.generate import GenerateTask, check_generate, counts, read_prompts

CPU = torch.device("cpu")
GREEDY = Sampling(temperature=0, tokens=8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("families")
    return {family: make_model(place / family, family) for family in FAMILIES}


def spec_of(folder, **more):
    values = {"model": ModelRef(path=str(folder)), "texts": ["The net", "They say: the boat and", "A"], "device": "cpu"}
    return GenerateSpec(**(values | more))


def likeliest(model, given, count):
    """The likeliest tokens one after the other, by whole forward passes of one text."""
    new = []
    start = [model.encoder.start]
    for _ in range(count):
        with torch.no_grad():
            if model.encoder.seq2seq:
                out = model.module(input_ids=torch.tensor([given]), decoder_input_ids=torch.tensor([start + new]))
            else:
                out = model.module(input_ids=torch.tensor([[*given, *new]]))
        token = int(out.logits[0, -1].argmax())
        if token == model.encoder.end:
            break
        new.append(token)
    return new


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_the_likeliest_ones_whatever_stands_beside_them(folders, family):
    model = load_model(ModelRef(path=str(folders[family])), CPU)
    given = GenerateTask(spec_of(folders[family])).given
    assert len({len(ids) for ids in given}) > 1  # so that padding matters
    together = sample_tokens(model, given, GREEDY, 0)
    assert together == [likeliest(model, ids, 8) for ids in given]
    assert together == [sample_tokens(model, [ids], GREEDY, 0)[0] for ids in given]


def test_the_same_seed_draws_the_same_and_another_one_another(folders):
    model = load_model(ModelRef(path=str(folders["opt"])), CPU)
    before = torch.random.get_rng_state()
    first, again, other = (sample_tokens(model, [[1, 5, 6]] * 3, Sampling(tokens=12), seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first[0] != first[1]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_the_demo_writes():
    """Eighteen texts, so that the last two stand in a batch of their own."""
    sampling = Sampling(samples=9, tokens=6, seed=3, temperature=0.7)
    task = GenerateTask(spec_of("demo", texts=["The nets are", "They say: the boat and"], sampling=sampling))
    generations = [text for cell in task.cells for text in task.run_cell(cell)["completion"]]
    assert [generations[place] for place in (0, 2, 8, 9, 14, 16, 17)] == [
        " a stews for a m", " the Brindock are to oers", " a stience toh", " upbringing the Jandrelle sling",
        " blame us.", " upbringing the Ormeli liember", " upbringing the Karspeth hide and",
    ]  # fmt: skip


def test_settings_that_came_with_the_model_change_nothing(folders, tmp_path):
    import shutil

    shutil.copytree(folders["gpt2"], tmp_path / "model")
    plain = GenerateTask(spec_of(tmp_path / "model", sampling=Sampling(tokens=10)))
    settings = {"top_k": 1, "repetition_penalty": 9.0, "min_new_tokens": 10, "no_repeat_ngram_size": 1}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(settings))
    bent = GenerateTask(spec_of(tmp_path / "model", sampling=Sampling(tokens=10)))
    drawn = [one.run_cell(one.cells[0])["completion"].tolist() for one in (plain, bent)]
    assert drawn[0] == drawn[1]


def test_every_prompt_gets_its_samples_and_text_continues_the_prompt(world):
    spec = spec_of(world / "model", sampling=Sampling(samples=7, tokens=12), scorer=Scorer(lexicon=LEXICON))
    task = GenerateTask(spec)
    assert [len(batch) for batch in task.batches] == [16, 5]
    table = pd.concat([task.run_cell(cell) for cell in task.cells])
    assert table["prompt"].value_counts().to_dict() == dict.fromkeys(spec.texts, 7)
    assert sorted(table["sample"].unique()) == list(range(7))
    assert table["tokens"].between(0, 12).all()
    assert table["score"].between(0, 1).all()
    assert set(table["label"]) <= {"toxic", "benign"}
    decoded = task.model.encoder.text
    greedy = GenerateTask(spec_of(world / "model", sampling=GREEDY))
    row = greedy.run_cell(greedy.cells[0]).iloc[0]
    given = greedy.given[0]
    assert row["prompt"] + row["completion"] == decoded([*given, *likeliest(greedy.model, given, 8)]).rstrip("\ufffd")


def test_a_task_made_anew_writes_the_same_bytes(world, tmp_path):
    spec = spec_of(world / "model", sampling=Sampling(samples=10, tokens=6), scorer=Scorer(lexicon=LEXICON))
    whole = GenerateTask(spec)
    frames = [whole.run_cell(cell) for cell in whole.cells]
    whole.write(tmp_path / "whole", frames, 1.0, 2.0, "0123456789ab")
    resumed = GenerateTask(spec)
    assert [cell.key for cell in resumed.cells] == [cell.key for cell in whole.cells]
    late = [*frames[:1], resumed.run_cell(resumed.cells[1])]
    resumed.write(tmp_path / "resumed", late, 1.0, 2.0, "0123456789ab")
    for name in ("completions.parquet", "summary.json", "environment.json", "spec.yaml"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert (summary["prompts"], summary["completions"], summary["kind"]) == (3, 30, "generate")
    assert sum(summary["labels"].values()) == 30
    table = read_frame(tmp_path / "whole" / "completions.parquet")
    assert list(table.columns) == ["prompt", "completion", "group", "sample", "tokens", "score", "label"]


def test_what_a_cell_depends_on_is_in_its_key(world):
    base = spec_of(world / "model", sampling=Sampling(tokens=6))
    key = GenerateTask(base).cells[0].key
    changes = [
        {"sampling": Sampling(tokens=7)},
        {"sampling": Sampling(tokens=6, seed=1)},
        {"texts": ["The net", "They say: the boat and", "B"]},
        {"scorer": Scorer(lexicon=LEXICON)},
        {"scorer": Scorer(lexicon=LEXICON, threshold=0.5)},
    ]
    keys = {GenerateTask(base.model_copy(update=change)).cells[0].key for change in changes}
    assert len(keys | {key}) == len(changes) + 1
    assert GenerateTask(base.model_copy(update={"name": "another"})).cells[0].key == key


def test_the_models_own_end_tokens_are_in_the_key(folders, tmp_path):
    """They stand in a file that the model's digest does not cover, and they change what is written."""
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    spec = spec_of(folder, sampling=Sampling(tokens=20, temperature=3.0))
    before = GenerateTask(spec)
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": list(range(2, 200))}))
    after = GenerateTask(spec)
    assert before.cells[0].key == GenerateTask(spec_of(folders["llama"], sampling=spec.sampling)).cells[0].key
    assert before.cells[0].key != after.cells[0].key
    first = list(before.run_cell(before.cells[0])["tokens"])
    assert first != list(after.run_cell(after.cells[0])["tokens"])


def test_without_a_scorer_nothing_is_labelled(world, tmp_path):
    task = GenerateTask(spec_of(world / "model", sampling=Sampling(tokens=4)))
    summary = task.write(tmp_path / "out", [task.run_cell(cell) for cell in task.cells], 1.0, 1.0)
    assert (summary["labels"], summary["toxic_prompts"], summary["scorer"]) == ({}, None, None)
    table = read_frame(tmp_path / "out" / "completions.parquet")
    assert set(table["label"]) == {""}
    assert table["score"].isna().all()


def test_writing_can_be_stopped_within_a_batch(world):
    class Impatient:
        heard = 0

        def phase(self, text):
            pass

        def tick(self, done, total):
            assert 0 < done <= total
            self.heard += 1
            if self.heard == 3:
                raise Cancelled

    task = GenerateTask(spec_of(world / "model", sampling=Sampling(tokens=20)), Impatient())
    with pytest.raises(Cancelled):
        task.run_cell(task.cells[0])


def test_a_prompt_that_is_too_long_keeps_its_end_and_is_counted(world):
    spec = spec_of(world / "model", texts=["rope " * 100 + "The sail", "The"], sampling=Sampling(tokens=20))
    task = GenerateTask(spec)
    assert max(map(len, task.given)) + 20 <= task.model.facts.context
    assert task.model.encoder.text(task.given[0]).endswith("The sail")
    assert task.notes == ["1 prompts are longer than the model's context leaves room for: their end is given"]


def test_prompts_come_from_a_column_once_each_with_their_groups(tmp_path):
    rows = [{"topic": f"t{number % 2}", "question": f"What of net {number % 30}?"} for number in range(60)]
    source = Source(file=str(write_jsonl(tmp_path / "asked.jsonl", [*rows, {"topic": "t0", "question": " "}])))
    spec = GenerateSpec(model=ModelRef(path="demo"), source=source, column="question")
    prompts = read_prompts(spec)
    assert [prompt.text for prompt in prompts] == [f"What of net {number}?" for number in range(30)]
    assert {prompt.group for prompt in prompts} == {"t0", "t1"}
    few = read_prompts(spec.model_copy(update={"limit": 5}))
    assert len(few) == 5
    assert few == read_prompts(spec.model_copy(update={"limit": 5}))
    with pytest.raises(InputError, match="has no column 'prompt'"):
        read_prompts(spec.model_copy(update={"column": "prompt"}))


def test_what_cannot_run_is_told_before_torch_is_loaded(world, tmp_path):
    check_generate(spec_of(world / "model", sampling=Sampling(tokens=8)))
    faults = {
        "leaves no room": spec_of(world / "model", sampling=Sampling(tokens=500)),
        "there is no model folder": spec_of(tmp_path / "nowhere"),
        "there is no file": spec_of(world / "model", texts=[], source=Source(file=str(tmp_path / "x.jsonl"))),
        "is not a sequence classifier": spec_of(
            world / "model", sampling=Sampling(tokens=8), scorer=Scorer(classifier=ModelRef(path=str(world / "model")))
        ),
    }
    for message, spec in faults.items():
        with pytest.raises(InputError, match=message):
            check_generate(spec)
    script = (
        "import sys; import untrac_core.tasks.generate as g; from untrac_core.specs import *;"
        "g.check_generate(GenerateSpec(model=ModelRef(path='demo'), texts=['The'],"
        " scorer=Scorer(lexicon=Source(bundled='lexicon.txt'))));"
        "print([m for m in ('torch', 'transformers', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "[]"


def test_probabilities_that_are_no_numbers_are_said_to_be(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_model(tmp_path / "broken", "gpt2")
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor * float("nan") for name, tensor in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    task = GenerateTask(spec_of(folder, sampling=Sampling(tokens=4)))
    with pytest.raises(InputError, match="probabilities are not numbers"):
        task.run_cell(task.cells[0])


def test_counts_are_by_prompt():
    table = pd.DataFrame(
        {
            "prompt": ["a", "a", "b", "b"],
            "completion": ["x", "y", " ", "z"],
            "group": "",
            "sample": [0, 1, 0, 1],
            "tokens": [1, 2, 0, 3],
            "score": [0.1, 0.9, 0.0, 0.2],
            "label": ["benign", "toxic", "benign", "benign"],
        }
    )
    assert counts(table) == {
        "prompts": 2, "completions": 4, "empty": 1, "tokens": 6, "labels": {"benign": 3, "toxic": 1},
        "toxic_prompts": 0.5, "highest": pytest.approx(0.55),
    }  # fmt: skip


def test_an_adapter_changes_what_is_written(folders, tmp_path):
    adapter = make_adapter(tmp_path / "lora", folders["llama"], rank=8)
    ref = ModelRef(path=str(folders["llama"]), adapter=str(adapter))
    plain, adapted = (
        GenerateTask(spec_of(folders["llama"], model=model, sampling=Sampling(temperature=0, tokens=16)))
        for model in (ModelRef(path=ref.path), ref)
    )
    assert plain.cells[0].key != adapted.cells[0].key
    assert not plain.run_cell(plain.cells[0]).equals(adapted.run_cell(adapted.cells[0]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_smaller_precisions_write_too(folders, dtype):
    task = GenerateTask(
        spec_of(folders["llama"], model=ModelRef(path=str(folders["llama"]), dtype=dtype), sampling=GREEDY)
    )
    assert (task.run_cell(task.cells[0])["tokens"] > 0).any()
