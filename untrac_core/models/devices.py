"""The devices of this machine and their memory, told without torch."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from untrac_core.errors import InputError

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container says how much memory it may have."""
MB = 2**20


@dataclass(frozen=True)
class DeviceInfo:
    """A device that a run can name: ``cpu``, ``cuda:0`` ...; all of its memory in MB (2^20 bytes)."""

    name: str
    label: str
    memory_mb: float

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.name.split(":")[0]


def devices() -> list[DeviceInfo]:
    """The devices that torch would find, the CPU first."""
    return [_cpu(), *_cuda()]


def device_info(name: str) -> DeviceInfo:
    """The device that a spec's ``device`` means: ``auto`` is CUDA where there is one, else the CPU.

    A device that is not here is an :class:`InputError`.
    """
    if name == "cpu":
        return _cpu()
    found = devices()
    if name == "auto":
        return found[1] if len(found) > 1 else found[0]
    wanted = "cuda:0" if name == "cuda" else name
    for device in found:
        if device.name == wanted:
            return device
    raise InputError(f"there is no device {name!r} on this machine", field="device", hint="write 'device: auto'")


def _cpu() -> DeviceInfo:
    total = float(psutil.virtual_memory().total)
    for path in LIMITS:
        try:
            limit = float(Path(path).read_text(encoding="ascii"))
        except (OSError, ValueError):  # absent, or the word 'max'
            continue
        total = min(total, limit)
    return DeviceInfo("cpu", f"CPU, {os.cpu_count() or 1} cores", total / MB)


def _cuda() -> list[DeviceInfo]:
    """NVIDIA devices as their driver's own tool lists them, numbered as torch numbers those that are visible."""
    if shutil.which("nvidia-smi") is None or not _torch_knows_cuda():
        return []
    try:
        return parse_cuda(_listing(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    except (OSError, subprocess.SubprocessError):
        return []


@cache
def _listing() -> str:
    """What nvidia-smi says, asked once, as pages look at every rerun; a failure is raised, and so asked about again."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def parse_cuda(listing: str, visible: str | None) -> list[DeviceInfo]:
    """Devices from nvidia-smi's csv lines (index, uuid, name, total memory).

    ``visible``: CUDA_VISIBLE_DEVICES, where it is set: only those, in its order.
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines() if line.count(",") == 3]
    by_key = {key: row for row in rows for key in (row[0], row[1])}
    if visible is not None:
        chosen = []
        for key in visible.split(","):
            row = by_key.get(key.strip())
            if row is None:  # as CUDA does: what follows an unknown device is not visible
                break
            chosen.append(row)
        rows = chosen
    found = []
    for index, (_, _, name, total) in enumerate(rows):
        try:
            memory_mb = float(total)
        except ValueError:  # '[N/A]': memory shared with the CPU
            memory_mb = _cpu().memory_mb
        found.append(DeviceInfo(f"cuda:{index}", name, memory_mb))
    return found


def _torch_knows_cuda() -> bool:
    """Whether the installed torch is a build for CUDA."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def torch_threads() -> int:
    """The threads that torch computes with in this process."""
    import torch

    return torch.get_num_threads()


def peak_begins() -> None:
    """Begin to count the most memory anew, where the system can: on Linux, and on CUDA."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def peak_so_far_mb() -> float:
    """The most memory held since :func:`peak_begins`, in MB (2^20 bytes): of the device, else of this process."""
    if "torch" in sys.modules:
        import torch

        if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
            return torch.cuda.max_memory_allocated() / MB
    return own_peak_mb()


def own_peak_mb() -> float:
    """The most main memory that this process has held, in 2^20 bytes."""
    import resource

    try:  # On Linux, ru_maxrss also counts the memory of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def peak_memory_mb() -> float:
    """The most memory that this process has held, in MB; on CUDA, the device's memory."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return torch.cuda.max_memory_allocated() / 2**20
    return own_peak_mb()
