"""The page of the architecture: layers, rules, and the tree with one line per file."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.generators.markdown import code, first_line, page, table
from untrac_core.paths import PROJECT

OPENING = """
`untrac_core` does the computing and does not import the pages; `app.py` and `pages/` draw and start runs. A spec
describes a run. Each kind of run is one row in `untrac_core/tasks/registry.py`, which names its check, its task and the
reader of its result. Each method is one row in `untrac_core/specs/catalogue.py`.

Runs are carried out by the *engine*. A SQLite database holds runs, cells and events; one worker per device takes runs
from the queue and starts a child process for each. Only that child loads torch, so its memory is freed when it ends,
and a crash stays inside it. A *cell* is the smallest independent piece of a run, keyed by the hash of model, data,
method, settings and seed. No finished cell is computed twice, and none is lost when the page, server, worker or machine
restarts.
"""
RULES = """
`tests/test_rules.py` checks them on the import graph; the layers are listed below. An import inside a function counts
like any other.

1. Imports run downwards through the layers, never up and never sideways. Pages import only from `engine`, `specs`,
   `figures`, `report`, `explore`, `results`, `text` and the lowest layer.
2. `attribution` and `unlearning` do not import each other.
3. `figures` imports only `text`, `stats` and the lowest layer: a table in, a figure out. Only `figures`, `report` and
   `explore` import plotly.
4. Only `models`, `training`, `attribution`, `unlearning`, the modules of `tasks` that run models and
   `cli/build_demo.py` import torch; only `app.py` and `pages` import Streamlit. Importing a page loads neither torch
   nor transformers.
5. Among tasks, `validate` and `verify` build on `trace`; `unlearn` builds on none.
6. Method names live in `specs/catalogue.py` and kinds of run in `tasks/registry.py`. No other module asks a spec what
   it is.

No folder has more than 12 modules, and no chain of imports between packages is longer than 12.
"""
ROOTS = ("untrac_core", "pages", "benchmarks", "docs")


def make() -> str:
    """The page."""
    rows = [(str(number), ", ".join(f"`{name}`" for name in row)) for number, row in enumerate(reversed(layers()), 1)]
    trees = [f"### {root}/\n\n{code(tree(PROJECT / root))}" for root in ROOTS]
    layered = "## Layers, from the top\n\n" + table(("Layer", "Packages and modules"), rows)
    return page("Architecture", OPENING, f"## The six rules\n{RULES}", layered, "## The tree", *trees)


def layers() -> list[list[str]]:
    """The layers that the test of the rules holds, from the bottom; read without importing the test."""
    values: dict[str, ast.expr] = {}
    for node in ast.parse((PROJECT / "tests" / "test_rules.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            values[node.targets[0].id] = node.value
    rows = values["LAYERS"]
    assert isinstance(rows, ast.Tuple)  # noqa: S101
    return [list(ast.literal_eval(values[row.id] if isinstance(row, ast.Name) else row)) for row in rows.elts]


def tree(folder: Path, depth: int = 0) -> str:
    """The Python files below a folder, each with the first sentence of its docstring."""
    files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    lines = [_line(path.name, path, depth) for path in files]
    for below in sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file()):
        lines += [_line(f"{below.name}/", below / "__init__.py", depth), tree(below, depth + 1)]
    return "\n".join(line for line in lines if line)


def _line(name: str, path: Path, depth: int) -> str:
    indent = "  " * depth
    return f"{indent}{name:<{30 - len(indent)}} {first_line(path).replace('`', '')}".rstrip()
