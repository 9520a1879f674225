"""A finished run in MLflow or W&B: its parameters, its numbers and its files, but none of the texts.

Both libraries are optional. Nothing leaves this machine unless it is asked for: W&B works offline, and MLflow writes to
where its own settings point. Where they say nothing, that is on this machine: its database, or, of the slim package,
``mlruns`` in the current folder.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.results.folders import ENVIRONMENT, INFLUENCE, SPEC, SUMMARY

TRACKERS = {"mlflow": "mlflow-skinny", "wandb": "wandb"}
"""What a run can be logged to, and the package that it takes."""
KINDS = ("trace", "validate")
"""Kinds of run that can be logged: the requests of others hold texts."""
LOGGED = (SPEC, SUMMARY, ENVIRONMENT, INFLUENCE)
"""Files that hold no texts."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false"}
"""What keeps the libraries from reporting about themselves; a user's own settings come before."""
PROJECT = "untrac"
VALUE_MOST, BATCH = 500, 500
"""Characters of a parameter, and numbers or parameters that MLflow takes at once."""
OTHER = re.compile(r"[^\w .:/-]")


def parameters(spec: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str]]:
    """A request as flat pairs: ``method.name`` and its value; lists and what they hold as JSON, cut at 500 characters.

    Of prompt sets and subsets, the names.
    """
    for key, value in spec.items():
        name = f"{under}{key}"
        if isinstance(value, Mapping):
            yield from parameters(value, f"{name}.")
        elif value is not None:
            if key in ("prompts", "subsets") and isinstance(value, list):
                value = [one.get("name", "") if isinstance(one, Mapping) else one for one in value]
            yield name, (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:VALUE_MOST]


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary by name: ``influence/PROMPT SET/SIDE/SUBSET`` with its interval, time and memory.

    Of a validation: ``pearson/SIDES/METHOD`` and the other metrics over all prompt sets.

    Characters that MLflow takes in no name become ``_``; of two names that so become one, the second has a number.
    """
    found: dict[str, float] = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            plain = OTHER.sub("_", name)
            again = sum(known == plain or known.startswith(f"{plain} ") for known in found)
            found[f"{plain} {again + 1}" if plain in found else plain] = float(value)

    for key in ("seconds", "peak_memory_mb"):
        put(key, summary.get(key))
    for row in summary.get("ranking", ()):
        if row.get("group") is None:
            place = "/".join(str(row[key]).replace("/", "_") for key in ("prompt_set", "side", "subset"))
            for key in ("influence", "low", "high"):
                put(f"{key}/{place}", row.get(key))
    for row in summary.get("leaderboard", ()):
        if row["prompt_set"] is None:
            put(f"{row['metric']}/{row['side']}/{row['method']}", row["value"])
    return found


def log_run(
    folder: Path, spec: Mapping[str, Any], *, to: str, name: str, run_id: str, tags: tuple[str, ...] = (),
    online: bool = False,
) -> str:  # fmt: skip
    """Log a result folder to ``mlflow`` or ``wandb``; returns where it is, in words.

    Raises:
        InputError: where there is no such tracker, its library is not installed, or it refuses.
    """
    if to not in TRACKERS:
        raise InputError(f"a run is not logged to {to!r}", field="--to", hint=f"choose {', '.join(TRACKERS)}")
    for setting, value in QUIET.items():
        os.environ.setdefault(setting, value)
    try:
        library = import_module(to)
    except ImportError:
        hint = f"run 'pip install {TRACKERS[to]}'"
        raise InputError(f"the library {to} is not installed", field="--to", hint=hint) from None
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError("the summary cannot be read", field=f"run {run_id}", hint="run it again") from None
    files = [folder / one for one in LOGGED if (folder / one).is_file()]
    log = _mlflow if to == "mlflow" else _wandb
    try:
        return log(library, dict(parameters(spec)), numbers(summary), files, name, run_id, tags, online)
    except Exception as error:  # whatever the library raises, it is its own business: say it in one line
        told = " ".join(str(error).split())[:300]
        raise InputError(f"{to} refuses the run ({type(error).__name__}: {told})", field=f"run {run_id}") from error


def _mlflow(
    mlflow: Any, given: dict[str, str], found: dict[str, float], files: list[Path], name: str, run_id: str,
    tags: tuple[str, ...], online: bool,
) -> str:  # fmt: skip
    if not os.environ.get("MLFLOW_TRACKING_URI") and find_spec("sqlalchemy") is None:  # the slim MLflow has no database
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((Path.cwd() / "mlruns").as_uri())
    mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=name, tags={"untrac.run": run_id, "untrac.tags": ", ".join(tags)}) as run:
        for start in range(0, len(given), 100):
            mlflow.log_params(dict([*given.items()][start : start + 100]))
        for start in range(0, len(found), BATCH):
            mlflow.log_metrics(dict([*found.items()][start : start + BATCH]))
        for path in files:
            mlflow.log_artifact(str(path))
        return f"MLflow run {run.info.run_id}, experiment {PROJECT!r}, at {mlflow.get_tracking_uri()}"


def _wandb(
    wandb: Any, given: dict[str, str], found: dict[str, float], files: list[Path], name: str, run_id: str,
    tags: tuple[str, ...], online: bool,
) -> str:  # fmt: skip
    mode = "online" if online else "offline"
    run = wandb.init(project=PROJECT, name=name, config={**given, "untrac.run": run_id}, tags=list(tags), mode=mode)
    try:
        run.summary.update(found)
        artifact = wandb.Artifact(f"untrac-{run_id}", type="result")
        for path in files:
            artifact.add_file(str(path))
        run.log_artifact(artifact)
    finally:
        run.finish()
    where = str(run.dir) if mode == "offline" else str(run.url)
    return f"W&B run {run.id}, {mode}, at {where}"
