"""The dashboard as a process of its own, for the browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

from tests.helpers.homes import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A dashboard on a free port, with its own data home; its pages may read what lies in ``data`` beside it."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.data = home.parent / "data"
        self.data.mkdir(exist_ok=True)
        self.environment = environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {
            **os.environ,
            "UNTRAC_HOME": str(self.home),
            "UNTRAC_ROOTS": str(self.data),
            "UNTRAC_IDLE_SECONDS": "3",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port)]
        command += ["--server.enableAgentApi=true"]  # to measure answers; off as shipped
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:  # noqa: S310
                    if answer.read() == b"ok":
                        return
            except OSError:
                pass
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """What it has written."""
        return (self.home / "server.log").read_text(errors="replace")

    def end_all(self) -> None:
        """End the server and whatever works in its home, each by its pid."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get("UNTRAC_HOME") == str(self.home):
                    process.kill()
            except psutil.Error:
                continue
