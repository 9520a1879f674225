"""The page of all keys of all specs."""

from __future__ import annotations

import inspect

from pydantic import BaseModel

from docs.generators.fields import fields_table
from docs.generators.markdown import from_docstring, page
from untrac_core.specs import composed, data, parts, runs, unlearn

KINDS: tuple[type[BaseModel], ...] = tuple(runs.KINDS.values())
SHARED: tuple[type[BaseModel], ...] = (
    parts.ModelRef,
    data.Source,
    data.PromptSet,
    data.Columns,
    data.Subset,
    data.RowFilter,
    data.Collection,
    parts.Training,
    parts.Sampling,
    parts.Scorer,
    parts.NamedText,
    unlearn.ForgetSet,
    unlearn.StopRule,
    unlearn.Generation,
    unlearn.Canaries,
)
COMPOSED: tuple[type[BaseModel], ...] = (composed.ComposedReport, composed.ComposedItem, composed.ComposedView)
OPENING = """
A run is one YAML file. The page, the command line and Python build the same object from it and check it in the same
way: an unknown key, a wrong type or a value out of range is one line that names the key and the remedy. Paths are
relative to the spec file. [Run specs by example](run-specs.md) has a whole file of each kind. `kind: train` is not a
run: it is a recipe for the command `untrac train`.
"""


def link(name: str) -> str:
    """Where a model is described."""
    return f"{name}.md" if name in ("attribution", "unlearning") else f"#{name.lower()}"


def make() -> str:
    """The page."""
    kinds = [_section(model, f"`kind: {name}`") for name, model in runs.KINDS.items()]
    shared = [_section(model, model.__name__) for model in SHARED]
    pages = [_section(model, model.__name__) for model in COMPOSED]
    parts_of_kinds = ["## Parts that kinds share", *shared]
    return page("Spec reference", OPENING, "## Kinds of run", *kinds, *parts_of_kinds, "## Composed reports", *pages)


def _section(model: type[BaseModel], title: str) -> str:
    about = from_docstring(inspect.cleandoc(model.__doc__ or ""))
    return f"### {title} {{#{model.__name__.lower()}}}\n\n{about}\n\n{fields_table(model, link)}"
