"""The page of result files, column by column."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from docs.generators.markdown import facts, page, table
from untrac_core.paths import PROJECT

OPENING = """
A finished run is a folder of files that you can read without this project. It is in `~/.untrac/runs` (or in
`$UNTRAC_HOME/runs`), under the run's id; `untrac run SPEC.yaml --out DIR` also copies it to DIR. Tables are Parquet
(`pandas.read_parquet`). Texts in these files are not masked.
"""
TYPES = {
    "large_string": "text", "string": "text", "int64": "whole number", "int32": "whole number", "double": "number",
    "float": "number", "bool": "true or false",
}  # fmt: skip


def make() -> str:
    """The page."""
    known = facts("results")
    rows = [(f"`{kind}`", ", ".join(f"`{name}`" for name in names)) for kind, names in known["folders"].items()]
    folders = "## Which run writes which files\n\n" + table(("Kind of run", "Files"), rows)
    files = [_file(name, told, known["shared"]) for name, told in known["files"].items()]
    summary = ["## Entries of summary.json"]
    for kind, entries in known["summary"].items():
        title = "Every kind" if kind == "everywhere" else f"Kind `{kind}`"
        summary.append(f"### {title}\n\n" + table(("Entry", "Meaning"), [(f"`{k}`", v) for k, v in entries.items()]))
    return page("Result files", OPENING, folders, "## Files", *files, *summary)


def _file(name: str, told: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    title = f"### {name}\n\n{told['about']}"
    if "columns" not in told:
        return title
    types = columns(name, told)
    own = told["columns"]
    stray = set(own) - set(types)
    if stray:
        raise LookupError(f"docs/facts/results.yaml: {name} has no {sorted(stray)}")
    missing = [column for column in types if column not in own and column not in shared]
    if missing:
        raise LookupError(f"docs/facts/results.yaml: nothing is said of {missing} of {name}")
    rows = [(f"`{column}`", kind, own.get(column, shared.get(column, ""))) for column, kind in types.items()]
    return f"{title}\n\n" + table(("Column", "Type", "Meaning"), rows)


def columns(name: str, told: Mapping[str, Any]) -> dict[str, str]:
    """The columns of a file with their types, in order; from a file where there is one, and as the code has them."""
    if "sample" in told:
        schema = pq.read_schema(PROJECT / told["sample"])
        types = {field.name: TYPES[str(field.type)] for field in schema}
    else:
        types = dict(told["types"])
    if "columns_of" in told and list(types) != constant(told["columns_of"]):
        raise LookupError(f"{name}: the columns are not those of {told['columns_of']}")
    return types


def constant(target: str) -> list[str]:
    """A list of names that a module holds, read without importing it: some import torch."""
    module, name = target.split(":")
    path = PROJECT.joinpath("untrac_core", *module.split(".")).with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == name for one in node.targets):
            return list(ast.literal_eval(node.value))
    raise LookupError(f"{path} has no {name}")
