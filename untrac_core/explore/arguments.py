"""The keywords of a call in Python, as the values of a spec of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from untrac_core.explore.inputs import Inputs, is_part, named_texts, plain
from untrac_core.explore.result import RunResult
from untrac_core.specs import RUN_KINDS
from untrac_core.specs.files import load_spec

Given = dict[str, Any]
"""What a call was given, by keyword."""


def values_of(kind: str, given: Given, inputs: Inputs, base: Given) -> Given:
    """The values of a spec of this kind; ``base``: what a spec that was given as a whole says already.

    A keyword that no spec has stays, so that the spec refuses it and names the nearest one.
    """
    values = {key: plain(value) for key, value in given.items() if key != "tokenizer"}
    if "model" in given or "tokenizer" in given:
        values["model"] = inputs.model(given.get("model"), given.get("tokenizer"))
    makers: dict[str, Callable[[Any], Any]] = {
        "base": inputs.model,
        "prompts": inputs.prompts,
        "subsets": inputs.subsets,
        "method": _method,
        "methods": _methods,
        "compare": _methods,
        "holdout": partial(inputs.subset, "held out"),
    }
    for key in makers.keys() & RUN_KINDS[kind].model_fields.keys() & given.keys():
        values[key] = makers[key](given[key])
    special = {"unlearn": _to_forget, "generate": _to_complete, "verify": _to_check}.get(kind)
    return special(values, given, inputs, base) if special else values


def _method(given: Any) -> Any:
    """A method by its name alone, or as specs have it."""
    return {"name": given} if isinstance(given, str) else plain(given)


def _methods(given: Any) -> Any:
    return [_method(method) for method in given] if isinstance(given, list | tuple) else plain(given)


def _to_forget(values: Given, given: Given, inputs: Inputs, base: Given) -> Given:
    """``forget`` as a forget set: by the name of a subset or prompt set, by single texts' names, or as texts."""
    if "forget" not in given:
        return values
    found = given["forget"]
    forget: Any
    if isinstance(found, str):
        named = {key: _names((base | values).get(key, [])) for key in ("prompts", "subsets")}
        is_prompts = found in named["prompts"] and found not in named["subsets"]
        forget = {"prompts" if is_prompts else "subset": found}
    elif is_part(found):
        forget = values["forget"]
    else:
        texts = named_texts(found)
        forget = {"upload": inputs.subset("the forget set", found)} if texts is None else {"texts": texts}
    return values | {"forget": forget}


def _names(parts: Any) -> list[str]:
    return [part["name"] if isinstance(part, Mapping) else part.name for part in parts]


def _to_complete(values: Given, given: Given, inputs: Inputs, base: Given) -> Given:
    """``texts`` that are not plain ones as a source, with its column."""
    texts = given.get("texts")
    if texts is None or (isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)):
        return values
    source, column = inputs.beginnings(values.pop("texts"))
    return {"column": column} | values | {"source": source}


def _to_check(values: Given, given: Given, inputs: Inputs, base: Given) -> Given:
    """The trace by its result or its file, the texts by rows of its table of examples."""
    trace = given.get("trace")
    if isinstance(trace, RunResult):
        values |= {"trace": trace.data.spec} | ({"of": trace.summary["run"]} if trace.summary.get("run") else {})
    elif isinstance(trace, str | Path):
        values["trace"] = load_spec(trace)
    texts = named_texts(given.get("texts"))
    return values if texts is None else values | {"texts": texts}
