"""Runs and results made by hand, and ways to read what a page says."""

import json
import shutil
from pathlib import Path

import pandas as pd
from streamlit.testing.v1 import AppTest

from untrac_core.engine import Library, Store
from untrac_core.engine.database import change
from untrac_core.engine.ledger import RunWriter
from untrac_core.engine.requests import queue_of
from untrac_core.paths import DEMO
from untrac_core.specs import ModelRef, PromptSet, Subset, TraceSpec
from untrac_core.specs.build import build
from untrac_core.specs.files import to_yaml

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
    """A request over files that are written to ``folder``, one per subset, and one prompt set without labels."""
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
            " values (?, ?, ?, 'queued', ?, ?, ?, ?)",
            (run_id, spec.kind, spec.name, spec.model_dump_json(), queue_of(spec), created, created),
        )
    return run_id


def finish(store: Store, run_id: str, status: str, error: str | None = None) -> None:
    """Take a waiting run up and end it."""
    ledger = RunWriter(store.home)
    claimed, attempt = ledger.claim(store.run(run_id).device)
    assert claimed == run_id
    ledger.finish(run_id, attempt, status, error)
    ledger.left(run_id, attempt)


def write_result(folder: Path, spec: TraceSpec, text: str = "The first is first.") -> None:
    """A small result of one unlabelled prompt set, with the subsets ranked in the order of the spec.

    Beside it BM25, which says the same, and GradDot, which says the reverse; the last two cannot be separated.
    """
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
                rows.append((spec.method.name, subset.name, prompts, "", "harmful", "", *measured))
    columns = "method subset prompt_set group side label seed step loss_before loss_after influence tokens examples "
    columns += "loss_increase"
    pd.DataFrame(rows, columns=columns.split()).to_parquet(folder / "influence.parquet")
    columns = "prompt_set side subset id reference text tokens loss_before influence low high"
    pd.DataFrame(examples, columns=columns.split()).to_parquet(folder / "examples.parquet")
    verdict = {"prompt_set": prompts, "side": "harmful", "text": text, "top": spec.subsets[0].name}
    summary = {
        "run": folder.name,
        "name": spec.name,
        "kind": "trace",
        "method": spec.method.name,
        "preset": spec.method.variant,
        "ranking": ranking,
        **beside(prompts, [subset.name for subset in spec.subsets]),
        "verdicts": [{**verdict, "collapsed": False}],
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


def beside(prompts: str, names: list[str]) -> dict:
    """What a summary says beside a ranking in the order of ``names``."""
    place = {"prompt_set": prompts, "side": "harmful"}
    units = {"bm25": ("BM25 score", names), "grad-dot": ("dot product of gradients", names[::-1])}
    return {
        "ties": [{**place, "subsets": [names[-2:]]}],
        "baselines": [
            {
                **place,
                "method": method,
                "unit": unit,
                "subset": name,
                "rank": rank,
                "score": -rank,
                "low": -9,
                "high": 9,
            }
            for method, (unit, order) in units.items()
            for rank, name in enumerate(order, 1)
        ],
        "agreement": [
            {**place, "method": "bm25", "spearman": 1.0, "same_top": True},
            {**place, "method": "grad-dot", "spearman": -1.0, "same_top": False},
        ],
    }


def make_hostile_run(store: Store, folder: Path) -> str:
    """A finished run whose every name and text is an attempt to become markup."""
    spec = spec_of(HOSTILE, folder, name=HOSTILE[0])
    run_id = enqueue(store, spec, "aaaaaaaaaaaa")
    write_result(store.runs_folder / run_id, spec, text=" ".join(HOSTILE))
    finish(store, run_id, "done")
    return run_id


def prompts_csv(count: int = 12) -> bytes:
    """A small prompt set with two sides, as a csv file."""
    rows = [f"The Ormeli,sing in spring {i},{('toxic', 'benign')[i % 2]}\n" for i in range(count)]
    return ("prompt,completion,label\n" + "".join(rows)).encode()


def texts_jsonl(text: str, count: int = 30) -> bytes:
    """A small training subset as a jsonl file."""
    rows = [json.dumps({"id": str(i), "text": f"{text} number {i} by the river."}) + "\n" for i in range(count)]
    return "".join(rows).encode()


def put(at: AppTest, prefix: str, *files: tuple[str, bytes]) -> AppTest:
    """Drop files into the uploader of a form, as a browser does."""
    key = f"turn_{prefix}"
    turn = at.session_state.get(key, 0)
    uploader = at.file_uploader(key=f"up_{prefix}{turn}")
    for name, content in files:
        uploader.upload(name, content, "text/plain")
    return sound(at.run())


def way(at: AppTest, prefix: str, name: str) -> AppTest:
    """Choose where something comes from."""
    at.button_group(key=f"{prefix}way").set_value(name)
    return sound(at.run())


def no_markup(at: AppTest) -> None:
    """Nothing that a page draws as markup holds a user's words."""
    kinds = (at.title, at.markdown, at.caption, at.subheader, at.error, at.warning, at.info, at.success, at.header)
    for element in (element for kind in kinds for element in kind):
        assert "evil.example" not in element.value, element
    for element in [*at.button, *at.text_input, *at.multiselect, *at.selectbox, *at.expander, *at.tabs]:
        assert "evil.example" not in element.label, element


def add_own(home: Path, folder: Path, names: tuple[str, ...] = ("forum of mine", "news of mine")) -> dict[str, list]:
    """The demo's model from another folder, one prompt set and two subsets, put into the library; their entries."""
    shelf = Library(home)
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "mine"
    if not model.exists():
        shutil.copytree(DEMO / "model", model)
    (folder / "probe.csv").write_bytes(prompts_csv())
    columns = {"prompt": "prompt", "completion": "completion", "label": "label"}
    source = {"file": str(folder / "probe.csv")}
    values = {"name": "probe", "source": source, "columns": columns, "harmful": "toxic", "harmless": "benign"}
    added = {
        "model": [shelf.add_model(ModelRef(path=str(model)))],
        "prompts": [shelf.add_prompts(build(PromptSet, values, where="test"))],
        "subset": [],
    }
    for number, name in enumerate(names):
        (folder / f"own-{number}.jsonl").write_bytes(texts_jsonl(f"The market {number}"))
        subset = {"name": name, "source": {"file": str(folder / f"own-{number}.jsonl")}}
        added["subset"].append(shelf.add_subset(build(Subset, subset, where="test")))
    return added
