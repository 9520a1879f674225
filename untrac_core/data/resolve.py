"""What a request names in short, written out: collections as subsets, probes as prompt sets, revisions as commits."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from untrac_core.data.collections import members, unique_names
from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import ModelRef, PromptSet, Source, Subset
from untrac_core.specs.parts import is_local

SUBSETS_MOST = 500
B = TypeVar("B", bound=BaseModel)


def expand(spec: B, progress: Progress | None = None) -> B:
    """The same request, ready to run and to be run again: nothing in it depends on what a hub or folder holds later.

    Collections give way to their subsets, a probe gets its source, columns and labels, and every data set and model on
    the hub the commit that it is at now. Expanding twice changes nothing. Raises :class:`InputError` for what cannot be
    found, and where fewer than two, or more than 500, subsets come of a trace.
    """
    found: B = _resolved(spec, {}, progress)
    return found


def _resolved(part: Any, pins: dict[tuple[str, str | None], str], progress: Progress | None) -> Any:
    """A part of a request with all that is named in it resolved, whatever the kind of the request."""
    if isinstance(part, ModelRef):
        return _pinned_model(part)
    if isinstance(part, Source):
        return _pinned(part, pins)
    if isinstance(part, PromptSet):
        part = _complete(part)
    # The models of a fetch are pinned when they are fetched.
    names = [name for name in type(part).model_fields if name not in ("models", "collections")]
    part = part.model_copy(update={name: _each(getattr(part, name), pins, progress) for name in names})
    return _gathered(part, pins, progress) if hasattr(part, "collections") else part


def _each(value: Any, pins: dict[tuple[str, str | None], str], progress: Progress | None) -> Any:
    """A value of a request with the parts in it resolved."""
    if isinstance(value, list):
        return [_each(one, pins, progress) for one in value]
    return _resolved(value, pins, progress) if isinstance(value, BaseModel) else value


def _gathered(spec: Any, pins: dict[tuple[str, str | None], str], progress: Progress | None) -> Any:
    """A request whose collections have given way to their subsets."""
    subsets = list(spec.subsets)
    for collection in spec.collections:
        collection = collection.model_copy(update={"source": _pinned(collection.source, pins)})
        found = members(collection, progress)
        names = unique_names((subset.name for subset in found), (subset.name for subset in subsets))
        subsets += [subset.model_copy(update={"name": name}) for subset, name in zip(found, names, strict=True)]
    _check_number(spec.kind, subsets)
    return spec.model_copy(update={"subsets": subsets, "collections": []})


def _check_number(kind: str, subsets: list[Subset]) -> None:
    least = {"trace": 2, "validate": 3}.get(kind, 0)
    if len(subsets) < least:
        found = f"{len(subsets)} subset{'s' * (len(subsets) != 1)}"
        what = f"the collections give {found}, and a {kind} run compares at least {least}"
        raise InputError(what, field="collections", hint="name another column, folder or data set")
    if len(subsets) > SUBSETS_MOST:
        what = f"there are {len(subsets)} subsets, and {SUBSETS_MOST} is the limit"
        raise InputError(what, field="subsets", hint="lower 'max_subsets' of a collection")


def _complete(prompts: PromptSet) -> PromptSet:
    """A prompt set with its probe's source, columns and labels."""
    if prompts.probe is None:
        return prompts
    from untrac_core.data.probes.loader import complete

    return complete(prompts)


def _pinned(source: Source, pins: dict[tuple[str, str | None], str]) -> Source:
    """A source with the commit of its data set; each is asked for once."""
    if source.hub is None:
        return source
    from untrac_core.hub.datasets import pin

    key = (source.hub, source.revision)
    if key not in pins:
        pins[key] = pin(source.hub, source.revision)
    return source.model_copy(update={"revision": pins[key]})


def _pinned_model(ref: ModelRef) -> ModelRef:
    """A model, and its adapter, with the commits that they are at; a folder has none."""
    update = {"revision": _commit(ref.path, ref.revision)}
    if ref.adapter is not None:
        update["adapter_revision"] = _commit(ref.adapter, ref.adapter_revision)
    return ref.model_copy(update=update)


def _commit(path: str, revision: str | None) -> str | None:
    from untrac_core.hub.repos import pin

    return revision if path == "demo" or is_local(path) else pin(path, revision)
