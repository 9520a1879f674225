"""Log text: secrets removed, one line where needed, in files of bounded size."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

LOG_BYTES = 2_000_000
LINE_BYTES = 8_192
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
SECRET_SHAPE = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
HIDDEN = "[hidden]"


def redact(text: str) -> str:
    """The text without access tokens: those in the environment, those of the hub, and passwords in URLs."""
    for name, value in os.environ.items():
        if len(value) >= 8 and SECRET_NAME.search(name):
            text = text.replace(value, HIDDEN)
    return SECRET_SHAPE.sub(HIDDEN, text)


def one_line(text: str, limit: int = 500) -> str:
    """The text redacted, on one line, of at most ``limit`` characters."""
    line = " ".join(redact(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def append(path: Path, text: str, cap: int = LOG_BYTES) -> None:
    """Add redacted text to a log file; over ``cap`` bytes, its older half is dropped."""
    with path.open("ab") as file:
        file.write(redact(text).encode("utf-8", "replace"))
        size = file.tell()
    if size > cap:
        kept = path.read_bytes()[-cap // 2 :].partition(b"\n")[2]
        path.write_bytes(b"... earlier lines were dropped ...\n" + kept)


def pump(stream: BinaryIO, path: Path) -> None:
    """Copy a process's output to its log until the stream ends; a log that cannot be written is given up."""
    with stream:
        while line := stream.readline(LINE_BYTES):
            try:
                append(path, line.decode("utf-8", "replace"))
            except OSError:
                continue  # a full disk must not stop the reader: the process would block on the pipe


def tail(path: Path, lines: int) -> str:
    """The last ``lines`` lines of a log; nothing when there is none yet."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
