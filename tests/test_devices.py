import psutil
import pytest

from untrac_core.devices import device_facts, devices, parse_cuda
from untrac_core.errors import InputError

LISTING = "0, GPU-aa, Type A, 81559, 80000\n1, GPU-bb, Type B, 24576, 1000\n2, GPU-cc, Type C, [N/A], [N/A]\nodd line\n"


def test_the_cpu_is_always_there():
    first = devices()[0]
    assert (first.name, first.kind) == ("cpu", "cpu")
    assert 0 < first.free_mb <= first.memory_mb <= psutil.virtual_memory().total / 2**20
    assert device_facts("cpu").memory_mb == first.memory_mb


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "max").write_text("1073741824\n")
    monkeypatch.setattr("untrac_core.devices.LIMITS", (str(tmp_path / "none"), str(tmp_path / "max")))
    assert devices()[0].memory_mb == 1024
    (tmp_path / "max").write_text("max\n")
    assert devices()[0].memory_mb > 1024


def test_auto_is_the_first_cuda_device_where_there_is_one(monkeypatch):
    assert device_facts("auto") == next((d for d in devices() if d.name == "cuda:0"), device_facts("auto"))
    monkeypatch.setattr("untrac_core.devices._cuda", lambda: parse_cuda(LISTING, None))
    assert device_facts("auto").label == device_facts("cuda").label == "Type A"
    assert device_facts("cuda:1").free_mb == 1000
    with pytest.raises(InputError, match="no device 'cuda:7'"):
        device_facts("cuda:7")


def test_visible_devices_are_numbered_as_torch_numbers_them():
    assert [(d.name, d.label) for d in parse_cuda(LISTING, None)][:2] == [("cuda:0", "Type A"), ("cuda:1", "Type B")]
    assert [(d.name, d.label) for d in parse_cuda(LISTING, "1,0")] == [("cuda:0", "Type B"), ("cuda:1", "Type A")]
    assert [d.label for d in parse_cuda(LISTING, "GPU-bb,9,0")] == ["Type B"]
    assert parse_cuda(LISTING, "") == parse_cuda("", None) == []
    assert parse_cuda(LISTING, "2")[0].memory_mb == devices()[0].memory_mb  # shared with the CPU
