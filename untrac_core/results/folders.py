"""The files of a finished run: open formats that anyone can read without this project."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from untrac_core.errors import InputError
from untrac_core.fileio import write_bytes
from untrac_core.specs import GenerateSpec, TraceSpec, UnlearnSpec, ValidateSpec, VerifySpec
from untrac_core.specs.files import load_spec

SPEC, ENVIRONMENT, SUMMARY, LOG = "spec.yaml", "environment.json", "summary.json", "log.txt"
INFLUENCE, EXAMPLES, TOKENS = "influence.parquet", "examples.parquet", "tokens.parquet"
GROUND_TRUTH, PLANTED = "ground_truth.parquet", "planted.csv"
HALVES, PAIRS, DOCUMENT_HALVES = "halves.parquet", "pairs.parquet", "document_halves.parquet"
WRITINGS = "writings.parquet"
PROMPT_EXAMPLES, TEXT_FEATURES, GROUPS = "prompt_examples.parquet", "text_features.parquet", "groups.parquet"
COMPLETIONS, ESTIMATES, VERIFIED_EXAMPLES = "completions.parquet", "estimates.parquet", "verified_examples.parquet"
METRICS, CURVES, COLLATERAL = "metrics.parquet", "curves.parquet", "collateral.parquet"
FORGET_EXAMPLES, GENERATIONS, AUDIT, UNLEARNED = "forget_examples.parquet", "generations.parquet", "audit.json", "model"
FILES = (
    SPEC, ENVIRONMENT, INFLUENCE, GROUPS, EXAMPLES, PROMPT_EXAMPLES, TOKENS, TEXT_FEATURES, COMPLETIONS, ESTIMATES,
    VERIFIED_EXAMPLES, METRICS, CURVES, COLLATERAL, FORGET_EXAMPLES, GENERATIONS, AUDIT, SUMMARY, LOG, GROUND_TRUTH,
    HALVES, PAIRS, PLANTED,
)  # fmt: skip

INFLUENCE_COLUMNS = [
    "method", "subset", "prompt_set", "group", "side", "label", "seed", "step",
    "loss_before", "loss_after", "influence", "tokens", "examples", "loss_increase",
]  # fmt: skip
RANKING_COLUMNS = ["prompt_set", "side", "group", "subset", "rank", "influence", "low", "high", "separable"]
"""Of a ranking's rows, which have ``collapsed`` too where collapsed models are ranked."""
EXAMPLE_COLUMNS = [
    "prompt_set", "side", "subset", "id", "reference", "text", "tokens", "loss_before", "influence", "low", "high",
]  # fmt: skip
GROUP_COLUMNS = ["prompt_set", "side", "group", "subset", "influence", "low", "high", "items"]
ITEM_COLUMNS = [
    "prompt_set", "side", "subset", "id", "group", "prompt", "completion", "tokens", "loss_before", "influence", "low",
    "high",
]  # fmt: skip
TOKEN_COLUMNS = [
    "prompt_set", "side", "subset", "id", "span", "text", "scored", "loss_before", "change", "low", "high",
]  # fmt: skip
FEATURE_COLUMNS = [
    "prompt_set", "side", "subset", "feature", "influential", "rest", "effect", "low", "high", "examples", "others",
]  # fmt: skip
VERIFIED_COLUMNS = ["subset", "id", "role", "side", "influence", "low", "high", "loss_increase"]
TRACE_SUMMARY = {"ranking": ("prompt_set", "side", "subset", "rank", "influence")}
VALIDATE_SUMMARY = {
    "methods": ("method", "name"),
    "ground_truth": ("prompt_set", "side"),
    "leaderboard": ("method", "prompt_set", "side", "metric", "value"),
    "noise": ("prompt_set", "side"),
    "differences": ("first", "second", "side", "tie"),
    "critical": (),
    "verdict": (),
}
VERIFY_SUMMARY = {"sides": ("side",)}
GENERATE_SUMMARY: dict[str, tuple[str, ...]] = {"prompts": (), "completions": ()}
UNLEARN_SUMMARY = {
    "table": ("metric", "on", "before", "after"),
    "methods": ("method", "name", "ended", "collapsed"),
    "forget_set": (),
    "method": (),
    "verdict": (),
    "warnings": (),
}
"""What is read of a summary without asking whether it is there: its entries, and what each of their rows has."""
S = TypeVar("S", TraceSpec, VerifySpec, ValidateSpec, UnlearnSpec, GenerateSpec)
GROUP_ROWS = 4096
"""Of a table of single texts that are stored together: of a question, only those that may hold its answer are read."""


