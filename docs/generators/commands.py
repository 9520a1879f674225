"""The page of the command line."""

from __future__ import annotations

from typing import Any

import typer

from docs.generators.markdown import page, table
from untrac_core.cli.app import app

OPENING = """
`untrac COMMAND`; after `make`, `.venv/bin/untrac COMMAND`. `python -m untrac_core COMMAND` does the same.
`untrac --install-completion` turns on completion in your shell. [Run specs by example](run-specs.md) shows what a spec
looks like. An ID is that of a run, as `untrac runs` lists it.

Exit codes: 0 done, 1 failed, 2 bad input (one line: what is wrong, where, how to fix it), 130 cancelled. For
`run`, `resume` and `show`, `--json` prints the content of `summary.json`.

A run is queued and computed in a process of its own. It continues when the terminal is closed; Ctrl-C cancels it.
Runs, the library and caches are stored in `~/.untrac`, or in `$UNTRAC_HOME`.
"""
LEFT_OUT = {"help", "install_completion", "show_completion"}


def make() -> str:
    """The page."""
    group: Any = typer.main.get_command(app)
    return page("Commands", OPENING, *(_command(name, one) for name, one in group.commands.items()))


def _command(name: str, command: Any) -> str:
    arguments = " ".join(_argument(one) for one in command.params if one.param_type_name == "argument")
    needed = [one for one in command.params if one.param_type_name == "option" and one.required]
    arguments += "".join(f" {one.opts[0]} {one.metavar}" for one in needed)
    text = f"## {name}\n\n```sh\nuntrac {name} {arguments}".rstrip() + f"\n```\n\n{' '.join(command.help.split())}"
    options = [one for one in command.params if one.param_type_name == "option" and one.name not in LEFT_OUT]
    rows = [(", ".join(f"`{flag}`" for flag in one.opts), " ".join((one.help or "").split())) for one in options]
    return text + ("\n\n" + table(("Option", "Meaning"), rows) if rows else "")


def _argument(one: Any) -> str:
    name = (one.metavar or one.name.upper()).strip("[]")
    return name if one.required else f"[{name}]"
