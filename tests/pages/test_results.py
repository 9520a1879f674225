"""Results are read once for all pages, each as what its kind is."""

import os
import shutil
from dataclasses import replace

import pytest

from pages.components.layout import results
from pages.components.layout.results import cached_result, drawn_once
from untrac_core.engine import DEMO_RUN
from untrac_core.errors import InputError
from untrac_core.results.folders import TraceFiles


@pytest.fixture
def run(store, tmp_path):
    """The demo's run, with files of its own."""
    store.install_demo()
    found = store.run(DEMO_RUN)
    return replace(found, folder=shutil.copytree(found.folder, tmp_path / "copy"))


def test_a_result_is_read_again_only_when_its_summary_has_changed(run):
    first = cached_result(run)
    assert isinstance(first, TraceFiles)
    assert cached_result(run) is first
    os.utime(run.folder / "summary.json", (1, 1))
    assert cached_result(run) is not first


def test_a_damaged_result_is_told_each_time_and_read_once_it_is_mended(run):
    summary = run.folder / "summary.json"
    whole = summary.read_bytes()
    summary.write_bytes(b"{")
    for _ in range(2):
        with pytest.raises(InputError, match="a file is damaged"):
            cached_result(run)
    summary.write_bytes(whole)
    assert isinstance(cached_result(run), TraceFiles)
    shutil.rmtree(run.folder)
    with pytest.raises(OSError, match=r"summary\.json"):
        cached_result(run)


def test_each_kind_is_read_as_what_it_is(run, monkeypatch):
    asked = []
    monkeypatch.setattr(results, "load_finished", lambda kind, folder: asked.append((kind, folder)) or kind)
    kinds = ["trace", "validate", "verify", "unlearn"]
    for _ in range(2):
        assert [cached_result(replace(run, kind=kind)) for kind in kinds] == kinds
    assert asked == [(kind, run.folder) for kind in kinds]


def test_a_figure_is_drawn_once_for_all_that_it_depends_on(monkeypatch):
    looks = []
    monkeypatch.setattr(results, "is_dark", lambda: len(looks) > 1)
    for of in (("bars", "forum"), ("bars", "forum"), ("bars", "news"), ("bars", "news"), ("bars", "news")):
        drawn_once(lambda dark: looks.append(dark) or object(), "a test of its own", *of)
    assert looks == [False, False, True]
