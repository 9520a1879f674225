"""Specs as files: YAML or JSON in and out, faults as one line, paths made absolute.

An unknown key is an error that names the nearest known one; every message is one line
(:class:`untrac_core.errors.InputError`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from untrac_core.errors import InputError
from untrac_core.specs import KINDS, TEXTS_BYTES, ModelRef, Source, Spec
from untrac_core.specs.build import build, renamed
from untrac_core.specs.composed import ComposedReport

SPEC_BYTES = 5 * TEXTS_BYTES


class _Exact(yaml.SafeDumper):  # type: ignore[misc]
    """Escapes the line breaks of Unicode, which the plain dumper writes as they are and YAML reads as others."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Exact.add_representer(str, _text)


def to_yaml(spec: Spec) -> str:
    """The spec as YAML without the settings that stand at their default; parses back to an equal spec."""
    values = spec.model_dump(mode="json", exclude_defaults=True)
    values = {"kind": spec.kind, **{key: value for key, value in values.items() if key != "kind"}}
    return str(yaml.dump(values, Dumper=_Exact, sort_keys=False, allow_unicode=True, width=120))


def load_spec(path: str | Path) -> Spec:
    """Read a YAML (or JSON) file; paths in it are relative to it and come back absolute."""
    return parse_spec(_read(Path(path)), where=str(path), folder=Path(path).resolve().parent)


def load_composed(path: str | Path) -> ComposedReport:
    """Read the YAML file of a composed report; result folders in it are relative to it and come back absolute."""
    values = _mapping(_read(Path(path)), str(path), "begin with 'items:'")
    return placed_report(build(ComposedReport, values, where=str(path)), Path(path).resolve().parent)


def composed_yaml(report: ComposedReport) -> str:
    """A composed report as YAML; parses back to an equal one."""
    values = report.model_dump(mode="json", exclude_defaults=True)
    return str(yaml.dump(values, Dumper=_Exact, sort_keys=False, allow_unicode=True, width=120))


def placed_report(report: ComposedReport, folder: Path) -> ComposedReport:
    """The same with every result folder that is there made absolute from ``folder``; ids of runs stay."""

    def placed(value: Any) -> Any:
        there = folder / _expanded(value.run) if value.run else None
        found = {"run": str(there)} if there is not None and there.is_dir() else {}
        return value.model_copy(update=found)

    items = [placed(item).model_copy(update={"views": [*map(placed, item.views)]}) for item in report.items]
    return report.model_copy(update={"items": items})


def _read(path: Path) -> str:
    """The text of a file of bounded size."""
    where = str(path)
    try:
        if path.stat().st_size > SPEC_BYTES:
            raise InputError(
                f"the spec is over {SPEC_BYTES / 1e6:.1f} MB", field=where, hint="name data by file, not in the spec"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("the file is not UTF-8 text", field=where, hint="save it as UTF-8") from None
    except OSError as error:
        raise InputError(
            f"cannot read the spec ({error.strerror or error})", field=where, hint="check the path"
        ) from None


def parse_spec(text: str, *, where: str = "spec", folder: Path | None = None) -> Spec:
    """Read a spec from YAML text; ``folder`` is what its relative paths start from."""
    values = _mapping(text, where, "begin with 'kind: trace'")
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        known = renamed(kind, KINDS) or " or ".join(KINDS)
        raise InputError(f"kind {kind!r} is not known", field=where, hint=f"write 'kind: {known}'")
    spec = build(KINDS[kind], values, where=where)
    return absolute(spec, folder or Path.cwd())


def _mapping(text: str, where: str, begin: str) -> dict[str, Any]:
    """The keys and values of a YAML text; ``begin``: how such a file begins, in words."""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number out of bounds
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise InputError(f"not valid YAML{line}", field=where, hint="check indentation, quotes and colons") from None
    if not isinstance(values, dict):
        raise InputError("a spec is a mapping of keys to values", field=where, hint=begin)
    return values


def _expanded(path: str) -> Path:
    """The path with ``~`` replaced, where there is such a home."""
    return Path(os.path.expanduser(path))


def absolute(spec: Spec, folder: Path) -> Spec:
    """The same spec with every file, and a model folder that exists, made absolute from ``folder``."""
    return spec.model_copy(update={name: _placed(getattr(spec, name), folder) for name in type(spec).model_fields})


def _placed(value: Any, folder: Path) -> Any:
    """A part of a spec with the sources and models in it made absolute."""
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    if isinstance(value, Source):
        paths = {"file": value.file, "folder": value.folder}
        return value.model_copy(update={key: str(folder / _expanded(path)) for key, path in paths.items() if path})
    if isinstance(value, ModelRef):
        places = {"path": value.path, "adapter": value.adapter}
        return value.model_copy(update={key: _model_place(path, folder) for key, path in places.items() if path})
    if isinstance(value, BaseModel):
        return value.model_copy(
            update={name: _placed(getattr(value, name), folder) for name in type(value).model_fields}
        )
    return value


def _model_place(path: str, folder: Path) -> str:
    """A model's folder made absolute; ``demo`` and the id of a model on the hub stay as they are."""
    local = folder / _expanded(path)
    if path != "demo" and (os.path.exists(local) or path.startswith((".", "/", "~"))):
        return str(local)
    return path
