"""The runs as calls: keyword arguments in, a result out. What ``import untrac_core as untrac`` offers.

Every call takes the keys of its spec as keywords (``seeds=[0, 1]``, ``device="cpu"`` ...), and these besides:

* ``spec``, the first argument: a spec, or the path of a YAML file; keywords replace parts of it.
* ``model``: a hub id, a folder, ``"demo"``, or a loaded transformers model with ``tokenizer=``.
* ``prompts`` and ``subsets``: a mapping of names to a file, a folder, a hub id, the name of a bundled probe (prompts),
  a list of texts or of dicts, a DataFrame, a ``datasets.Dataset``, or what a spec has there. Columns and sides are
  guessed from their names and values; ``result.spec`` says how. A PromptSet or Subset says it exactly.
* ``method``: a name, a dict of a name and settings, or a method's spec.
* ``out``: the folder of the run; a result that is there is replaced. Unset: a temporary folder that lives as long as
  the result.
* ``progress``: ``True`` for a bar in a notebook or on a terminal, ``False`` for none, or a
  :class:`untrac_core.progress.Progress`.
* ``cache``: a folder in which finished cells are kept, so that nothing is computed twice.

What is in memory is written below ``out/inputs`` (texts as jsonl, a model by ``save_pretrained`` with its tokenizer),
and the spec names it there by path: so it is checked, hashed and cut as files are, and ``spec.yaml`` can be run again.
A model in memory stays as it is: what is traced or unlearned is the copy.

Raises:
    InputError: one line that says what cannot be used, where, and how to mend it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from untrac_core.errors import InputError
from untrac_core.explore.arguments import Given, values_of
from untrac_core.explore.bar import listener
from untrac_core.explore.inputs import Inputs
from untrac_core.explore.outcomes import RESULTS, GenerateResult, UnlearnResult, ValidateResult, VerifyResult
from untrac_core.explore.result import TraceResult
from untrac_core.progress import Progress
from untrac_core.results.folders import SUMMARY, kind_of_result
from untrac_core.specs import RUN_KINDS
from untrac_core.specs.build import build
from untrac_core.specs.files import absolute, load_spec
from untrac_core.tasks.run import run_task

CALLS = {kind: "verify" if kind == "verify" else kind for kind in RESULTS}
"""What the call of a kind of run is named."""


def trace(
    spec: BaseModel | str | Path | None = None,
    *,
    model: Any = None,
    tokenizer: Any = None,
    prompts: Any = None,
    subsets: Any = None,
    method: Any = None,
    out: str | Path | None = None,
    progress: bool | Progress = True,
    cache: str | Path | None = None,
    **settings: Any,
) -> TraceResult:
    """A trace: which of the subsets make the model write the prompt sets' texts?

    The arguments are those of every call (:mod:`untrac_core.explore.calls`). Further keywords are those of
    :class:`untrac_core.specs.TraceSpec`.
    """
    given = {"model": model, "tokenizer": tokenizer, "prompts": prompts, "subsets": subsets, "method": method}
    result: TraceResult = _call("trace", spec, _named(given) | settings, out, progress, cache)
    return result


def validate(
    spec: BaseModel | str | Path | None = None,
    *,
    model: Any = None,
    tokenizer: Any = None,
    prompts: Any = None,
    subsets: Any = None,
    methods: Any = None,
    out: str | Path | None = None,
    progress: bool | Progress = True,
    cache: str | Path | None = None,
    **settings: Any,
) -> ValidateResult:
    """A validation: retrain without each subset, and see which method predicts the result.

    ``model``: where training starts, with ``training={"init": "base"}`` or ``"continued"``. Further keywords are those
    of :class:`untrac_core.specs.ValidateSpec`.
    """
    given = {"model": model, "tokenizer": tokenizer, "prompts": prompts, "subsets": subsets, "methods": methods}
    result: ValidateResult = _call("validate", spec, _named(given) | settings, out, progress, cache)
    return result


def unlearn(
    spec: BaseModel | str | Path | None = None,
    *,
    model: Any = None,
    tokenizer: Any = None,
    forget: Any = None,
    subsets: Any = None,
    prompts: Any = None,
    method: Any = None,
    out: str | Path | None = None,
    progress: bool | Progress = True,
    cache: str | Path | None = None,
    **settings: Any,
) -> UnlearnResult:
    """An unlearning: take the effect of some texts out of the model, keep the rest, and measure what that did.

    ``forget``: the name of a subset or of a prompt set; rows of a trace's table of examples (columns subset and id); or
    texts that are in none of the subsets: a list, a DataFrame, a Dataset or a ``Path``. Without ``training``, the
    model's recipe, it stops by ``retain_budget`` unless ``stop`` is given, as nothing then says how a model would be
    that never saw them. Further keywords are those of :class:`untrac_core.specs.UnlearnSpec`.
    """
    given = _named({"model": model, "tokenizer": tokenizer, "prompts": prompts, "subsets": subsets, "method": method})
    if forget is not None:
        given["forget"] = forget
    if spec is None and settings.get("training") is None:
        settings.setdefault("stop", {"rule": "retain_budget"})
    result: UnlearnResult = _call("unlearn", spec, given | settings, out, progress, cache)
    return result


def verify(
    spec: BaseModel | str | Path | None = None,
    *,
    trace: Any = None,
    prompt_set: str | None = None,
    texts: Any = None,
    out: str | Path | None = None,
    progress: bool | Progress = True,
    cache: str | Path | None = None,
    **settings: Any,
) -> VerifyResult:
    """A verification: unlearn single texts of a trace, each of them alone. Does its score hold?

    ``trace``: a result, its spec, or the path of its YAML. ``texts``: rows of ``result.examples(...)``, or mappings of
    subset and id. Further keywords are those of :class:`untrac_core.specs.VerifySpec`.
    """
    given = {"trace": trace, "prompt_set": prompt_set, "texts": texts}
    result: VerifyResult = _call("verify", spec, _named(given) | settings, out, progress, cache)
    return result


def generate(
    spec: BaseModel | str | Path | None = None,
    *,
    model: Any = None,
    tokenizer: Any = None,
    texts: Any = None,
    out: str | Path | None = None,
    progress: bool | Progress = True,
    cache: str | Path | None = None,
    **settings: Any,
) -> GenerateResult:
    """A generation: let the model complete prompts, and score what it wrote.

    ``texts``: a list of prompts; or a file, a hub id, a DataFrame or a Dataset, whose ``column`` holds them. Further
    keywords are those of :class:`untrac_core.specs.GenerateSpec`.
    """
    given = {"model": model, "tokenizer": tokenizer, "texts": texts}
    result: GenerateResult = _call("generate", spec, _named(given) | settings, out, progress, cache)
    return result


def _named(given: Given) -> Given:
    """What was named of a call's arguments."""
    return {key: value for key, value in given.items() if value is not None}


