"""The six rules of the house, over the import graph; an import inside a function counts like any other."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from untrac_core.paths import PROJECT

BASE = ("errors", "progress", "paths", "fileio", "cells")
LAYERS = (
    BASE,
    ("specs",),
    ("stats",),
    ("text",),
    ("hub",),
    ("data",),
    ("models",),
    ("training",),
    ("attribution", "unlearning"),
    ("results",),
    ("tasks",),
    ("figures",),
    ("demo", "report"),
    ("engine",),
    ("explore",),
    ("cli",),
    ("pages",),
    ("app",),
)
"""From the bottom to the top: a package imports from those below it, never from its own row or above."""
RANK = {name: number for number, row in enumerate(LAYERS) for name in row}
FIGURES_KNOW = {"text", "stats", *BASE}
PLOTLY = {"figures", "report", "explore"}
TORCH = {"models", "training", "attribution", "unlearning"}
TORCH_TASKS = ("task", "models", "generate")
"""Modules of the tasks that may import torch: what loads and runs models."""
TORCH_BESIDE = {"untrac_core.cli.build_demo": "trains the demo's model"}
TASKS = {"validate": {"trace"}, "verify": {"trace"}, "trace": set(), "unlearn": set()}
"""Among the packages of the tasks: which may import from which."""
DOORS = {"engine", "specs", "figures", "report", "explore", "results", "text", *BASE}
"""What pages may import of the core."""
MODULES_MOST, DEPTH_MOST = 12, 12

Edge = tuple[str, str]
"""A module, and the module that it imports."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the core and of the pages, by name."""
    paths = [*(PROJECT / "untrac_core").rglob("*.py"), *(PROJECT / "pages").rglob("*.py"), PROJECT / "app.py"]
    return {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def edges() -> list[Edge]:
    """All imports, wherever in a file they stand."""
    known, found = modules(), []
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [(module, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found += [(module, name if name in known else node.module) for name in names]
    return found


def place(module: str) -> str:
    """The package of a module: of the core its own, else ``pages`` or ``app``; of others their first name."""
    parts = module.split(".")
    if parts[0] != "untrac_core":
        return parts[0]
    return parts[1] if len(parts) > 1 and parts[1] in RANK else ""


def ours(imports: list[Edge]) -> list[tuple[Edge, str, str]]:
    """The imports between packages of the project, each with the two packages."""
    pairs = [((one, other), place(one), place(other)) for one, other in imports]
    return [(edge, a, b) for edge, a, b in pairs if a in RANK and b in RANK and a != b]


def upwards(imports: list[Edge]) -> list[Edge]:
    """Rule 1: imports that do not run downwards."""
    allowed = {("paths", "errors")}
    return [edge for edge, a, b in ours(imports) if RANK[b] >= RANK[a] and (a, b) not in allowed]


def siblings(imports: list[Edge]) -> list[Edge]:
    """Rule 2: attribution and unlearning do not know each other."""
    return [edge for edge, a, b in ours(imports) if {a, b} == {"attribution", "unlearning"}]


def figures(imports: list[Edge]) -> list[Edge]:
    """Rule 3: figures are made of frames, words and statistics; plotly is imported there, in reports and explore."""
    knowing = [edge for edge, a, b in ours(imports) if a == "figures" and b not in FIGURES_KNOW]
    core = [(one, other) for one, other in imports if one.startswith("untrac_core")]
    return knowing + [
        (one, other) for one, other in core if other.split(".")[0] == "plotly" and place(one) not in PLOTLY
    ]


def libraries(imports: list[Edge]) -> list[Edge]:
    """Rule 4: torch stays where models are, streamlit in the pages."""
    broken = []
    for one, other in imports:
        library, package = other.split(".")[0], place(one)
        is_task = package == "tasks" and one.rsplit(".", 1)[-1] in TORCH_TASKS
        if library == "torch" and package not in TORCH and not is_task and one not in TORCH_BESIDE:
            broken.append((one, other))
        if library == "streamlit" and package not in ("pages", "app"):
            broken.append((one, other))
    return broken


def tasks(imports: list[Edge]) -> list[Edge]:
    """Rule 5: validations and verifications build on traces; no other kind of run builds on another."""
    broken = []
    for one, other in imports:
        a, b = (".".join(module.split(".")[1:3]) for module in (one, other))
        a, b = a.removeprefix("tasks."), b.removeprefix("tasks.")
        if a in TASKS and b in TASKS and a != b and b not in TASKS[a]:
            broken.append((one, other))
    return broken


def doors(imports: list[Edge]) -> list[Edge]:
    """Rule 1, for pages: they import from a few doors, and from nothing behind these."""
    return [edge for edge, a, b in ours(imports) if a in ("pages", "app") and b not in DOORS | {"pages"}]


RULES = {
    "upwards": upwards,
    "siblings": siblings,
    "figures": figures,
    "libraries": libraries,
    "tasks": tasks,
    "doors": doors,
}


@pytest.mark.parametrize("rule", RULES)
def test_no_import_breaks_a_rule(rule):
    broken = RULES[rule](edges())
    assert not broken, f"{RULES[rule].__doc__} Broken by: " + "; ".join(f"{a} imports {b}" for a, b in broken)


@pytest.mark.parametrize(
    ("rule", "one", "other"),
    [
        ("upwards", "untrac_core.data.prompts", "untrac_core.models.loading"),
        ("upwards", "untrac_core.engine.store", "untrac_core.cli.app"),
        ("upwards", "untrac_core.tasks.registry", "untrac_core.report.file"),
        ("siblings", "untrac_core.unlearning.loop", "untrac_core.attribution.ascent"),
        ("figures", "untrac_core.figures.base", "untrac_core.specs.parts"),
        ("figures", "untrac_core.tasks.trace.frames", "plotly.graph_objects"),
        ("libraries", "untrac_core.tasks.trace.check", "torch"),
        ("libraries", "untrac_core.results.folders", "torch.nn"),
        ("libraries", "untrac_core.figures.base", "streamlit"),
        ("tasks", "untrac_core.tasks.unlearn.check", "untrac_core.tasks.validate.check"),
        ("tasks", "untrac_core.tasks.trace.task", "untrac_core.tasks.verify.task"),
        ("doors", "pages.influence", "untrac_core.tasks.trace.frames"),
        ("doors", "app", "untrac_core.data.prompts"),
    ],
)
def test_an_import_that_breaks_a_rule_is_named(rule, one, other):
    assert (one, other) in RULES[rule]([*edges(), (one, other)])


def specs_asked_what_they_are() -> list[str]:
    """Rule 6: what a run is, its row in the registry says; a recipe, which is no run, may be told from a request."""
    found = []
    for module, path in modules().items():
        if place(module) == "specs":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                names = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                kinds = {name for name in names if name.endswith("Spec")} - {"TrainSpec"}
                found += [f"{module} asks whether something is a {name}" for name in sorted(kinds)]
    return found


def test_no_module_asks_a_spec_what_it_is():
    assert specs_asked_what_they_are() == []


def test_every_import_of_the_project_is_of_a_module_that_is_there():
    known = modules()
    missing = [edge for edge in edges() if edge[1].startswith(("untrac_core", "pages")) and edge[1] not in known]
    assert not missing


def test_folders_are_small_and_imports_are_not_deep():
    folders = Counter(path.parent for path in modules().values() if path.name != "__init__.py")
    flat = {PROJECT, PROJECT / "pages"}  # a page is a file there, however many the dashboard has
    crowded = {str(folder): count for folder, count in folders.items() if count > MODULES_MOST and folder not in flat}
    assert not crowded
    below: dict[str, set[str]] = {}
    for _, a, b in ours(edges()):
        below.setdefault(a, set()).add(b)

    def depth(package: str) -> int:
        return 1 + max((depth(other) for other in below.get(package, ())), default=0)

    assert max(depth(package) for package in below) <= DEPTH_MOST
