"""``dashboard`` and ``view``: the pages, served on this machine alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from untrac_core.engine import Store
from untrac_core.engine.processes import python_module
from untrac_core.errors import InputError
from untrac_core.paths import PROJECT, VIEW, is_folder

ADDRESS = "127.0.0.1"
PORT = 8501
RESULT_PAGES = {"trace": "influence", "validate": "validate", "unlearn": "unlearn"}
"""Kinds of run whose result has a page."""


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that it listens on.")] = PORT,
) -> None:
    """Serve the dashboard on 127.0.0.1.

    Its pages may read files below the folder that it is started in.
    """
    command = _server(port)
    print(f"The dashboard opens on http://{ADDRESS}:{port} (stop it with Ctrl-C).", flush=True)
    os.execv(sys.executable, command)  # noqa: S606 - this very interpreter, so that signals reach the server itself


def view(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A result folder, as of 'run --out'.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that it listens on.")] = PORT,
) -> None:
    """Show a result folder in the dashboard, read-only: nothing can be started, and nothing is written there."""
    if not is_folder(folder):
        raise InputError("this is not a folder", field=str(folder), hint="name the folder of a result")
    with tempfile.TemporaryDirectory(prefix="untrac-view-") as home:
        run = Store(home).install_result(folder)
        if run.kind not in RESULT_PAGES:
            hint = f"name one of {', '.join(RESULT_PAGES)}"
            raise InputError(f"a {run.kind} result has no page", field=str(folder), hint=hint)
        print(f"The result opens on http://{ADDRESS}:{port}/{RESULT_PAGES[run.kind]}?run={run.id}")
        print("It is shown read-only; stop it with Ctrl-C.", flush=True)
        with suppress(KeyboardInterrupt):
            subprocess.run(_server(port), env={**os.environ, "UNTRAC_HOME": home, VIEW: "1"}, check=False)


def _server(port: int) -> list[str]:
    """The command that serves the pages."""
    # Look and limits come from .streamlit/config.toml beside app.py. These hold whatever the environment says.
    options = {"server.port": port, "server.address": ADDRESS, "browser.gatherUsageStats": False}
    flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
    return python_module("streamlit", "run", os.fspath(PROJECT / "app.py"), *flags)
