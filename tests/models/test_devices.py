import subprocess

import psutil
import pytest

from untrac_core.errors import InputError
from untrac_core.models.devices import _listing, device_info, devices, parse_cuda

LISTING = "0, GPU-aa, Type A, 81559\n1, GPU-bb, Type B, 24576\n2, GPU-cc, Type C, [N/A]\nodd line\n"


def test_the_cpu_is_always_there():
    first = devices()[0]
    assert (first.name, first.kind) == ("cpu", "cpu")
    assert 0 < first.memory_mb <= psutil.virtual_memory().total / 2**20
    assert device_info("cpu").memory_mb == first.memory_mb


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "max").write_text("1073741824\n")
    monkeypatch.setattr("untrac_core.models.devices.LIMITS", (str(tmp_path / "none"), str(tmp_path / "max")))
    assert devices()[0].memory_mb == 1024
    (tmp_path / "max").write_text("max\n")
    assert devices()[0].memory_mb > 1024


def test_auto_is_the_first_cuda_device_where_there_is_one(monkeypatch):
    assert device_info("auto") == next((d for d in devices() if d.name == "cuda:0"), device_info("auto"))
    monkeypatch.setattr("untrac_core.models.devices._cuda", lambda: parse_cuda(LISTING, None))
    assert device_info("auto").label == device_info("cuda").label == "Type A"
    assert device_info("cuda:1").memory_mb == 24576
    with pytest.raises(InputError, match="no device 'cuda:7'"):
        device_info("cuda:7")


def test_visible_devices_are_numbered_as_torch_numbers_them():
    assert [(d.name, d.label) for d in parse_cuda(LISTING, None)][:2] == [("cuda:0", "Type A"), ("cuda:1", "Type B")]
    assert [(d.name, d.label) for d in parse_cuda(LISTING, "1,0")] == [("cuda:0", "Type B"), ("cuda:1", "Type A")]
    assert [d.label for d in parse_cuda(LISTING, "GPU-bb,9,0")] == ["Type B"]
    assert parse_cuda(LISTING, "") == parse_cuda("", None) == []
    assert parse_cuda(LISTING, "2")[0].memory_mb == devices()[0].memory_mb  # shared with the CPU


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A driver's tool that answers what the file ``says`` holds, and notes in ``asked`` that it was started."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho \"$1\" >> '{tmp_path}/asked'\nexec cat '{tmp_path}/says'\n")
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("untrac_core.models.devices._torch_knows_cuda", lambda: True)
    _listing.cache_clear()
    yield tmp_path
    _listing.cache_clear()


def test_the_driver_is_asked_once_and_again_only_after_a_failure(driver, monkeypatch):
    asked = driver / "asked"
    assert device_info("cpu").name == "cpu"
    assert not asked.exists()
    assert [device.name for device in devices()] == ["cpu"]  # the tool fails
    with pytest.raises(subprocess.CalledProcessError):
        _listing()
    (driver / "says").write_text(LISTING)
    for _ in range(3):
        assert [device.name for device in devices()] == ["cpu", "cuda:0", "cuda:1", "cuda:2"]
    assert asked.read_text().splitlines() == ["--query-gpu=index,uuid,name,memory.total"] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [device.label for device in devices()[1:]] == ["Type B"]
