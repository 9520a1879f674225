import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time

import pyarrow
import pyarrow.parquet
import pytest
import torch
from families import make_adapter, make_model
from hub import HubStandIn

from untrac_core import hub
from untrac_core.data.expansion import expand
from untrac_core.data.tokens import read_tokenizer
from untrac_core.errors import Cancelled, InputError
from untrac_core.hub import data as hub_data
from untrac_core.hub import models as hub_models
from untrac_core.hub import repos as hub_repos
from untrac_core.hub import transfer as hub_transfer
from untrac_core.model_files import (
    fetch_model,
    fetch_tokenizer,
    find_adapter,
    find_model,
    hash_model,
    inspect_model,
    inspect_ref,
)
from untrac_core.models import load_model
from untrac_core.scoring import LEXICON
from untrac_core.specs import GenerateSpec, ModelRef, Scorer, Source

CPU = torch.device("cpu")
CARD = "---\nlicense: other\nlicense_name: guild-1.0\nconfigs:\n{}---\n# Tales\n"
SPLIT = "  - split: {1}\n    path: {0}/{1}-*\n"
CONFIG = "- config_name: {0}\n  data_files:\n" + SPLIT.replace("{1}", "train") + SPLIT.replace("{1}", "test")


class Ticks:
    """Records what it is told; with ``stop_at``, cancels once so many bytes are here."""

    def __init__(self, stop_at=None):
        self.phases, self.ticks, self.stop_at = [], [], stop_at

    def phase(self, text):
        self.phases.append(text)

    def tick(self, done, total):
        self.ticks.append((done, total))
        if self.stop_at is not None and done >= self.stop_at:
            raise Cancelled


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


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert "http" not in text
    assert "good" not in text
    return text


def test_a_model_on_the_hub_is_known_before_its_weights(stand_in, served, monkeypatch):
    monkeypatch.setattr(hub_models, "FIRST", 64)
    ref = ModelRef(path="guild/opt", adapter="guild/lora")
    facts = inspect_ref(ref)
    local = inspect_model(served / "models/guild/opt", "guild/opt", adapter=served / "models/guild/lora")
    assert facts.folder is None
    assert facts.revision == stand_in.commit("models", "guild/opt")
    assert (facts.licence, facts.kind, facts.dtype) == ("mit", "causal", "float32")
    for name in (
        "parameters",
        "weight_bytes",
        "context",
        "vocabulary",
        "hidden",
        "layers",
        "tokenizer",
        "architecture",
    ):
        assert getattr(facts, name) == getattr(local, name)
    assert facts.adapter.rank == local.adapter.rank == 4
    assert facts.adapter.parameters == local.adapter.parameters
    asked = [headers.get("range") for method, path, headers in stand_in.requests if "/large/" in path]
    spans = [[int(end) for end in span.removeprefix("bytes=").split("-")] for span in asked]
    assert len(spans) >= 2 * 4  # the header's length, then the header, of each weight file
    assert sum(end + 1 - start for start, end in spans) < facts.weight_bytes / 4
    assert find_model(ref) is None
    assert find_adapter(ref) is None


def test_a_card_says_what_the_repository_is(stand_in):
    card = hub.model_card("guild/opt")
    assert card.sha == stand_in.commit("models", "guild/opt")
    assert card.licence == "mit"
    assert not card.gated
    assert card.parameters == {"float32": inspect_ref(ModelRef(path="guild/opt")).parameters}
    assert card.files["pytorch_model.bin"] == 13
    assert all(name.startswith("model-0000") for name in card.weights)


def test_the_tokenizer_comes_alone(stand_in):
    folder = fetch_tokenizer(ModelRef(path="guild/opt"))
    assert read_tokenizer(folder) is not None
    assert find_model(ModelRef(path="guild/opt")) is None
    assert not list(folder.glob("model*.safetensors"))


