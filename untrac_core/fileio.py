"""Writes small files whole or not at all, and makes values fit for JSON; light, so that anything may import it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any


def write_bytes(data: bytes, path: Path, mode: int | None = None) -> None:
    """Write a file so that it is there whole or not at all, also after a crash; ``mode``: who may do what with it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            if mode is not None:
                partial.chmod(mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """The value as JSON can hold it: null for what is not a finite number, numpy's single numbers as Python's."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if type(value).__module__ == "numpy":
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