def _call(
    kind: str,
    spec: BaseModel | str | Path | None,
    given: Given,
    out: str | Path | None,
    progress: bool | Progress,
    cache: str | Path | None,
) -> Any:
    """Run a request of a kind in this process; returns its result, whose temporary folder, if any, goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="untrac-")) if out is None else _usable(out, kind)
    try:
        with listener(progress) as listening:
            inputs = Inputs(folder)
            base = _base(kind, spec)
            values = base | values_of(kind, given, inputs, base)
            wanted: Any = absolute(build(RUN_KINDS[kind], values, where=CALLS[kind]), Path.cwd())
            inputs.save()
            (folder / SUMMARY).unlink(missing_ok=True)  # a folder that has it is whole
            data = run_task(wanted, folder, listening, cache)
    except BaseException:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if out is None:
        weakref.finalize(data, shutil.rmtree, folder, ignore_errors=True)
    return RESULTS[kind](data)


def _usable(out: str | Path, kind: str) -> Path:
    """The folder of a run, made if need be; that of a run of another kind is refused."""
    folder = Path(os.path.abspath(os.path.expanduser(out)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        what = f"the folder cannot be made ({getattr(error, 'strerror', None) or error})"
        raise InputError(what, field=f"out {str(out)!r}", hint="name another one") from None
    if (folder / SUMMARY).is_file() and kind_of_result(folder) != kind:
        what = f"it holds the result of another kind of run ({kind_of_result(folder)[:40]})"
        raise InputError(what, field=f"out {str(out)!r}", hint="name another folder")
    return folder


def _base(kind: str, spec: BaseModel | str | Path | None) -> Given:
    """What a spec, or a file with one, says already."""
    if spec is None:
        return {}
    found: Any = load_spec(spec) if isinstance(spec, str | Path) else spec
    there = getattr(found, "kind", type(found).__name__)
    if there != kind:
        hint = f"call untrac.{CALLS[there]}" if there in CALLS else f"give one of kind {kind!r}, or keywords alone"
        raise InputError(f"the first argument is of kind {there!r}", field=CALLS[kind], hint=hint)
    return {name: getattr(found, name) for name in found.model_fields_set}
