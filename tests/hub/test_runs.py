"""From a spec that names everything by its hub id to a ranking: looked over before any weight is here, then run."""

import json
import math
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.helpers.families import make_adapter, make_model
from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.paths import PROJECT

pytestmark = pytest.mark.slow  # whole runs on what a hub gives


@pytest.fixture
def hub(tmp_path):
    """A model with an adapter, a data set with a config for each craft (parquet), and one with test items (jsonl)."""
    root = tmp_path / "hub"
    base = make_model(root / "models" / "guild" / "llama", "llama")
    make_adapter(root / "models" / "guild" / "lora", base)
    crafts, talk = root / "datasets" / "guild" / "crafts", root / "datasets" / "guild" / "talk"
    crafts.mkdir(parents=True)
    talk.mkdir()
    for name in WORDS:
        pq.write_table(pa.table({"text": sentences(name, 60, 0)}), crafts / f"{name}.parquet")
    configs = [{"config_name": name, "data_files": f"{name}.parquet"} for name in WORDS]
    (crafts / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
    items = [
        {"id": f"{label}-{i}", "prompt": "They say:", "completion": text, "label": label}
        for label, name in (("bad", "smiths"), ("good", "weavers"))
        for i, text in enumerate(sentences(name, 20, 1))
    ]
    write_jsonl(talk / "test.jsonl", items)
    with HubStandIn(root) as stand_in:
        yield stand_in


def test_a_run_over_nothing_but_hub_ids(hub, tmp_path):
    spec = {
        "kind": "trace",
        "name": "all of it from the hub",
        "model": {"path": "guild/llama", "adapter": "guild/lora"},
        "prompts": [
            {
                "name": "talk",
                "source": {"hub": "guild/talk"},
                "columns": {name: name for name in ("prompt", "completion", "label", "id")},
                "harmful": "bad",
                "harmless": "good",
            }
        ],
        "collections": [{"source": {"hub": "guild/crafts"}, "split_by": "config"}],
        "seeds": [0, 1],
        "baselines": [],
        "device": "cpu",
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    place = {"UNTRAC_HOME": str(tmp_path / "home"), "UNTRAC_IDLE_SECONDS": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **hub.environment(tmp_path / "cache"), **place}

    def command(*arguments) -> dict:
        line = [sys.executable, "-m", "untrac_core", *map(str, arguments), "--json"]
        done = subprocess.run(line, env=environment, cwd=PROJECT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found = command("check", tmp_path / "spec.json")
    assert found["parameters"] > 1000
    assert found["seconds"] > 0
    assert math.isfinite(found["memory_mb"])
    assert {part["name"] for part in found["subsets"]} == set(WORDS)
    assert all(part["tokens"] > 0 for part in found["subsets"] + found["prompt_sets"])
    assert not list((tmp_path / "cache").rglob("*.safetensors")), "a check must not fetch weights"

    summary = command("run", tmp_path / "spec.json", "--out", tmp_path / "out")
    assert {row["subset"] for row in summary["ranking"]} == set(WORDS)
    kept = yaml.safe_load((tmp_path / "out" / "spec.yaml").read_text())
    assert kept["model"]["revision"] == hub.commit("models", "guild/llama")
    assert kept["model"]["adapter_revision"] == hub.commit("models", "guild/lora")
    assert {part["source"]["revision"] for part in kept["subsets"]} == {hub.commit("datasets", "guild/crafts")}
    asked = {path for path in hub.paths() if "guild/" not in path}
    assert not asked, f"asked for what was not named: {asked}"
