"""What the tests of the hub ask with: a record of progress, another process, a hub that is out of reach."""

import subprocess
import sys

from untrac_core.errors import Cancelled

CARD = "---\nlicense: other\nlicense_name: guild-1.0\nconfigs:\n{}---\n# Tales\n"
SPLIT = "  - split: {1}\n    path: {0}/{1}-*\n"
CONFIG = "- config_name: {0}\n  data_files:\n" + SPLIT.replace("{1}", "train") + SPLIT.replace("{1}", "test")


class Ticks:
    """Records what it is told; with ``stop_at``, cancels once so many bytes are here."""

    def __init__(self, stop_at=None):
        self.phases, self.ticks, self.stop_at = [], [], stop_at

    def phase(self, text):
        self.phases.append(text)

    def tick(self, done, total):
        self.ticks.append((done, total))
        if self.stop_at is not None and done >= self.stop_at:
            raise Cancelled


def one_line(caught) -> str:
    """What an error says: one line, without an address and without the token."""
    text = str(caught.value)
    assert "\n" not in text
    assert "http" not in text
    assert "good" not in text
    return text


def go_offline(_, monkeypatch):
    """What ``HF_HUB_OFFLINE`` does to the libraries when they are imported."""
    import datasets

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def said_elsewhere(stand_in, home, code):
    """The lines that another process prints, which knows of the stand-in by its environment alone."""
    environment = stand_in.environment(home)
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()
