"""``blend`` and ``what-if``: what results that are there say together, without a new run."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from untrac_core.errors import InputError
from untrac_core.fileio import finite

Json = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")]


def blend(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The trace that was asked first.")],
    others: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Traces by 'sharpen', and at most one validation.")
    ] = None,
    prompts: Annotated[str | None, typer.Option(metavar="NAME", help="The prompt set; else the first.")] = None,
    side: Annotated[str | None, typer.Option(metavar="SIDE", help="contrast, harmful or harmless.")] = None,
    as_json: Json = False,
) -> None:
    """Weigh a trace, closer methods and retrainings by what each is worth, subset by subset."""
    from untrac_core.cli.console import console, table
    from untrac_core.explore.opening import open_result
    from untrac_core.explore.outcomes import ValidateResult
    from untrac_core.explore.result import TraceResult

    first, *rest = [open_result(one) for one in (run_id, *(others or ()))]
    closer = [one for one in rest if isinstance(one, TraceResult)]
    checks = [one for one in rest if isinstance(one, ValidateResult)]
    if not isinstance(first, TraceResult) or len(checks) > 1 or len(closer) + len(checks) < len(rest):
        hint = "name a trace, then others of the same question and at most one validation"
        raise InputError("these cannot be blended", field="blend", hint=hint)
    place = first.place(prompts, side)
    found = first.blended(*closer, prompt_set=place[0], side=place[1], validation=checks[0] if checks else None)
    ranked = found.scale.ranked
    if as_json:
        rows = ranked.merge(found.weights, on="subset").to_dict("records")
        told = {"prompt_set": place[0], "side": place[1], "unit": found.scale.unit, "ranking": rows}
        print(json.dumps(finite(told), indent=2, ensure_ascii=False, allow_nan=False))
        return
    sources = [str(name) for name in found.weights.columns[1:]]
    shares = found.weights.set_index("subset")
    rows = (
        (
            str(row.rank),
            row.subset,
            f"{row.influence:+.2g}",
            f"{row.low:+.2g} to {row.high:+.2g}",
            *(f"{shares.loc[row.subset, name]:.0%}" for name in sources),
        )
        for row in ranked.itertuples()
    )
    columns = [("", True), ("subset", False), (found.scale.unit, True), ("95% interval", True)]
    console().print(table(f"{place[0]}, {place[1]}", [*columns, *((name, True) for name in sources)], rows))
    console().print(Text(found.scale.said))


def what_if(
    run_id: Annotated[
        str, typer.Argument(metavar="ID", help="A validation, a trace that comes with retrainings, or 'demo'.")
    ],
    mix: Annotated[
        list[str], typer.Argument(metavar="SUBSET=TIMES...", help="0 leaves a subset out, 0.5 halves it, 2 doubles it.")
    ],
    as_json: Json = False,
) -> None:
    """Tell what retraining on another mix of the subsets would do to every prompt set, with intervals."""
    from untrac_core.cli.console import console, table
    from untrac_core.explore.opening import open_result
    from untrac_core.explore.outcomes import ValidateResult
    from untrac_core.explore.result import TraceResult
    from untrac_core.results.evidence import what_if_checked

    result = open_result(run_id)
    if not isinstance(result, TraceResult | ValidateResult):
        hint = "name a validation, or a trace that comes with retrainings"
        raise InputError("it has no retrainings without each subset", field=run_id, hint=hint)
    found = result.what_if(dict(_asked(one) for one in mix))
    if as_json:
        told = {"unit": "nats per token", "changes": found.table.to_dict("records")}
        told |= {"shares": found.shares.to_dict("records"), "beyond_what_was_checked": found.leaves}
        print(json.dumps(finite(told), indent=2, ensure_ascii=False, allow_nan=False))
        return
    rows = (
        (row.prompt_set, row.side, f"{row.change:+.2g}", f"{row.low:+.2g} to {row.high:+.2g}")
        for row in found.table.itertuples()
    )
    columns = [("prompt set", False), ("side", False), ("change, nats per token", True), ("95% interval", True)]
    console().print(table("Change of the loss", columns, rows))
    for text in found.leaves:
        console().print(Text(f"Beyond what was checked: {text}"))
    console().print(Text(what_if_checked()))


def _asked(text: str) -> tuple[str, float]:
    """A subset and how often it is read, of ``SUBSET=TIMES``."""
    name, _, times = text.rpartition("=")
    try:
        return name, float(times)
    except ValueError:
        hint = "write the subset's name, '=', and how often it is read: forum=0"
        raise InputError(f"{text!r} does not say how often a subset is read", field="mix", hint=hint) from None
