"""Results to export: tables as CSV, summaries as JSON, a result folder as one .zip."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from untrac_core.results.folders import FILES

FORMULA = ("=", "+", "-", "@", "\t", "\r")
BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive, so that the same result gives the same bytes."""
DENSE = (".parquet", ".png")
"""Files that do not become smaller by packing."""


def guarded_csv(frame: pd.DataFrame) -> bytes:
    """CSV in which no text begins as a formula would, so that a spreadsheet does not run it."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]

    def guard(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value

    library_lock = frame.assign(**{name: frame[name].map(guard) for name in texts})
    text: str = library_lock.to_csv(index=False)
    return text.encode()


def pretty(values: dict[str, Any]) -> str:
    """A mapping as indented JSON."""
    return json.dumps(values, indent=2, ensure_ascii=False, default=str)


def zipped(folder: Path) -> bytes:
    """The files of a result as one .zip; the same files give the same bytes. Other files of the folder stay out."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(name for name in FILES if (folder / name).is_file()):
            entry = zipfile.ZipInfo(f"untrac-{file_part(folder.name)}/{name}", date_time=BEGINNING)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(DENSE) else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    return packed.getvalue()


def file_part(text: str, most: int = 40) -> str:
    """A user's word as a part of a file's name: letters, digits and hyphens; ``result`` where none is left."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:most].strip("-") or "result"