def test_a_model_comes_by_the_ordinary_way(stand_in, served):
    ref, progress = ModelRef(path="guild/opt", adapter="guild/lora"), Ticks()
    loaded = load_model(ref, CPU, progress=progress)
    assert loaded.digest == hash_model(served / "models/guild/opt", served / "models/guild/lora")
    assert [phase.split(" (")[0] for phase in progress.phases[:2]] == [
        "downloading guild/opt",
        "downloading guild/lora",
    ]
    assert progress.ticks[-1][0] == progress.ticks[-1][1] > 0
    folder = fetch_model(ref)
    names = {path.name for path in folder.iterdir()}
    assert not {name for name in names if name.endswith((".py", ".bin"))}
    assert "README.md" in names
    # Once here, it loads without the hub.
    before = len(stand_in.requests)
    assert find_model(ref) == folder
    assert load_model(ref, CPU).digest == loaded.digest
    assert len(stand_in.requests) == before


def test_revisions_are_kept_apart(stand_in, served):
    new, old = (fetch_model(ModelRef(path="guild/opt", revision=name)) for name in (None, "old"))
    assert hash_model(new) == hash_model(served / "models/guild/opt")
    assert hash_model(old) == hash_model(served / "models/guild/opt@old")
    assert hub.pin("guild/opt", "old") == old.name == stand_in.commit("models", "guild/opt", "old")
    assert fetch_model(ModelRef(path="guild/opt", revision=old.name)) == old


def test_nothing_else_is_asked_for_and_no_token_strays(stand_in, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "good")
    load_model(ModelRef(path="guild/opt"), CPU)
    hub.data_files(Source(hub="guild/tales", config="sea"))[0].open().read()
    for method, path, headers in stand_in.requests:
        assert "guild/opt" in path or "guild/tales" in path, path
        assert not any(word in path for word in ("modeling_opt.py", "pytorch_model.bin")), path
        elsewhere = headers["host"].startswith("localhost")
        assert elsewhere == path.startswith("/large/")
        assert ("authorization" in headers) != elsewhere, (method, path)
        assert "session" not in headers.get("user-agent", "")
    files = [path for path in stand_in.paths() if "/large/" not in path and "tales/resolve" in path]
    assert not [path for path in files if "/hill/" in path]
    monkeypatch.delenv("HF_TOKEN")
    stand_in.requests.clear()
    hub.pin("guild/opt", None)
    assert "authorization" not in stand_in.requests[0][2]


