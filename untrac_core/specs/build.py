"""Validation of what users write: every fault becomes one line that names the key and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from untrac_core.errors import InputError
from untrac_core.specs.catalogue import ATTRIBUTION, UNLEARNING, Row
from untrac_core.specs.methods import AnyMethod, MethodSpec, UnlearningMethodSpec
from untrac_core.specs.renamed import KEYS, VALUES

METHOD_NAMES = {*ATTRIBUTION, *UNLEARNING}

METHOD_SETTINGS = {key for rows in (ATTRIBUTION, UNLEARNING) for row in rows.values() for key in row.takes}
"""All settings that any method has."""
S = TypeVar("S", bound=BaseModel)
M = TypeVar("M", bound=AnyMethod)


def build(kind: type[S], values: dict[str, Any], *, where: str) -> S:
    """Validate ``values``; every fault becomes one :class:`InputError` line that names the key and the remedy."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, kind), field=where) from None


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first fault of a validation in words; for an unknown key, its new name or the nearest known one.

    An old key comes first: without its value, a key that is needed is missing as well.
    """
    faults = error.errors(include_url=False)
    fault = next((each for each in faults if each["type"] == "extra_forbidden" and each["loc"][-1] in KEYS), faults[0])
    # Of a method's settings, pydantic's place has the method's name in it as well.
    place = ".".join(str(part) for part in fault["loc"] if part not in METHOD_NAMES)
    if fault["type"] == "union_tag_invalid":
        known = sorted(re.findall(r"'([^']+)'", fault["ctx"]["expected_tags"]))
        return f"'{place}.name': {_unknown(str(fault['ctx']['tag']), known)}"
    if fault["type"] == "extra_forbidden":
        key = str(fault["loc"][-1])
        method = _method_at(kind, fault["loc"][:-1])
        if method and key in METHOD_SETTINGS:
            return f"{key!r} has no effect with method {method!r}: remove it"
        known = sorted((ATTRIBUTION | UNLEARNING)[method].takes) if method else _keys_at(kind, fault["loc"][:-1])
        if new := next((name for name in KEYS.get(key, ()) if name in known), None):
            return f"unknown key {place!r}: it is called {new!r} now"
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {place!r}: {hint}"
    if fault["type"] == "missing":
        return f"{place!r} is missing: add it"
    if fault["type"] == "too_short":
        return f"{place!r} needs at least {fault['ctx']['min_length']}"
    if fault["type"] == "literal_error" and (new := renamed(fault["input"], fault["ctx"]["expected"])):
        return f"{place!r}: {fault['input']!r} is called {new!r} now"
    message = _in_words(fault["type"], fault.get("ctx", {})) or fault["msg"].removeprefix("Value error, ")
    if not fault.get("input") and fault["type"] == "string_too_short":
        return f"{place!r} is empty: fill it in"
    given = "" if isinstance(fault.get("input"), (dict, list)) else f" (given: {str(fault.get('input'))[:60]!r})"
    message = message[0].lower() + message[1:]
    return f"{place!r}: {message}{given}" if place else message


FAULTS = {
    "string_too_short": "it needs at least {min_length} characters",
    "string_too_long": "it has more than {max_length} characters; shorten it",
    "string_pattern_mismatch": "it has characters that cannot stand here",
    "string_type": "write a text",
    "list_type": "write a list, as [a, b]",
    "dict_type": "write keys and values",
    "model_type": "write keys and values",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "literal_error": "choose {expected}",
    "greater_than": "it must be greater than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
}
"""The validator's faults as a user reads them; what is not here has words of the specs' own."""


def _in_words(fault: str, facts: Mapping[str, Any]) -> str:
    return FAULTS[fault].format(**facts) if fault in FAULTS else ""


def _method_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The method whose settings stand at a place in the spec; empty elsewhere."""
    if not location and issubclass(kind, AnyMethod):
        return str(get_args(kind.model_fields["name"].annotation)[0])
    return str(location[-1]) if location and location[-1] in METHOD_NAMES else ""


def _keys_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place in the spec, for the hint to a misspelt one."""
    schema: dict[str, Any] = kind.model_json_schema()
    node = schema
    for part in location:
        node = node["items"] if isinstance(part, int) else node.get("properties", {}).get(part, {})
        for option in [node, *node.get("anyOf", [])]:
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return sorted(node.get("properties", {}))


def method_spec(name: str = "untrac-inv", **settings: Any) -> MethodSpec:
    """An attribution method with these settings; :class:`InputError` for a name or a setting that there is not."""
    return _named(ATTRIBUTION, name, settings)


def unlearning_method_spec(name: str = "npo", **settings: Any) -> UnlearningMethodSpec:
    """An unlearning method with these settings; :class:`InputError` for a name or a setting that there is not."""
    return _named(UNLEARNING, name, settings)


def _named(rows: Mapping[str, Row[M]], name: str, settings: dict[str, Any]) -> M:
    """The settings class of a method, filled."""
    if name not in rows:
        raise InputError(_unknown(name, sorted(rows)), field="method")
    return build(rows[name].settings, {"name": name, **settings}, where=f"method {name!r}")


def renamed(value: Any, known: Container[str]) -> str | None:
    """What an old value is called now, where that is one of ``known``; ``None`` for any other value."""
    new = VALUES.get(value) if isinstance(value, str) else None
    return new if new is not None and new in known else None


def _unknown(name: str, known: list[str]) -> str:
    """A name that no method has, in words, with what it is called now or the nearest one that there is."""
    if new := renamed(name, known):
        return f"no method is named {name!r}: it is called {new!r} now"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"no method is named {name[:60]!r}: {hint}"
