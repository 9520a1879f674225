"""Help in which no sentence is cut: the list of commands, each with what it does on as many lines as needed."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class WholeHelp(TyperGroup):
    """The commands of the program."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; typer's own cuts each line to the width of the terminal."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, " ".join((command.help or "").split("\n\n")[0].split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
