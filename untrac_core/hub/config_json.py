"""The small JSON files of a model, read with a limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError

CONFIG_BYTES = 10_000_000


def _read_json(path: Path, where: str, most: int = CONFIG_BYTES) -> dict[str, Any]:
    try:
        if path.stat().st_size > most:
            raise InputError(f"{path.name} is over {most // 10**6} MB", field=where, hint=MEND)
        data = path.read_bytes()
    except OSError:
        raise InputError(f"{path.name} cannot be read", field=where, hint="check the file and its rights") from None
    return parse_json(data, path.name, where)


def _optional_json(path: Path, most: int = CONFIG_BYTES) -> dict[str, Any] | None:
    return _read_json(path, f"{path.parent.name}", most) if path.is_file() else None


def parse_json(data: bytes, name: str, where: str) -> dict[str, Any]:
    """A JSON object of one of the model's small files."""
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{name} is malformed", field=where, hint=MEND) from None
    if not isinstance(value, dict):
        raise InputError(f"{name} is not an object", field=where, hint=MEND)
    return value


MEND = "save the model again"
