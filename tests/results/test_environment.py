"""What a result says it was made with."""

import subprocess

from untrac_core.results import environment


def test_only_a_checkout_of_this_program_names_a_commit(monkeypatch, tmp_path):
    def git(*arguments):
        line = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    git("commit", "--allow-empty", "--message", "one")
    inside = tmp_path / "lib" / "untrac_core"
    inside.mkdir(parents=True)
    monkeypatch.setattr(environment, "PROJECT", inside)
    assert environment.git_revision() is None
    monkeypatch.setattr(environment, "PROJECT", tmp_path)
    assert environment.git_revision() == git("rev-parse", "HEAD")
