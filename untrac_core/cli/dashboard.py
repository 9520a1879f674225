"""``dashboard``: the pages, served on this machine alone."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from untrac_core.engine.processes import python_module
from untrac_core.paths import PROJECT

ADDRESS = "127.0.0.1"
PORT = 8501


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that it listens on.")] = PORT,
) -> None:
    """Serve the dashboard on 127.0.0.1.

    Its pages may read files below the folder that it is started in.
    """
    # Look and limits come from .streamlit/config.toml beside app.py. These two hold whatever the environment says.
    options = {"server.port": port, "server.address": ADDRESS, "browser.gatherUsageStats": False}
    flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
    command = python_module("streamlit", "run", os.fspath(PROJECT / "app.py"), *flags)
    print(f"The dashboard opens on http://{ADDRESS}:{port} (stop it with Ctrl-C).", flush=True)
    os.execv(sys.executable, command)  # noqa: S606 - this very interpreter, so that signals reach the server itself
