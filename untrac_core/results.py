"""The files of a finished run: open formats that anyone can read without this project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from untrac_core.errors import InputError
from untrac_core.spec_files import load_spec
from untrac_core.specs import TraceSpec
from untrac_core.writing import write_bytes

SPEC, ENVIRONMENT, SUMMARY, LOG = "spec.yaml", "environment.json", "summary.json", "log.txt"
INFLUENCE, EXAMPLES, TRUTH, DOSES = "influence.parquet", "examples.parquet", "truth.parquet", "doses.csv"
COMPLETIONS = "completions.parquet"
FILES = (SPEC, ENVIRONMENT, INFLUENCE, EXAMPLES, COMPLETIONS, SUMMARY, LOG, TRUTH, DOSES)

INFLUENCE_COLUMNS = [
    "method", "subset", "prompt_set", "group", "side", "label", "seed", "step",
    "loss_before", "loss_after", "influence", "tokens", "examples", "dose",
]  # fmt: skip
RANKING_COLUMNS = ["prompt_set", "side", "group", "subset", "rank", "influence", "low", "high", "separable"]
EXAMPLE_COLUMNS = [
    "prompt_set", "side", "subset", "id", "reference", "text", "tokens", "loss_before", "influence", "low", "high",
]  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A result folder in memory. ``truth`` (leave-out retraining) and ``doses`` (planted) come with the demo."""

    folder: Path
    spec: TraceSpec
    summary: dict[str, Any]
    influence: pd.DataFrame
    examples: pd.DataFrame | None
    environment: dict[str, Any]
    truth: pd.DataFrame | None
    doses: pd.DataFrame | None

    def ranking(self, prompt_set: str, side: str) -> pd.DataFrame:
        """The ranked subsets of one side of a prompt set, most influential first; empty where it was refused."""
        rows = [row for row in self.summary["ranking"] if (row["prompt_set"], row["side"]) == (prompt_set, side)]
        return pd.DataFrame(rows, columns=RANKING_COLUMNS)


def write_json(value: Any, path: Path) -> None:
    """Write JSON that any reader takes: no NaN, UTF-8, a fixed order of keys."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes((text + "\n").encode(), path)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet; the same table gives the same bytes."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", version="2.6")
    write_bytes(sink.getvalue().to_pybytes(), path)


def read_frame(path: Path) -> pd.DataFrame:
    """Read a parquet table that this program wrote."""
    frame: pd.DataFrame = pq.read_table(path).to_pandas()
    return frame


def load_result(folder: Path) -> Result:
    """Read a result folder; :class:`InputError` where a file is missing or damaged."""
    where = f"result {folder.name!r}"
    for name in (SPEC, ENVIRONMENT, SUMMARY, INFLUENCE):
        if not (folder / name).is_file():
            raise InputError(f"{name} is missing", where=where, mend="run it again, or wait until it is done")
    try:
        spec = load_spec(folder / SPEC)
        if not isinstance(spec, TraceSpec):
            raise InputError("its spec is not a trace", where=where, mend="name the folder of a trace")
        return Result(
            folder=folder,
            spec=spec,
            summary=json.loads((folder / SUMMARY).read_text(encoding="utf-8")),
            influence=read_frame(folder / INFLUENCE),
            examples=read_frame(folder / EXAMPLES) if (folder / EXAMPLES).is_file() else None,
            environment=json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8")),
            truth=read_frame(folder / TRUTH) if (folder / TRUTH).is_file() else None,
            doses=pd.read_csv(folder / DOSES) if (folder / DOSES).is_file() else None,
        )
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"a file is damaged ({type(error).__name__})", where=where, mend="run it again") from None
