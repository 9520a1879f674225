"""Downloads: stopped and taken up, broken off, damaged, gated, offline; each fault of the hub is one line."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers.asking import Ticks, go_offline, one_line
from tests.helpers.homes import PATIENCE
from untrac_core.errors import Cancelled, InputError
from untrac_core.hub import datasets, download, models, repos
from untrac_core.hub.locate import fetch_model, find_model, hash_model
from untrac_core.specs import ModelRef, Source


def test_a_tick_stops_a_download_and_the_next_goes_on_there(stand_in, served, tmp_path):
    original = served / "datasets/guild/plain/train.jsonl"
    stand_in.pause, stand_in.piece = 0.05, 2**17
    with pytest.raises(Cancelled):
        datasets.data_files(Source(hub="guild/plain"), Ticks(stop_at=2**19))[0].open()
    parts = list((tmp_path / "cache/hub").rglob("*.part"))
    assert len(parts) == 1
    here = parts[0].stat().st_size
    assert 2**19 <= here < original.stat().st_size
    stand_in.pause = 0.0
    stand_in.requests.clear()
    with datasets.data_files(Source(hub="guild/plain"))[0].open() as file:
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
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    stand_in.cut_after, stand_in.cuts = 700_000, 2
    with datasets.data_files(Source(hub="guild/plain"))[0].open() as file:
        assert file.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()
    assert stand_in.cuts == 0


def test_a_download_that_breaks_again_and_again_is_one_line(stand_in, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    stand_in.cut_after, stand_in.cuts = 0, 10**6
    with pytest.raises(InputError, match="broke off") as caught:
        datasets.data_files(Source(hub="guild/plain"))[0].open()
    one_line(caught)
    with pytest.raises(InputError, match="broke off") as caught:
        fetch_model(ModelRef(path="guild/opt"))
    one_line(caught)


def test_a_break_within_a_part_is_mended(stand_in, served, monkeypatch):
    monkeypatch.setattr(datasets, "WHOLE", 0)
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    stand_in.cut_after, stand_in.cuts = 100_000, 2
    with datasets.data_files(Source(hub="guild/plain"))[0].open() as data:
        assert data.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()
    stand_in.cut_after, stand_in.cuts = 0, 100
    with datasets.data_files(Source(hub="guild/plain"))[0].open() as data, pytest.raises(InputError, match="broke off"):
        data.read()


@pytest.mark.parametrize("cuts", [0, 1])
def test_a_file_that_comes_longer_than_was_said_is_damaged(stand_in, tmp_path, monkeypatch, cuts):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    stand_in.surplus, stand_in.cut_after, stand_in.cuts = 10, 700_000, cuts
    with pytest.raises(InputError, match=r"train\.jsonl of 'guild/plain' came damaged") as caught:
        datasets.data_files(Source(hub="guild/plain"))[0].open()
    one_line(caught)
    assert len([path for path in stand_in.paths() if "/large/" in path]) == download.RETRIES + 1 + cuts
    assert not list((tmp_path / "cache/hub").rglob("*.part"))
    stand_in.surplus = 0
    assert datasets.data_files(Source(hub="guild/plain"))[0].open().read(1) == b"{"


def test_an_address_that_runs_out_is_asked_for_again(stand_in, served, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    stand_in.once, stand_in.cut_after, stand_in.cuts = True, 700_000, 3
    with datasets.data_files(Source(hub="guild/plain"))[0].open() as file:
        assert file.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()
    assert stand_in.cuts == 0


def test_an_address_that_is_refused_again_is_one_line(stand_in, monkeypatch):
    monkeypatch.setattr("tests.helpers.hub_stand_in._Handler._body", lambda self, *_: self._send(403, b""))
    with pytest.raises(InputError, match="does not let you read") as caught:
        datasets.data_files(Source(hub="guild/plain"))[0].open()
    one_line(caught)
    assert len([path for path in stand_in.paths() if "/large/" in path]) == 2


def test_damaged_bytes_are_not_kept(stand_in, served, tmp_path):
    stand_in.damaged = True
    with pytest.raises(InputError, match=r"train\.jsonl of 'guild/plain' came damaged") as caught:
        datasets.data_files(Source(hub="guild/plain"))[0].open()
    one_line(caught)
    assert not list((tmp_path / "cache/hub").rglob("*.part"))
    stand_in.damaged = False
    with datasets.data_files(Source(hub="guild/plain"))[0].open() as file:
        assert file.read() == (served / "datasets/guild/plain/train.jsonl").read_bytes()


def test_two_at_once_bring_a_file_once(stand_in, served, tmp_path):
    stand_in.pause = 0.02
    code = (
        "from untrac_core.hub.datasets import data_files; from untrac_core.specs import Source; import hashlib\n"
        "print(hashlib.sha256(data_files(Source(hub='guild/plain'))[0].open().read()).hexdigest())"
    )
    environment = stand_in.environment(tmp_path / "other")
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate(timeout=PATIENCE)[0] for process in started}
    data = (served / "datasets/guild/plain/train.jsonl").read_bytes()
    assert answers == {hashlib.sha256(data).hexdigest() + "\n"}
    assert len([path for path in stand_in.paths() if "/large/" in path]) == 1


def _gone(server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")


def _silent(server, monkeypatch):
    for module in (repos, download):
        monkeypatch.setattr(module, "TIMEOUT", 0.5)
    server.silent = "guild"


def _full(server, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=repos.SPARE + 10))


FAULTS = {
    "offline": (go_offline, "could not be reached for 'guild/"),
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
    for ask in (
        lambda: fetch_model(ModelRef(path="guild/opt")),
        lambda: datasets.data_files(Source(hub="guild/plain"))[0].open(),
    ):
        with pytest.raises(InputError) as caught:
            ask()
        assert says in one_line(caught)
    assert not stand_in.outwaited


def test_gated_and_private_open_with_the_token(stand_in, monkeypatch):
    stand_in.gated, stand_in.private = {"guild/opt", "guild/tales"}, {"guild/plain"}
    monkeypatch.setenv("HF_TOKEN", "good")
    assert models.model_card("guild/opt").gated
    assert datasets.splits("guild/tales", "hill") == ["train", "test"]
    assert len(datasets.data_files(Source(hub="guild/plain", split="test"))[0].open().read()) == 34


def test_offline_what_is_here_is_used(stand_in, monkeypatch):
    [file] = datasets.data_files(Source(hub="guild/plain", split="test"))
    text = file.open().read()
    go_offline(stand_in, monkeypatch)
    [again] = datasets.data_files(Source(hub="guild/plain", split="test", revision=file.sha))
    assert again.open().read() == text
    assert not os.environ.get("HF_TOKEN")


def test_offline_a_revision_is_what_it_was_when_it_was_pinned(stand_in, served, monkeypatch):
    """A run fetches by commit, so nothing but the pin itself says which commit the name was."""
    model = repos.pin("guild/opt", None)
    tagged = repos.pin("guild/opt", "old")
    fetch_model(ModelRef(path="guild/opt", revision=model))
    sha = datasets.pin("guild/plain", None)
    assert (model, tagged, sha) == (
        stand_in.commit("models", "guild/opt"),
        stand_in.commit("models", "guild/opt", "old"),
        stand_in.commit("datasets", "guild/plain"),
    )
    go_offline(stand_in, monkeypatch)
    assert repos.pin("guild/opt", None) == model
    assert repos.pin("guild/opt", "old") == tagged
    assert datasets.pin("guild/plain", None) == sha
    assert find_model(ModelRef(path="guild/opt", revision=repos.pin("guild/opt", None))) is not None


def test_an_answer_without_a_commit_is_not_kept(stand_in, monkeypatch):
    monkeypatch.setattr("tests.helpers.hub_stand_in.commit", lambda folder: "main")
    with pytest.raises(InputError, match="incomplete"):
        repos.pin("guild/opt", None)
    assert repos.known_commit("guild/opt", None) is None
