"""The fields of a pydantic model as rows of a table: key, type, default, meaning."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generators.markdown import attribute_docstrings, from_docstring, table
from untrac_core.paths import PROJECT
from untrac_core.specs.catalogue import ATTRIBUTION, UNLEARNING

HEAD = ("Key", "Type", "Default", "Meaning")
SPECS = PROJECT / "untrac_core" / "specs"
COMMON = {
    "kind": "The kind of run.",
    "name": "What pages and reports call it.",
    "model": "The model that the run is about.",
    "prompts": "Prompt sets: what is explained.",
    "subsets": "Training subsets: what is ranked.",
    "collections": "Sources of several subsets each, which take their place among `subsets`.",
    "device": "Where it computes; `auto` takes CUDA where there is one.",
}
"""Keys that mean the same in every kind of run, unless a kind says otherwise."""
Link = Callable[[str], str]
"""From the name of a model to a link to where it is described."""


@cache
def meanings() -> Mapping[tuple[str, str], str]:
    """The attribute docstrings of all specs."""
    return attribute_docstrings(sorted(SPECS.glob("*.py")))


def meaning(model: type[BaseModel], key: str) -> str:
    """What a key means, from the class itself or the nearest one that it inherits from."""
    for ancestor in inspect.getmro(model):
        text = meanings().get((ancestor.__name__, key))
        if text:
            return from_docstring(text)
    if key in COMMON:
        return COMMON[key]
    raise LookupError(f"{model.__name__}.{key} has no docstring: write one below the attribute")


def fields_table(model: type[BaseModel], link: Link, *, leave_out: tuple[str, ...] = (), defaults: Any = None) -> str:
    """All keys of a model; ``defaults``: an object whose attributes stand for a default of ``None``."""
    schema = model.model_json_schema()
    rows = []
    for key, field in model.model_fields.items():
        if key in leave_out:
            continue
        default = default_words(field)
        if default == "unset" and getattr(defaults, key, None) is not None:
            default = _inline(getattr(defaults, key))
        words = type_words(schema["properties"][key], schema.get("$defs", {}), link)
        rows.append((f"`{key}`", words, default, meaning(model, key)))
    return table(HEAD, rows)


def default_words(field: FieldInfo) -> str:
    """The default as YAML, in words where there is none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "unset"
    if isinstance(value, BaseModel) and not value.model_dump(exclude_defaults=True):
        return "its defaults"
    return _inline(value)


def _inline(value: Any) -> str:
    return f"`{yaml.safe_dump(_plain(value), default_flow_style=True, width=1000).splitlines()[0]}`"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def type_words(schema: Mapping[str, Any], defs: Mapping[str, Any], link: Link) -> str:
    """A JSON schema in words."""
    if "discriminator" in schema or "oneOf" in schema:
        names = set(schema["discriminator"]["mapping"])
        return f"[attribution method]({link('attribution')})" if names <= set(ATTRIBUTION) else _unlearning(names, link)
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}]({link(name)})"
    if "anyOf" in schema:
        options = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(type_words(one, defs, link) for one in options)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        size = _between(schema.get("minItems"), schema.get("maxItems"), "")
        each = type_words(schema["items"], defs, link)
        joined = f"list of {each}" if each.startswith("[") else f"list; each {each}"
        return joined + (f" ({size} of them)" if size else "")
    return _scalar(schema)


def _unlearning(names: set[str], link: Link) -> str:
    assert names <= set(UNLEARNING)  # noqa: S101
    return f"[unlearning method]({link('unlearning')})"


def _scalar(schema: Mapping[str, Any]) -> str:
    kind = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[schema["type"]]
    if schema["type"] == "string":
        size = _between(schema.get("minLength"), schema.get("maxLength"), " characters")
    else:
        low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
        size = _between(low, schema.get("maximum"), "", above)
    return f"{kind}, {size}" if size else kind


def _between(low: float | None, high: float | None, unit: str, above: float | None = None) -> str:
    begins = f"above {above:,g}" if above is not None else ""
    if begins and high is not None:
        return f"{begins}, at most {high:,.12g}{unit}"
    if begins:
        return begins
    if low is not None and high is not None:
        return f"{low:,.12g} to {high:,.12g}{unit}"
    if low is not None:
        return f"at least {low:,.12g}{unit}"
    return f"at most {high:,.12g}{unit}" if high is not None else ""
