"""``blend``: a trace, closer looks at the same question and retrainings as one ranking."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.text import Text

from untrac_core.errors import InputError
from untrac_core.fileio import finite


def blend(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="The trace that was asked first.")],
    others: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Traces by 'sharpen', and at most one validation.")
    ] = None,
    prompts: Annotated[str | None, typer.Option(metavar="NAME", help="The prompt set; else the first.")] = None,
    side: Annotated[str | None, typer.Option(metavar="SIDE", help="contrast, harmful or harmless.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else, to standard output.")] = False,
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
