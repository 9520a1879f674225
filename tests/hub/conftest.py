"""A hub on loopback, with the models and the data sets that its tests ask for."""

import json
import random
import shutil

import pyarrow
import pyarrow.parquet
import pytest

from tests.helpers.asking import CARD, CONFIG
from tests.helpers.families import make_adapter, make_model
from tests.helpers.hub_stand_in import HubStandIn


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """Models and data sets as folders, for the stand-in to serve."""
    root = tmp_path_factory.mktemp("served")
    make_model(root / "models/guild/opt", "opt", shard="50KB")
    (root / "models/guild/opt/README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (root / "models/guild/opt/modeling_opt.py").write_text("raise SystemExit('this must never run')\n")
    (root / "models/guild/opt/pytorch_model.bin").write_bytes(b"not asked for")
    make_adapter(root / "models/guild/lora", root / "models/guild/opt")
    make_model(root / "models/guild/opt@old", "opt", seed=5)
    shutil.copytree(root / "models/guild/opt@old", root / "models/guild/pickled")
    (root / "models/guild/pickled/model.safetensors").unlink()
    (root / "models/guild/pickled/pytorch_model.bin").write_bytes(b"x")
    shutil.copytree(root / "models/guild/opt@old", root / "models/guild/coded")
    config = json.loads((root / "models/guild/coded/config.json").read_text()) | {"auto_map": {"AutoModel": "x.y"}}
    (root / "models/guild/coded/config.json").write_text(json.dumps(config))
    tales = root / "datasets/guild/tales"
    for config in ("sea", "hill"):
        for split in ("train", "test"):
            (tales / config).mkdir(parents=True, exist_ok=True)
            rows = [f"{config} {split} {number}" for number in range(500)]
            table = pyarrow.table({"text": rows, "meta": [{"at": config}] * 500})
            pyarrow.parquet.write_table(table, tales / config / f"{split}-00000-of-00001.parquet", row_group_size=100)
    (tales / "README.md").write_text(CARD.format(CONFIG.format("sea") + CONFIG.format("hill")))
    plain = root / "datasets/guild/plain"
    plain.mkdir()
    draw = random.Random(0)
    with (plain / "train.jsonl").open("w") as file:
        for number in range(20_000):
            file.write(json.dumps({"id": number, "text": "".join(draw.choices("abcdefgh ", k=120))}) + "\n")
    (plain / "test.jsonl").write_text('{"id": 0, "text": "the last net"}\n')
    return root


@pytest.fixture
def stand_in(served, tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    with HubStandIn(served) as server, server.here(tmp_path / "cache"):
        yield server


@pytest.fixture
def data_set(stand_in, tmp_path):
    """Make a data set, and let the stand-in serve it alone: its id, from its files by name."""

    def make(**files):
        stand_in.root = tmp_path / "served"
        folder = stand_in.root / "datasets/guild/own"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        return "guild/own"

    return make
