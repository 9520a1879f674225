"""The files of a finished run: open formats that anyone can read without this project."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from untrac_core.errors import InputError
from untrac_core.spec_files import load_spec
from untrac_core.specs import TraceSpec, ValidateSpec
from untrac_core.writing import write_bytes

SPEC, ENVIRONMENT, SUMMARY, LOG = "spec.yaml", "environment.json", "summary.json", "log.txt"
INFLUENCE, EXAMPLES, TRUTH, DOSES = "influence.parquet", "examples.parquet", "truth.parquet", "doses.csv"
COMPLETIONS, ESTIMATES = "completions.parquet", "estimates.parquet"
FILES = (SPEC, ENVIRONMENT, INFLUENCE, EXAMPLES, COMPLETIONS, ESTIMATES, SUMMARY, LOG, TRUTH, DOSES)

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
    """Of the method alone; the file has the baselines' rows too."""
    examples: pd.DataFrame | None
    environment: dict[str, Any]
    truth: pd.DataFrame | None
    doses: pd.DataFrame | None

    def ranking(self, prompt_set: str, side: str) -> pd.DataFrame:
        """The ranked subsets of one side of a prompt set, most influential first; empty where it was refused."""
        rows = [row for row in self.summary["ranking"] if (row["prompt_set"], row["side"]) == (prompt_set, side)]
        return pd.DataFrame(rows, columns=RANKING_COLUMNS)


@dataclass(frozen=True)
class Validation:
    """The folder of a ``validate`` run in memory.

    ``truth``: subset, prompt_set, side (also ``contrast``), seed, influence by retraining. ``estimates``: method,
    prompt_set, side, subset, influence, low, high.
    """

    folder: Path
    spec: ValidateSpec
    summary: dict[str, Any]
    truth: pd.DataFrame
    estimates: pd.DataFrame
    environment: dict[str, Any]


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


def _of_method(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame[frame["method"] == name].reset_index(drop=True)


def load_validation(folder: Path) -> Validation:
    """Read the folder of a ``validate`` run; :class:`InputError` where a file is missing or damaged."""
    where = _require(folder, (SPEC, ENVIRONMENT, SUMMARY, TRUTH, ESTIMATES))
    with _damage_named(where):
        spec = load_spec(folder / SPEC)
        if not isinstance(spec, ValidateSpec):
            raise InputError("its spec is not a validation", where=where, mend="name the folder of a validation")
        return Validation(
            folder=folder,
            spec=spec,
            summary=_json(folder / SUMMARY),
            truth=read_frame(folder / TRUTH),
            estimates=read_frame(folder / ESTIMATES),
            environment=_json(folder / ENVIRONMENT),
        )


def load_result(folder: Path) -> Result:
    """Read a result folder; :class:`InputError` where a file is missing or damaged."""
    where = _require(folder, (SPEC, ENVIRONMENT, SUMMARY, INFLUENCE))
    with _damage_named(where):
        spec = load_spec(folder / SPEC)
        if not isinstance(spec, TraceSpec):
            raise InputError("its spec is not a trace", where=where, mend="name the folder of a trace")
        return Result(
            folder=folder,
            spec=spec,
            summary=_json(folder / SUMMARY),
            influence=_of_method(read_frame(folder / INFLUENCE), spec.method.name),
            examples=read_frame(folder / EXAMPLES) if (folder / EXAMPLES).is_file() else None,
            environment=_json(folder / ENVIRONMENT),
            truth=read_frame(folder / TRUTH) if (folder / TRUTH).is_file() else None,
            doses=pd.read_csv(folder / DOSES) if (folder / DOSES).is_file() else None,
        )


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _require(folder: Path, names: Sequence[str]) -> str:
    """See that the files are there; returns what an error calls the folder."""
    where = f"result {folder.name!r}"
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"{name} is missing", where=where, mend="run it again, or wait until it is done")
    return where


@contextmanager
def _damage_named(where: str) -> Iterator[None]:
    """Whatever a damaged file makes its reader raise, in one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"a file is damaged ({type(error).__name__})", where=where, mend="run it again") from None