@dataclass(frozen=True)
class TraceFiles:
    """A result folder in memory, but for its tables of single texts, which may be large and are read when asked for.

    ``ground_truth`` (leave-out retraining) and ``planted`` (planted) come with the demo.
    """

    folder: Path
    spec: TraceSpec
    summary: dict[str, Any]
    influence: pd.DataFrame
    """Of the method alone; the file has the baselines' rows too."""
    environment: dict[str, Any]
    ground_truth: pd.DataFrame | None
    planted: pd.DataFrame | None

    def has(self, name: str) -> bool:
        """Whether the folder has a file, as :data:`EXAMPLES`."""
        return (self.folder / name).is_file()

    def examples(
        self,
        prompt_set: str,
        side: str,
        subset: str | None = None,
        *,
        ids: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Training texts with their own influence on a side (also ``contrast``): :data:`EXAMPLE_COLUMNS`.

        ``ids``: of those alone. ``columns``: those that are wanted; the texts are most of the bytes. Empty where there
        are none. Raises :class:`InputError` for a damaged file; so do the others.
        """
        wanted = {"prompt_set": prompt_set, "side": side, "subset": subset, "id": ids}
        return self._rows(EXAMPLES, columns or EXAMPLE_COLUMNS, wanted)

    def tokens(self, prompt_set: str, side: str, subset: str, id: str) -> pd.DataFrame:
        """A text's pieces, in their order, with the change of each one's loss: :data:`TOKEN_COLUMNS`.

        ``loss_before`` and ``change`` are sums over a piece's tokens, in nats: the changes add up to the influence
        times the tokens that the text has in the other tables. Empty for a text that was not looked at closely.
        """
        wanted = {"prompt_set": prompt_set, "side": side, "subset": subset, "id": id}
        return self._rows(TOKENS, TOKEN_COLUMNS, wanted)

    def items(
        self,
        prompt_set: str,
        side: str,
        id: str | None = None,
        *,
        subset: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """What subsets do to single items of a side, by UnTrac: :data:`ITEM_COLUMNS`.

        ``id``: of one item; ``subset``: by one subset.
        """
        wanted = {"prompt_set": prompt_set, "side": side, "id": id, "subset": subset}
        return self._rows(PROMPT_EXAMPLES, columns or ITEM_COLUMNS, wanted)

    def groups(self, prompt_set: str, side: str) -> pd.DataFrame:
        """What each subset does to the items of each group, by UnTrac: :data:`GROUP_COLUMNS`; also of ``contrast``."""
        return self._rows(GROUPS, GROUP_COLUMNS, {"prompt_set": prompt_set, "side": side})

    def text_features(self, prompt_set: str, side: str, subset: str | None = None) -> pd.DataFrame:
        """What influential texts have in common (:mod:`untrac_core.tasks.trace.features`): :data:`FEATURE_COLUMNS`.

        ``subset``: ``""`` stands for the texts of all subsets.
        """
        return self._rows(TEXT_FEATURES, FEATURE_COLUMNS, {"prompt_set": prompt_set, "side": side, "subset": subset})

    def _rows(
        self, name: str, columns: Sequence[str], wanted: Mapping[str, str | Sequence[str] | None]
    ) -> pd.DataFrame:
        """Those rows of a table in which every wanted column has its value, or one of its values."""
        if not self.has(name):
            return pd.DataFrame(columns=list(columns))
        filters = [
            (column, "=", value) if isinstance(value, str) else (column, "in", list(value))
            for column, value in wanted.items()
            if value is not None
        ]
        with _damage_named(f"result {self.folder.name!r}"):
            table = pq.read_table(self.folder / name, columns=list(columns), filters=filters)
            frame: pd.DataFrame = table.to_pandas()
            return frame

    def ranking(self, prompt_set: str, side: str) -> pd.DataFrame:
        """The ranked subsets of one side of a prompt set, most influential first; empty where it was refused."""
        rows = [row for row in self.summary["ranking"] if (row["prompt_set"], row["side"]) == (prompt_set, side)]
        return pd.DataFrame(rows, columns=RANKING_COLUMNS)


@dataclass(frozen=True)
class ValidateFiles:
    """The folder of a ``validate`` run in memory.

    ``ground_truth``: subset, prompt_set, side (also ``contrast``), seed, influence by retraining. ``estimates``:
    method, prompt_set, side, subset, influence, low, high."""

    folder: Path
    spec: ValidateSpec
    summary: dict[str, Any]
    ground_truth: pd.DataFrame
    estimates: pd.DataFrame
    environment: dict[str, Any]


@dataclass(frozen=True)
class VerifyFiles:
    """The folder of a ``verify`` run in memory.

    ``verified_examples``: :data:`VERIFIED_COLUMNS`; role is ``chosen`` or ``control``, side may be ``contrast``.
    What the prompt set loses when a text is unlearned alone, in nats per token, with its interval over the prompt
    set's items; null where the model collapsed."""

    folder: Path
    spec: VerifySpec
    summary: dict[str, Any]
    verified_examples: pd.DataFrame
    environment: dict[str, Any]


@dataclass(frozen=True)
class UnlearnFiles:
    """The folder of an ``unlearn`` run in memory.

    ``metrics``: subject (``before``, ``retrained`` or a method), seed, measure, on, value. ``curves``: method, seed,
    step, kind, name, side, loss (nats per token), genex (bits, of the forget set). ``collateral``: method, kind,
    name, side, before, after, change, low, high, retrained. ``forget_examples``: every text that was to go and was
    looked at. ``generations``: subject, seed, prompt, completion, score, harmful; empty where nothing was written."""

    folder: Path
    spec: UnlearnSpec
    summary: dict[str, Any]
    metrics: pd.DataFrame
    curves: pd.DataFrame
    collateral: pd.DataFrame
    forget_examples: pd.DataFrame
    generations: pd.DataFrame
    audit: dict[str, Any]
    environment: dict[str, Any]

    @property
    def model(self) -> Path | None:
        """The folder of the unlearned model, while it is there."""
        folder = self.folder / UNLEARNED
        return folder if folder.is_dir() else None


@dataclass(frozen=True)
class GenerateFiles:
    """The folder of a ``generate`` run in memory.

    ``completions``: prompt, completion, group, sample, tokens, score, label; the last two say nothing without a scorer.
    """

    folder: Path
    spec: GenerateSpec
    summary: dict[str, Any]
    completions: pd.DataFrame
    environment: dict[str, Any]


def write_json(value: Any, path: Path) -> None:
    """Write JSON that any reader takes: no NaN, UTF-8, a fixed order of keys."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes((text + "\n").encode(), path)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet; the same table gives the same bytes."""
    table = _table(frame)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", version="2.6")
    write_bytes(sink.getvalue().to_pybytes(), path)


def write_parts(parts: Iterable[pd.DataFrame], path: Path, rows: int = GROUP_ROWS) -> None:
    """Write a table that comes in parts, ``rows`` of it stored together; without a part, no file is left there.

    Parts must be in the order by which the table is asked for, so that few groups of rows hold an answer.
    """
    sink = pa.BufferOutputStream()
    writer = None
    for part in parts:
        table = _table(part)
        if writer is None:
            writer = pq.ParquetWriter(sink, table.schema, compression="zstd", version="2.6")
        writer.write_table(table.cast(writer.schema), row_group_size=rows)
    if writer is None:
        path.unlink(missing_ok=True)
        return
    writer.close()
    write_bytes(sink.getvalue().to_pybytes(), path)


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def read_frame(path: Path) -> pd.DataFrame:
    """Read a parquet table that this program wrote."""
    with path.open("rb") as file:  # one handle: a live table may be replaced between two openings of its path
        frame: pd.DataFrame = pq.read_table(file).to_pandas()
    return frame


def _of_method(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame[frame["method"] == name].reset_index(drop=True)


def kind_of_result(folder: str | Path) -> str:
    """The kind of run whose result a folder holds; :class:`InputError` where it holds none."""
    where, path = f"result {Path(folder).name!r}", Path(folder) / SUMMARY
    if not path.is_file():
        raise InputError(f"{SUMMARY} is missing", field=where, hint="name the folder of a finished run")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{SUMMARY} is damaged", field=where, hint="run it again") from None


def load_validate(folder: str | Path) -> ValidateFiles:
    """Read the folder of a ``validate`` run; :class:`InputError` where a file is missing or damaged."""
    folder = Path(folder)
    with _opened(folder, ValidateSpec, "a validation", (GROUND_TRUTH, ESTIMATES), VALIDATE_SUMMARY) as parts:
        return ValidateFiles(
            folder, *parts[:2], read_frame(folder / GROUND_TRUTH), read_frame(folder / ESTIMATES), parts[2]
        )


def load_verify(folder: str | Path) -> VerifyFiles:
    """Read the folder of a ``verify`` run; :class:`InputError` where a file is missing or damaged."""
    folder = Path(folder)
    with _opened(folder, VerifySpec, "a verification", (VERIFIED_EXAMPLES,), VERIFY_SUMMARY) as parts:
        return VerifyFiles(folder, *parts[:2], read_frame(folder / VERIFIED_EXAMPLES)[VERIFIED_COLUMNS], parts[2])


def load_generate(folder: str | Path) -> GenerateFiles:
    """Read the folder of a ``generate`` run; :class:`InputError` where a file is missing or damaged."""
    folder = Path(folder)
    with _opened(folder, GenerateSpec, "a generation", (COMPLETIONS,), GENERATE_SUMMARY) as parts:
        return GenerateFiles(folder, *parts[:2], read_frame(folder / COMPLETIONS), parts[2])


def load_unlearn(folder: str | Path) -> UnlearnFiles:
    """Read the folder of an ``unlearn`` run; :class:`InputError` where a file is missing or damaged."""
    folder = Path(folder)
    tables = (METRICS, CURVES, COLLATERAL, FORGET_EXAMPLES, GENERATIONS)
    with _opened(folder, UnlearnSpec, "an unlearning", (AUDIT, *tables), UNLEARN_SUMMARY) as parts:
        metrics, curves, collateral, forget_examples, generations = (read_frame(folder / name) for name in tables)
        told = _json(folder / AUDIT)
        return UnlearnFiles(
            folder, *parts[:2], metrics, curves, collateral, forget_examples, generations, told, parts[2]
        )


def load_trace(folder: str | Path) -> TraceFiles:
    """Read the folder of a ``trace`` run; :class:`InputError` where a file is missing or damaged."""
    folder = Path(folder)
    with _opened(folder, TraceSpec, "a trace", (INFLUENCE,), TRACE_SUMMARY) as (spec, summary, environment):
        return TraceFiles(
            folder=folder,
            spec=spec,
            summary=summary,
            influence=_of_method(read_frame(folder / INFLUENCE), spec.method.name),
            environment=environment,
            ground_truth=read_frame(folder / GROUND_TRUTH) if (folder / GROUND_TRUTH).is_file() else None,
            planted=pd.read_csv(folder / PLANTED) if (folder / PLANTED).is_file() else None,
        )


@contextmanager
def _opened(
    folder: Path, kind: type[S], noun: str, files: Sequence[str], needed: Mapping[str, Sequence[str]]
) -> Iterator[tuple[S, dict[str, Any], dict[str, Any]]]:
    """Spec, summary and environment of a result that is whole; what is read inside may be damaged, and is named."""
    where = f"result {folder.name!r}"
    for name in (SPEC, ENVIRONMENT, SUMMARY, *files):
        if not (folder / name).is_file():
            raise InputError(f"{name} is missing", field=where, hint="run it again, or wait until it is done")
    with _damage_named(where):
        spec = load_spec(folder / SPEC)
        if not isinstance(spec, kind):
            raise InputError(f"its spec is not {noun}", field=where, hint=f"name the folder of {noun}")
        yield spec, _summary(folder, needed), _json(folder / ENVIRONMENT)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _summary(folder: Path, needed: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The summary, with all that is ``needed``; else :class:`KeyError` or :class:`TypeError`."""
    told = _json(folder / SUMMARY)
    for name, fields in needed.items():
        for row in told[name] if fields else [told[name]]:
            for field in fields:
                row[field]
    return told


@contextmanager
def _damage_named(where: str) -> Iterator[None]:
    """Whatever a damaged file makes its reader raise, in one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"a file is damaged ({type(error).__name__})", field=where, hint="run it again") from None
