"""What a request names in short, written out: collections as subsets, probes as prompt sets, revisions as commits."""

from __future__ import annotations

from typing import Any, TypeVar

from untrac_core.data.collections import members, unique_names
from untrac_core.errors import InputError
from untrac_core.model_files import is_local
from untrac_core.progress import Progress
from untrac_core.specs import (
    ExamineSpec,
    FetchSpec,
    GenerateSpec,
    ModelRef,
    PromptSet,
    Scorer,
    Source,
    Subset,
    TraceSpec,
    UnlearnSpec,
    ValidateSpec,
)

SUBSETS_MOST = 500
S = TypeVar("S", TraceSpec, ExamineSpec, FetchSpec, GenerateSpec, ValidateSpec, UnlearnSpec)


def expand(spec: S, progress: Progress | None = None) -> S:
    """The same request, ready to run and to be run again: nothing in it depends on what a hub or folder holds later.

    Collections give way to their subsets, a probe gets its source, columns and labels, and every data set and model on
    the hub the commit that it is at now. Expanding twice changes nothing. Raises :class:`InputError` for what cannot be
    found, and where fewer than two, or more than 500, subsets come of a trace.
    """
    if isinstance(spec, ExamineSpec):
        return spec.model_copy(update={"trace": expand(spec.trace, progress)})
    pins: dict[tuple[str, str | None], str] = {}
    if isinstance(spec, TraceSpec | GenerateSpec | UnlearnSpec):
        spec = spec.model_copy(update={"model": _pinned_model(spec.model)})
    if isinstance(spec, ValidateSpec) and spec.model is not None:
        spec = spec.model_copy(update={"model": _pinned_model(spec.model)})
    if isinstance(spec, GenerateSpec):
        source = None if spec.source is None else _pinned(spec.source, pins)
        scorer = None if spec.scorer is None else _pinned_scorer(spec.scorer, pins)
        return spec.model_copy(update={"source": source, "scorer": scorer})
    subsets = [subset.model_copy(update={"source": _pinned(subset.source, pins)}) for subset in spec.subsets]
    for collection in spec.collections:
        collection = collection.model_copy(update={"source": _pinned(collection.source, pins)})
        found = members(collection, progress)
        names = unique_names((subset.name for subset in found), (subset.name for subset in subsets))
        subsets += [subset.model_copy(update={"name": name}) for subset, name in zip(found, names, strict=True)]
    _check_number(spec, subsets)
    prompts = [_complete(prompts, pins) for prompts in spec.prompts]
    spec = spec.model_copy(update={"prompts": prompts, "subsets": subsets, "collections": []})
    return _own_pinned(spec, pins) if isinstance(spec, UnlearnSpec) else spec


def _own_pinned(spec: UnlearnSpec, pins: dict[tuple[str, str | None], str]) -> UnlearnSpec:
    """The sets that an unlearning names beside its subsets, its base model and its scorer, each with its commit."""

    def placed(subset: Subset) -> Subset:
        return subset.model_copy(update={"source": _pinned(subset.source, pins)})

    updates: dict[str, Any] = {}
    if spec.target.upload is not None:
        updates["target"] = spec.target.model_copy(update={"upload": placed(spec.target.upload)})
    if spec.held_out is not None:
        updates["held_out"] = placed(spec.held_out)
    if spec.base is not None:
        updates["base"] = _pinned_model(spec.base)
    if spec.canaries is not None:
        sets = {"planted": placed(spec.canaries.planted), "candidates": placed(spec.canaries.candidates)}
        updates["canaries"] = spec.canaries.model_copy(update=sets)
    if spec.writing is not None and spec.writing.scorer is not None:
        updates["writing"] = spec.writing.model_copy(update={"scorer": _pinned_scorer(spec.writing.scorer, pins)})
    return spec.model_copy(update=updates)


def _check_number(spec: TraceSpec | FetchSpec | ValidateSpec | UnlearnSpec, subsets: list[Subset]) -> None:
    least = {"trace": 2, "validate": 3}.get(spec.kind, 0)
    if len(subsets) < least:
        found = f"{len(subsets)} subset{'s' * (len(subsets) != 1)}"
        what = f"the collections give {found}, and a {spec.kind} run compares at least {least}"
        raise InputError(what, where="collections", mend="name another column, folder or data set")
    if len(subsets) > SUBSETS_MOST:
        what = f"there are {len(subsets)} subsets, and {SUBSETS_MOST} is the limit"
        raise InputError(what, where="subsets", mend="lower 'most' of a collection")


def _complete(prompts: PromptSet, pins: dict[tuple[str, str | None], str]) -> PromptSet:
    if prompts.probe is not None:
        from untrac_core.data.probes import complete

        prompts = complete(prompts)
    if prompts.source is None:
        return prompts
    return prompts.model_copy(update={"source": _pinned(prompts.source, pins)})


def _pinned(source: Source, pins: dict[tuple[str, str | None], str]) -> Source:
    """A source with the commit of its data set; each is asked for once."""
    if source.hub is None:
        return source
    from untrac_core.hub.data import pin

    key = (source.hub, source.revision)
    if key not in pins:
        pins[key] = pin(source.hub, source.revision)
    return source.model_copy(update={"revision": pins[key]})


def _pinned_scorer(scorer: Scorer, pins: dict[tuple[str, str | None], str]) -> Scorer:
    """A scorer with the commit of its list or its classifier."""
    if scorer.lexicon is not None:
        return scorer.model_copy(update={"lexicon": _pinned(scorer.lexicon, pins)})
    if scorer.classifier is not None:
        return scorer.model_copy(update={"classifier": _pinned_model(scorer.classifier)})
    return scorer


def _pinned_model(ref: ModelRef) -> ModelRef:
    """A model, and its adapter, with the commits that they are at; a folder has none."""
    update = {"revision": _commit(ref.path, ref.revision)}
    if ref.adapter is not None:
        update["adapter_revision"] = _commit(ref.adapter, ref.adapter_revision)
    return ref.model_copy(update=update)


def _commit(path: str, revision: str | None) -> str | None:
    from untrac_core.hub.repos import pin

    return revision if path == "demo" or is_local(path) else pin(path, revision)
