"""Real text: a model trained on ten real corpora, traced for real toxic text."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from tests.helpers.real_data import ROOT
from untrac_core.data.collections import members
from untrac_core.data.probes.loader import probe
from untrac_core.data.prompts import load_prompts
from untrac_core.data.readers.records import guess_columns, guess_sides, guess_text, preview
from untrac_core.data.subsets import load_subset
from untrac_core.paths import PROJECT
from untrac_core.results.folders import load_trace
from untrac_core.specs import Collection, Columns, PromptSet, Source, Subset

pytestmark = pytest.mark.slow  # a training on real text

PROBES = {"toxigen": "hate_forum", "real_toxicity_prompts": "tweets_offensive"}
CORPORA = sorted((ROOT / "corpora").glob("*.jsonl"))


SIDES = {
    "bbq": ("stereotype", "anti_stereotype"),
    "bold": (None, None),
    "crows_pairs": ("stereotype", "anti_stereotype"),
    "real_toxicity_prompts": ("toxic", "benign"),
    "toxigen": ("toxic", "benign"),
    "truthfulqa": ("false", "true"),
    "winobias": ("pro_stereotype", "anti_stereotype"),
}
FILES = sorted((ROOT / "probes").glob("*.jsonl"))


def test_every_probe_has_an_expected_guess():
    assert [path.stem for path in FILES] == sorted(SIDES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_probes_load_with_the_guessed_columns_and_sides(path):
    look = preview(path)
    columns = guess_columns(look.columns, look.first)
    known = {c: c for c in ("completion", "prompt", "group", "label", "id")}
    assert columns.model_dump() == known | {"cluster": None}
    sides = guess_sides(look.values[columns.label], columns.label)
    assert sides == SIDES[path.stem]
    spec = PromptSet(
        name=path.stem, source=Source(file=str(path)), columns=columns, harmful=sides[0], harmless=sides[1]
    )
    data = load_prompts(spec)
    assert sum(len(items) for items in data.sides.values()) == look.count
    assert not any("another label" in note or "no text" in note for note in data.notes)


@pytest.mark.parametrize(("name", "groups"), [("crows_pairs", 1500), ("winobias", 791), ("bbq", 1500)])
def test_pairs_of_the_probes_stay_together(name, groups):
    """WinoBias has one sentence without its other half."""
    source = Source(file=str(ROOT / "probes" / f"{name}.jsonl"))
    spec = PromptSet(
        name=name,
        source=source,
        columns=Columns(label="label", id="id"),
        harmful=SIDES[name][0],
        harmless=SIDES[name][1],
    )
    harmful, harmless = ({item.cluster for item in items} for items in load_prompts(spec).sides.values())
    assert len(harmful | harmless) == groups
    assert len(harmful ^ harmless) <= 1
    some = load_prompts(spec.model_copy(update={"limit": 256})).sides
    harmful, harmless = ({item.cluster for item in items} for items in some.values())
    assert len(harmful) == len(harmless) == 256
    assert len(harmful ^ harmless) <= 2


def test_answers_to_a_question_are_one_cluster():
    spec = PromptSet(
        name="q",
        source=Source(file=str(ROOT / "probes" / "truthfulqa.jsonl")),
        columns=Columns(label="label", id="id", prompt="prompt"),
        harmful="false",
        harmless="true",
        limit=256,
    )
    sides = load_prompts(spec).sides
    asked = {item.cluster: item.prompt for items in sides.values() for item in items}
    assert all(item.prompt == asked[item.cluster] for items in sides.values() for item in items)
    assert [len(items) for items in sides.values()] == [256, 256]
    first, second = ({item.cluster for item in items} for items in sides.values())
    assert len(first & second) > 0.9 * min(len(first), len(second))


@pytest.mark.parametrize("name", [*SIDES, "truthfulqa_paper"])
def test_each_probe_takes_its_local_copy(name):
    path = ROOT / "probes" / f"{name.removesuffix('_paper')}.jsonl"
    data = load_prompts(PromptSet(name=name, probe=name, source=Source(file=str(path))))
    chosen = probe(name)
    assert list(data.sides) == (["harmful", "harmless"] if chosen.harmless else ["harmful"])
    assert all(len(items) > 100 for items in data.sides.values())
    for items in data.sides.values():
        most = max(Counter(item.group for item in items).values())
        assert chosen.most is None or most <= chosen.most


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.stem)
def test_corpora_load_with_the_guessed_column(path):
    look = preview(path)
    assert look.whole
    assert guess_text(look.columns, look.first) == "text"
    data = load_subset(Subset(name=path.stem, source=Source(file=str(path)), text=guess_text(look.columns)))
    assert (len(data.documents), data.whole, data.notes) == (look.count, True, [])


def test_the_corpora_are_one_folder_of_subsets():
    found = members(Collection(source=Source(folder=str(ROOT / "corpora")), split_by="file"))
    assert [(subset.name, subset.text) for subset in found] == [(path.stem, "text") for path in CORPORA]


def command(home, *arguments) -> subprocess.CompletedProcess:
    """The command line, in a data home of its own."""
    environment = {**os.environ, "UNTRAC_HOME": str(home), "UNTRAC_IDLE_SECONDS": "1", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "untrac_core", *map(str, arguments)]
    done = subprocess.run(line, env=environment, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_the_corpus_of_hate_is_found_on_toxigen_and_that_of_insults_on_real_toxicity_prompts(tmp_path):
    """``train`` makes a 2-layer OPT on the ten corpora, equal tokens each; ``run`` traces two probes over them."""
    subsets = [{"name": path.stem, "source": {"file": str(path)}} for path in CORPORA]
    assert len(subsets) == 10
    recipe = {"kind": "train", "architecture": "opt", "subsets": subsets, "device": "cpu", "steps": 300}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    command(tmp_path / "home", "train", tmp_path / "recipe.yaml", "--out", tmp_path / "model")
    columns = {name: name for name in ("prompt", "completion", "group", "label", "id")}
    prompts = [
        {
            "name": name,
            "source": {"file": str(ROOT / "probes" / f"{name}.jsonl")},
            "columns": columns,
            "harmful": "toxic",
            "harmless": "benign",
            "limit": 128,
        }
        for name in PROBES
    ]
    spec = {
        "kind": "trace",
        "name": "real text",
        "model": {"path": "./model"},
        "prompts": prompts,
        "subsets": [subset | {"limit": 48} for subset in subsets],
        "seeds": [0],
        "baselines": ["bm25"],
        "device": "cpu",
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = command(tmp_path / "home", "run", tmp_path / "spec.yaml", "--out", tmp_path / "result", "--json")
    assert json.loads(done.stdout)["method"] == "untrac-inv"
    result = load_trace(tmp_path / "result")
    for name, expected in PROBES.items():
        ranking = result.ranking(name, "contrast")
        assert ranking.subset[0] == expected
        assert ranking.influence[0] > 0 > ranking.influence[9]
