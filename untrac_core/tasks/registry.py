"""The kinds of run, one row each: what checks it, what does it, what reads its result, and what it is called.

To add a kind: a spec in :mod:`untrac_core.specs`, a package here with a check and a task, and a row. Nothing else asks
a spec what it is. Check, task and result are named as ``module:function`` and imported when they are wanted, so that a
page can look at a row without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from untrac_core.errors import InputError
from untrac_core.progress import Progress
from untrac_core.specs import RUN_KINDS, RunSpec, Spec
from untrac_core.tasks import describe
from untrac_core.tasks.base import Check, Place, Task


@dataclass(frozen=True)
class RunKind:
    """A kind of run."""

    check: str
    """``check(spec, *, rates)``: reads all that can be read without torch; :class:`InputError` for what cannot run."""
    task: str
    """``open_task(spec, place)``: loads what it needs.

    Both take a request that is written out (:func:`resolved`)."""
    describe: Callable[[Any], str]
    """What such a run is and how large, in one line, without any word of the user."""
    result: str = ""
    """``load(folder)``: a finished run of it as an object; empty: its files are all that there is."""
    needs_device: bool = True
    """Whether it computes, so that it waits for the device."""
    one_pass: bool = False
    """Whether its cells are parts of one pass, so that the share of it that is done is known."""


KINDS: dict[str, RunKind] = {
    "trace": RunKind(
        "tasks.trace.check:check", "tasks.trace.task:open_task", describe.trace, "results.folders:load_trace"
    ),
    "validate": RunKind(
        "tasks.validate.check:check_validate",
        "tasks.validate.task:open_task",
        describe.validation,
        "results.folders:load_validate",
    ),
    "verify": RunKind(
        "tasks.verify.check:check_verify",
        "tasks.verify.task:open_task",
        describe.verification,
        "results.folders:load_verify",
    ),
    "unlearn": RunKind(
        "tasks.unlearn.check:check_unlearn",
        "tasks.unlearn.task:open_task",
        describe.unlearning,
        "results.folders:load_unlearn",
    ),
    "generate": RunKind(
        "tasks.generate:check_generate",
        "tasks.generate:open_task",
        describe.generation,
        "results.folders:load_generate",
        one_pass=True,
    ),
    "fetch": RunKind(
        "tasks.fetch:check_fetch",
        # It adds to the library, which only the engine has.
        "engine.library.fetching:open_task",
        describe.fetch,
        needs_device=False,
        one_pass=True,
    ),
}


def kind_of(spec: Spec) -> RunKind:
    """The row of a spec; :class:`InputError` for a recipe, which is trained and not run."""
    if spec.kind not in KINDS:
        raise InputError(
            f"a {spec.kind} recipe is not run in the queue", hint="use the command 'train RECIPE.yaml --out DIR'"
        )
    return KINDS[spec.kind]


def _named(target: str) -> Callable[..., Any]:
    """The function that ``module:function`` names."""
    module, name = target.split(":")
    found: Callable[..., Any] = getattr(import_module(f"untrac_core.{module}"), name)
    return found


def resolved(spec: Spec, progress: Progress | None = None) -> Any:
    """A request written out (:func:`untrac_core.data.resolve.expand`); a fetch looks its data up when it runs."""
    if not kind_of(spec).needs_device:
        return spec
    from untrac_core.data.resolve import expand  # numpy comes with it, and most who ask for a row read no data

    return expand(spec, progress)


def check(spec: Spec, *, rates: Mapping[str, float] | None = None, progress: Progress | None = None) -> Check:
    """What a request takes, with the request as it will run; :class:`InputError` where it cannot run.

    ``rates``: floating point operations a second by device, as measured.
    """
    wanted = resolved(spec, progress)
    checked: Check = _named(kind_of(spec).check)(wanted, rates=rates)
    return replace(checked, spec=wanted)


def open_task(spec: RunSpec, place: Place) -> Task:
    """The task of a request that is written out; it loads torch and a model, or, for a ``fetch``, neither."""
    task: Task = _named(kind_of(spec).task)(spec, place)
    return task


def load_finished(kind: str, folder: Path) -> Any:
    """The result in a folder of this kind as an object; ``None`` of a kind that has only files."""
    return _named(KINDS[kind].result)(folder) if KINDS[kind].result else None


def describe_run(spec: RunSpec) -> str:
    """What a run is and how large, in one line, without any word of the user."""
    return kind_of(spec).describe(spec)


assert set(KINDS) == set(RUN_KINDS)  # noqa: S101
__all__ = ["KINDS", "RunKind", "check", "describe_run", "kind_of", "load_finished", "open_task", "resolved"]
