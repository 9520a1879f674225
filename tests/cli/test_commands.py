"""The commands themselves: their names and options, misuse, and what needs no model."""

import subprocess
import sys

import pytest

from tests.helpers.commands import said
from untrac_core.engine import DEMO_RUN
from untrac_core.paths import PROJECT


def test_the_commands_and_their_options_are_these():
    """A list to be changed with care: scripts rely on it."""
    from typer.main import get_command

    from untrac_core.cli.app import app

    found = {
        name: [word for parameter in command.params for word in parameter.opts]
        for name, command in get_command(app).commands.items()
    }
    assert found == {
        "run": ["spec_file", "--model", "--prompts", "--data", "--method", "--limit", "--out", "--json"],
        "delete": ["run_id", "--yes"],
        "resume": ["run_id", "--out", "--json"],
        "check": ["spec_file", "--json"],
        "train": ["recipe", "--out", "--json"],
        "runs": ["--json", "--limit", "--find", "--kind", "--tag", "--sort"],
        "log": ["run_id", "--to", "--online"],
        "edit": ["run_id", "--name", "--tag", "--untag", "--notes"],
        "show": ["run_id", "--side", "--json"],
        "sharpen": ["run_id", "--to", "--only", "--undecided", "--out", "--json"],
        "extend": ["run_id", "--seeds", "--out", "--json"],
        "exclude": ["run_id", "texts", "--out", "--json"],
        "blend": ["run_id", "others", "--prompts", "--side", "--json"],
        "what-if": ["run_id", "mix", "--json"],
        "cancel": ["run_id"],
        "library": ["kind", "--json"],
        "library-remove": ["entry_id"],
        "worker": ["--device"],
        "demo": ["--write"],
        "report": ["results", "--out", "--notes", "--title", "--force", "--show-texts"],
        "bundle": ["results", "--out", "-o", "--title", "--force", "--show-texts"],
        "dashboard": ["--port"],
        "view": ["folder", "--port"],
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nowhere.yaml", "--out", "x"], "cannot read the spec"),
        (["run"], "a trace needs a model, prompts and data. Or name a SPEC.yaml"),
        (["run", "--model", "demo", "--prompts", "toxigen"], "a trace needs a model, prompts and data"),
        (["run", "x.yaml", "--model", "demo"], "a spec and options of a trace are named"),
        (["delete", "0123456789ab", "--yes"], "there is no run 0123456789ab"),
        (["runs", "--limit", "many"], "--limit"),
        (["runs", "--limit", "0"], "--limit"),
        (["runs", "--colour"], "--colour"),
        (["fly"], "fly"),
        (["what-if", "demo", "forum"], "'forum' does not say how often a subset is read"),
        (["what-if", "demo", "nobody=0"], "there is no subset 'nobody'"),
        (["view", "nowhere"], "this is not a folder"),
        (["show", "../../etc"], "is not a run id"),
        (["show", "0123456789ab"], "there is no run 0123456789ab"),
        (["cancel", "0123456789ab"], "there is no run"),
        (["resume", "nothing"], "is not a run id"),
        (["library", "cars"], "is not kept in the library"),
        (["library-remove", "../../x"], "is not the id of an entry"),
        (["library-remove", "0123456789ab"], "there is no entry"),
        (["library-remove", "demo-forum"], "comes with the program"),
    ],
)
def test_misuse_is_one_line_with_status_2(home, capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert list(tmp_path.iterdir()) == []


def test_the_demo_says_how_to_open_it_and_writes_its_texts(home, capsys, tmp_path):
    status, out, _ = said(capsys, "demo")
    assert status == 0
    assert f"influence?run={DEMO_RUN}" in out
    assert said(capsys, "demo", "--write", tmp_path / "texts")[0] == 0
    assert len(list((tmp_path / "texts").rglob("*.jsonl"))) >= 11


def test_listing_and_showing_load_neither_torch_nor_data_libraries(home):
    script = (
        "import sys; from untrac_core.cli.app import main; main(['runs']); main(['runs', '--json']);"
        "main(['show', '0123456789ab']);"
        "print([m for m in ('torch', 'transformers', 'pandas', 'numpy', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
