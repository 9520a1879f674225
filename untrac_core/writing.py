"""Writes small files whole or not at all; light, so that anything may import it."""

from __future__ import annotations

import os
from pathlib import Path


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
