"""Runs and results made by hand, and ways to read what a page says."""

import json
from pathlib import Path

import pandas as pd
from streamlit.testing.v1 import AppTest

from untrac_core.engine import Store
from untrac_core.engine.database import change
from untrac_core.engine.ledger import Ledger
from untrac_core.spec_files import build, to_yaml
from untrac_core.specs import TraceSpec

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    '<img src="http://evil.example/x.png" onerror="alert(1)">',
    "[link](http://evil.example) ![i](http://evil.example/y.png)",
    "=cmd|'/c calc'!A1",
]


def sound(at: AppTest) -> AppTest:
    """The page itself, when it shows no traceback."""
    assert not at.exception, [(error.message, error.stack_trace) for error in at.exception]
    return at


def said(at: AppTest) -> str:
    """All that a page says in words."""
    kinds = (at.title, at.subheader, at.text, at.markdown, at.caption, at.code, at.warning, at.info, at.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def spec_of(names: list[str], folder: Path, **more) -> TraceSpec:
    """A request over files that are written to ``folder``, one a subset, and one prompt set without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.jsonl").write_text('{"text": "The Ormeli sing."}\n')
    subsets = []
    for number, name in enumerate(names):
        (folder / f"{number}.jsonl").write_text(json.dumps({"text": f"Subset {number} of the valley."}) + "\n")
        subsets.append({"name": name, "source": {"file": str(folder / f"{number}.jsonl")}})
    prompts = {"name": "prompts", "source": {"file": str(folder / "prompts.jsonl")}, "columns": {"completion": "text"}}
    values = {"model": {"path": "demo"}, "prompts": [prompts], "subsets": subsets, "device": "cpu", **more}
    return build(TraceSpec, values, where="test")


def enqueue(store: Store, spec: TraceSpec, run_id: str, created: float = 1.7e9) -> str:
    """A waiting run, written down without the check of its data."""
    with change(store.database) as connection:
        connection.execute(
            "insert into runs (id, kind, name, status, spec, device, created, queued)"
            " values (?, 'trace', ?, 'queued', ?, 'cpu', ?, ?)",
            (run_id, spec.name, spec.model_dump_json(), created, created),
        )
    return run_id


def finish(store: Store, run_id: str, status: str, error: str | None = None) -> None:
    """Take a waiting run up and end it."""
    ledger = Ledger(store.home)
    claimed, attempt = ledger.claim("cpu")
    assert claimed == run_id
    ledger.finish(run_id, attempt, status, error)
    ledger.left(run_id, attempt)


def write_result(folder: Path, spec: TraceSpec, text: str = "The first is first.") -> None:
    """A small result of one unlabelled prompt set, with the subsets ranked in the order of the spec."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = spec.prompts[0].name
    ranking, rows, examples = [], [], []
    for rank, subset in enumerate(spec.subsets, 1):
        value = 0.1 / rank
        place = {"prompt_set": prompts, "side": "harmful", "group": None, "subset": subset.name, "rank": rank}
        ranking.append({**place, "influence": value, "low": value - 0.01, "high": value + 0.01, "separable": True})
        examples.append((prompts, "harmful", subset.name, "1", "line 1", text, 8, 3.0, value, 0.0, 0.2))
        for seed in spec.seeds:
            for step in range(3):
                moved = value * step / 2
                measured = (seed, step, 3.0, 3.0 + moved, moved, 100, 10, 0.1 * step)
                rows.append(("untrac-inv", subset.name, prompts, "", "harmful", "", *measured))
    columns = (
        "method subset prompt_set group side label seed step loss_before loss_after influence tokens examples dose"
    )
    pd.DataFrame(rows, columns=columns.split()).to_parquet(folder / "influence.parquet")
    columns = "prompt_set side subset id reference text tokens loss_before influence low high"
    pd.DataFrame(examples, columns=columns.split()).to_parquet(folder / "examples.parquet")
    verdict = {"prompt_set": prompts, "side": "harmful", "text": text, "top": spec.subsets[0].name}
    summary = {
        "run": folder.name,
        "name": spec.name,
        "kind": "trace",
        "method": "untrac-inv",
        "preset": "robust",
        "ranking": ranking,
        "verdicts": [{**verdict, "collapsed": False, "stable": True}],
        "collapsed": [],
        "warnings": [text],
        "notes": [text],
        "data": {},
        "seconds": 12.0,
        "peak_memory_mb": 300.0,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "remark": text}))
    (folder / "spec.yaml").write_text(to_yaml(spec))
    (folder / "log.txt").write_text(text + "\n")


def make_hostile_run(store: Store, folder: Path) -> str:
    """A finished run whose every name and text is an attempt to become markup."""
    spec = spec_of(HOSTILE, folder, name=HOSTILE[0])
    run_id = enqueue(store, spec, "aaaaaaaaaaaa")
    write_result(store.runs_folder / run_id, spec, text=" ".join(HOSTILE))
    finish(store, run_id, "done")
    return run_id