def test_in_another_process_by_the_environment_alone(stand_in, served, tmp_path):
    code = (
        "import torch; from untrac_core.models import load_model; from untrac_core.specs import ModelRef, Source\n"
        "from untrac_core.hub import configs, data_files\n"
        "print(load_model(ModelRef(path='guild/opt', revision='old'), torch.device('cpu')).digest)\n"
        "print(configs('guild/tales'), data_files(Source(hub='guild/plain'))[0].size)\n"
        "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_XET)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=stand_in.environment(tmp_path / "other"), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    size = (served / "datasets/guild/plain/train.jsonl").stat().st_size
    digest = hash_model(served / "models/guild/opt@old")
    assert ended.stdout.splitlines() == [digest, f"['sea', 'hill'] {size}", "True True"]


def test_a_page_can_ask_without_torch(stand_in, tmp_path):
    code = (
        "import sys; from untrac_core.hub import configs, splits, data_files, model_card\n"
        "from untrac_core.model_files import inspect_ref; from untrac_core.specs import ModelRef\n"
        "inspect_ref(ModelRef(path='guild/opt', adapter='guild/lora')); print(splits('guild/tales', 'sea'))\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'streamlit') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=stand_in.environment(tmp_path / "other"), capture_output=True, text=True
    )
    assert ended.stdout.splitlines() == ["['train', 'test']", "[]"], ended.stderr


def test_a_tick_stops_a_download_and_the_next_goes_on_there(stand_in, served, tmp_path):
    original = served / "datasets/guild/plain/train.jsonl"
    stand_in.pause, stand_in.piece = 0.05, 2**17
    with pytest.raises(Cancelled):
        hub.data_files(Source(hub="guild/plain"), Ticks(stop_at=2**19))[0].open()
    parts = list((tmp_path / "cache/hub").rglob("*.part"))
    assert len(parts) == 1
    here = parts[0].stat().st_size
    assert 2**19 <= here < original.stat().st_size
    stand_in.pause = 0.0
    stand_in.requests.clear()
    with hub.data_files(Source(hub="guild/plain"))[0].open() as file:
        assert file.read() == original.read_bytes()
    assert f"bytes={here}-" in [headers.get("range") for _, path, headers in stand_in.requests if "/large/" in path]
    assert not list((tmp_path / "cache/hub").rglob("*.part"))


def test_a_model_download_can_be_stopped_and_taken_up(stand_in, served):
    ref = ModelRef(path="guild/opt")
    with pytest.raises(Cancelled):
        fetch_model(ref, Ticks(stop_at=100_000))
    assert find_model(ref) is None  # a part of a model is no model
    assert hash_model(fetch_model(ref)) == hash_model(served / "models/guild/opt")


def test_a_broken_download_goes_on_by_itself(stand_in, served, monkeypatch):
    monkeypatch.setattr(hub_transfer.time, "sleep", lambda _: None)
    stand_in.cut_after, stand_in.cuts = 700_000, 2
    with hub.data_files(Source(hub="guild/plain"))[0].open() as file:
        assert file.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()
    assert stand_in.cuts == 0


def test_a_download_that_breaks_again_and_again_is_one_line(stand_in, monkeypatch):
    monkeypatch.setattr(hub_transfer, "RETRIES", 1)
    stand_in.cut_after, stand_in.cuts = 0, 10**6
    with pytest.raises(InputError, match="broke off") as caught:
        hub.data_files(Source(hub="guild/plain"))[0].open()
    one_line(caught)
    with pytest.raises(InputError, match="broke off") as caught:
        fetch_model(ModelRef(path="guild/opt"))
    one_line(caught)


def test_damaged_bytes_are_not_kept(stand_in, served, tmp_path):
    stand_in.damaged = True
    with pytest.raises(InputError, match=r"train\.jsonl of 'guild/plain' came damaged") as caught:
        hub.data_files(Source(hub="guild/plain"))[0].open()
    one_line(caught)
    assert not list((tmp_path / "cache/hub").rglob("*.part"))
    stand_in.damaged = False
    with hub.data_files(Source(hub="guild/plain"))[0].open() as file:
        assert file.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()


def _offline(server, monkeypatch):
    import datasets

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def _gone(server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")


def _silent(server, monkeypatch):
    for module in (hub_repos, hub_transfer):
        monkeypatch.setattr(module, "TIMEOUT", 0.5)
    server.silent = "guild"


def _full(server, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=hub_repos.SPARE + 10))


FAULTS = {
    "offline": (_offline, "could not be reached for 'guild/"),
    "gone": (_gone, "could not be reached for 'guild/"),
    "silent": (_silent, "stopped answering for 'guild/"),
    "gated": (lambda server, _: server.gated.update({"guild/opt", "guild/plain"}), "is gated"),
    "private": (lambda server, _: server.private.update({"guild/opt", "guild/plain"}), "set HF_TOKEN if it is private"),
    "busy": (lambda server, _: setattr(server, "status", 429), "asks to wait"),
    "broken": (lambda server, _: setattr(server, "status", 503), "answered 503"),
    "forbidden": (lambda server, _: setattr(server, "status", 403), "does not let you read"),
    "full": (_full, "of disk"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_the_hub_is_one_line(stand_in, monkeypatch, fault):
    spoil, says = FAULTS[fault]
    spoil(stand_in, monkeypatch)
    started = time.monotonic()
    for ask in (
        lambda: fetch_model(ModelRef(path="guild/opt")),
        lambda: hub.data_files(Source(hub="guild/plain"))[0].open(),
    ):
        with pytest.raises(InputError) as caught:
            ask()
        assert says in one_line(caught)
    assert time.monotonic() - started < 30


WRONG = {
    "id": ({"path": "guild/nothing"}, "the hub has no model 'guild/nothing'"),
    "revision": ({"path": "guild/opt", "revision": "never"}, "has no revision 'never'"),
    "commit": ({"path": "guild/opt", "revision": "0" * 40}, "has no revision"),
    "form": ({"path": "guild/opt/x"}, "neither a folder nor a hub id"),
    "climbing": ({"path": "guild/opt", "revision": "../../main"}, "is not a revision"),
    "pickles": ({"path": "guild/pickled"}, "weights are pickle files"),
    "code": ({"path": "guild/coded"}, "'auto_map'"),
    "adapter as model": ({"path": "guild/lora"}, "has no config.json"),
    "adapter's revision": ({"path": "guild/opt", "adapter": "guild/lora", "adapter_revision": "never"}, "no revision"),
    "model as adapter": ({"path": "guild/opt", "adapter": "guild/pickled"}, "no adapter_config.json"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_model_is_said_before_its_weights_come(stand_in, wrong):
    values, says = WRONG[wrong]
    for ask in (inspect_ref, lambda ref: load_model(ref, CPU)):
        with pytest.raises(InputError) as caught:
            ask(ModelRef(**values))
        assert says in one_line(caught)
    if wrong not in ("adapter's revision", "model as adapter"):  # there, the model itself is sound
        assert not [path for path in stand_in.paths() if "/large/" in path]


def test_gated_and_private_open_with_the_token(stand_in, monkeypatch):
    stand_in.gated, stand_in.private = {"guild/opt", "guild/tales"}, {"guild/plain"}
    monkeypatch.setenv("HF_TOKEN", "good")
    assert hub.model_card("guild/opt").gated
    assert hub.splits("guild/tales", "hill") == ["train", "test"]
    assert len(hub.data_files(Source(hub="guild/plain", split="test"))[0].open().read()) == 34


def test_configs_splits_and_files(stand_in, served):
    assert hub.configs("guild/tales") == ["sea", "hill"]
    assert hub.splits("guild/tales", "sea") == ["train", "test"]
    assert hub.configs("guild/plain") == ["default"]
    assert hub.splits("guild/plain") == ["train", "test"]
    [file] = hub.data_files(Source(hub="guild/tales", config="hill", split="test"))
    path = served / "datasets/guild/tales" / file.name
    assert file.name == "hill/test-00000-of-00001.parquet"
    assert file.size == path.stat().st_size
    assert file.identity == f"guild/tales@{stand_in.commit('datasets', 'guild/tales')}/{file.name}"
    with file.open() as data:
        table = pyarrow.parquet.read_table(data)
    assert table["text"][3].as_py() == "hill test 3"
    # A commit's listing never changes, so it is asked for once.
    before = len(stand_in.requests)
    assert hub.data_files(Source(hub="guild/tales", config="hill", split="test", revision=file.sha)) == [file]
    assert len(stand_in.requests) == before


def test_large_files_are_read_in_parts_and_not_kept(stand_in, served, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_data, "WHOLE", 0)
    monkeypatch.setattr(hub_data, "BLOCK", 100_000)
    original = (served / "datasets/guild/plain/train.jsonl").read_bytes()
    progress = Ticks()
    [file] = hub.data_files(Source(hub="guild/plain"), progress)
    stand_in.requests.clear()
    with file.open() as data:
        assert data.readline() == original.split(b"\n", 1)[0] + b"\n"
        assert len([path for path in stand_in.paths() if "/large/" in path]) == 1
        draw = random.Random(1)
        for _ in range(50):
            at, size = draw.randrange(len(original)), draw.randrange(1, 150_000)
            data.seek(at)
            assert data.read(size) == original[at : at + size]
        assert data.seek(-10, io.SEEK_END) == len(original) - 10
        assert data.read() == original[-10:]
        data.seek(0)
        assert data.read() == original
    assert progress.ticks[-1] == (len(original), len(original))
    assert all(done <= total for done, total in progress.ticks)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size > 10**5]
    [file] = hub.data_files(Source(hub="guild/tales", config="sea"))
    assert pyarrow.parquet.ParquetFile(file.open()).read_row_group(4, ["text"])["text"][0].as_py() == "sea train 400"
    with pytest.raises(Cancelled):
        pyarrow.parquet.read_table(hub.data_files(Source(hub="guild/tales", config="sea"), Ticks(stop_at=1))[0].open())


def test_a_break_within_a_part_is_mended(stand_in, served, monkeypatch):
    monkeypatch.setattr(hub_data, "WHOLE", 0)
    monkeypatch.setattr(hub_transfer.time, "sleep", lambda _: None)
    stand_in.cut_after, stand_in.cuts = 100_000, 2
    with hub.data_files(Source(hub="guild/plain"))[0].open() as data:
        assert data.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()
    stand_in.cut_after, stand_in.cuts = 0, 100
    with hub.data_files(Source(hub="guild/plain"))[0].open() as data, pytest.raises(InputError, match="broke off"):
        data.read()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hub": "guild/tales"}, "several configs and none is named. They are 'sea', 'hill'"),
        ({"hub": "guild/tales", "config": "lake"}, "no config 'lake'. Its configs are 'sea', 'hill'"),
        ({"hub": "guild/tales", "config": "sea", "split": "dev"}, "no split 'dev'. Its splits are 'train', 'test'"),
        ({"hub": "guild/plain", "revision": "never"}, "has no revision 'never'"),
        ({"hub": "guild/none"}, "the hub has no data set 'guild/none'"),
        ({"hub": "../none"}, "is not a hub id"),
        ({"hub": "json"}, "'json' is a format"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said(stand_in, values, says):
    with pytest.raises(InputError) as caught:
        hub.data_files(Source(**values))
    assert says in one_line(caught)


@pytest.mark.parametrize(
    "place",
    ["https://elsewhere.invalid/x.csv", "/etc/passwd", "../../x.csv", "hf://datasets/other/x/y.csv", "zip://a::b.zip"],
)
def test_a_card_that_points_elsewhere_is_refused(stand_in, tmp_path, place):
    stand_in.root = tmp_path / "served"
    folder = stand_in.root / "datasets/guild/strays"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("text\nnet\n")
    (folder / "README.md").write_text(
        CARD.format(f"- config_name: a\n  data_files:\n  - split: train\n    path: {place}\n")
    )
    with pytest.raises(InputError, match="points to data elsewhere"):
        hub.data_files(Source(hub="guild/strays"))
    assert all("guild/strays" in path for path in stand_in.paths())


def test_a_script_is_refused_and_not_fetched(stand_in, tmp_path):
    stand_in.root = tmp_path / "served"
    folder = stand_in.root / "datasets/guild/script"
    folder.mkdir(parents=True)
    (folder / "script.py").write_text("raise SystemExit('this must never run')\n")
    (folder / "train.csv").write_text("text\nnet\n")
    with pytest.raises(InputError, match=r"it is a script \(script\.py\)"):
        hub.configs("guild/script")
    assert not [path for path in stand_in.paths() if path.endswith(".py")]


def test_a_data_set_without_data_is_one_line(stand_in, tmp_path):
    stand_in.root = tmp_path / "served"
    folder = stand_in.root / "datasets/guild/empty"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# nothing\n")
    with pytest.raises(InputError) as caught:
        hub.data_files(Source(hub="guild/empty"))
    assert "no data files" in one_line(caught)


def test_a_local_folder_does_not_pass_for_a_data_set_on_the_hub(stand_in, tmp_path, monkeypatch):
    (tmp_path / "guild/plain").mkdir(parents=True)
    (tmp_path / "guild/plain/train.csv").write_text("text\nlocal\n")
    monkeypatch.chdir(tmp_path)
    assert [file.name for file in hub.data_files(Source(hub="guild/plain"))] == ["train.jsonl"]


def test_offline_what_is_here_is_used(stand_in, monkeypatch):
    [file] = hub.data_files(Source(hub="guild/plain", split="test"))
    text = file.open().read()
    _offline(stand_in, monkeypatch)
    [again] = hub.data_files(Source(hub="guild/plain", split="test", revision=file.sha))
    assert again.open().read() == text
    assert not os.environ.get("HF_TOKEN")


def test_offline_a_revision_is_what_it_was_when_it_was_pinned(stand_in, served, monkeypatch):
    """A run fetches by commit, so nothing but the pin itself says which commit the name was."""
    model = hub_repos.pin("guild/opt", None)
    tagged = hub_repos.pin("guild/opt", "old")
    fetch_model(ModelRef(path="guild/opt", revision=model))
    sha = hub_data.pin("guild/plain", None)
    assert (model, tagged, sha) == (
        stand_in.commit("models", "guild/opt"),
        stand_in.commit("models", "guild/opt", "old"),
        stand_in.commit("datasets", "guild/plain"),
    )
    _offline(stand_in, monkeypatch)
    assert hub_repos.pin("guild/opt", None) == model
    assert hub_repos.pin("guild/opt", "old") == tagged
    assert hub_data.pin("guild/plain", None) == sha
    assert find_model(ModelRef(path="guild/opt", revision=hub_repos.pin("guild/opt", None))) is not None


def test_an_answer_without_a_commit_is_not_kept(stand_in, monkeypatch):
    monkeypatch.setattr("hub.commit", lambda folder: "main")
    with pytest.raises(InputError, match="incomplete"):
        hub_repos.pin("guild/opt", None)
    assert hub_repos.known_commit("guild/opt", None) is None


def test_a_scorer_is_pinned_too(stand_in):
    listed = GenerateSpec(model=ModelRef(path="demo"), texts=["a"], scorer=Scorer(lexicon=Source(hub="guild/plain")))
    judged = listed.model_copy(update={"scorer": Scorer(classifier=ModelRef(path="guild/opt"))})
    assert expand(listed).scorer.lexicon.revision == stand_in.commit("datasets", "guild/plain")
    assert expand(judged).scorer.classifier.revision == stand_in.commit("models", "guild/opt")
    assert expand(expand(judged)) == expand(judged)
    plain = listed.model_copy(update={"scorer": Scorer(lexicon=LEXICON)})
    assert expand(plain) == plain


ALIASES = "- &a0 [x, x]\n" + "".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 15))
MERGED = "- &a0 {x: x}\n" + "".join(f"- &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 9))


@pytest.mark.parametrize("values", [ALIASES, MERGED, "- &a [x, *a]\n"])
def test_a_card_that_grows_by_its_aliases_is_refused(stand_in, tmp_path, values):
    stand_in.root = tmp_path / "served"
    folder = stand_in.root / "datasets/guild/laughs"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("text\nnet\n")
    (folder / "README.md").write_text(CARD.format(values))
    before = time.monotonic()
    with pytest.raises(InputError, match="its card is too large"):
        hub.data_files(Source(hub="guild/laughs"))
    assert time.monotonic() - before < 10


def test_a_card_may_use_aliases(stand_in, tmp_path):
    stand_in.root = tmp_path / "served"
    folder = stand_in.root / "datasets/guild/twice"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("text\nnet\n")
    files = "  data_files: {}train.csv\n"
    card = "- config_name: a\n" + files.format("&f ") + "- config_name: b\n  data_files: *f\n"
    (folder / "README.md").write_text(CARD.format(card))
    assert hub.configs("guild/twice") == ["a", "b"]


def test_two_at_once_bring_a_file_once(stand_in, served, tmp_path):
    stand_in.pause = 0.02
    code = (
        "from untrac_core.hub import data_files; from untrac_core.specs import Source; import hashlib\n"
        "print(hashlib.sha256(data_files(Source(hub='guild/plain'))[0].open().read()).hexdigest())"
    )
    environment = stand_in.environment(tmp_path / "other")
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate(timeout=60)[0] for process in started}
    data = (served / "datasets/guild/plain/train.jsonl").read_bytes()
    assert answers == {hashlib.sha256(data).hexdigest() + "\n"}
    assert len([path for path in stand_in.paths() if "/large/" in path]) == 1
