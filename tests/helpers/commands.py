"""The command line as a shell sees it: exit status, standard output, standard error."""

import subprocess
import sys

from tests.helpers.homes import PATIENCE
from untrac_core.cli.app import main
from untrac_core.paths import PROJECT


def command(*arguments):
    """A command as a list for a process."""
    return [sys.executable, "-m", "untrac_core", *map(str, arguments)]


def untrac(*arguments):
    """Run a command in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=PATIENCE, cwd=PROJECT, check=False
    )


def said(capsys, *arguments):
    """Run a command in this process: exit status, standard output, standard error."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err
