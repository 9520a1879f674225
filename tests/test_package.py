"""The package as it is handed out: what the wheel holds, and that its command runs without the checkout."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
import zipfile
from pathlib import Path

import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from tests.helpers.homes import members, until
from untrac_core import __version__
from untrac_core.engine import DEMO_RUN
from untrac_core.paths import PROJECT

BUNDLE = "untrac_core/_app/"
GENERATE = {
    "kind": "generate",
    "model": {"path": "demo"},
    "texts": ["the council"],
    "sampling": {"samples": 1, "tokens": 2},
    "scorer": {"lexicon": {"bundled": "lexicon.txt"}},
    "device": "cpu",
}
pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def requirements(name):
    lines = (PROJECT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r"))]


def test_the_ranges_of_the_package_hold_the_pins_and_end_before_the_next_release_that_may_break():
    told = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = {asked.name: asked.specifier for asked in map(Requirement, told["dependencies"])}
    pins = {pin.name: str(pin.specifier).removeprefix("==") for pin in requirements("requirements.txt")}
    assert set(ranges) == set(pins)
    for name, pin in pins.items():
        major, minor = pin.split(".")[:2]
        assert pin in ranges[name], name
        assert (f"0.{int(minor) + 1}" if major == "0" else f"{int(major) + 1}") not in ranges[name], name
    assert [str(asked) for asked in requirements("requirements-dev.txt")] == told["optional-dependencies"]["dev"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without the network."""
    place = tmp_path_factory.mktemp("wheel")
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", place, PROJECT], check=True, timeout=300)
    [built] = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of an environment with the wheel in it, and with the dependencies of this one but no checkout."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    seen = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    own = sysconfig.get_path("purelib", vars={"base": str(place)})
    Path(own, "dependencies.pth").write_text("\n".join(sorted(seen)) + "\n", encoding="utf-8")
    line = [*pip, "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(line, check=True, timeout=300)
    return place


@pytest.fixture
def user(installed, tmp_path):
    """Make the command line of a user elsewhere, with a home of its own; what works in that home is ended."""
    home, elsewhere = tmp_path.resolve() / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = ("PYTHONPATH", "UNTRAC_ROOTS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {"UNTRAC_HOME": str(home), "UNTRAC_IDLE_SECONDS": "1", "HOME": str(elsewhere)}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # What must not be heeded.
    environment |= {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0", "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "true"}  # noqa: S104

    def start(*arguments, program="untrac", **variables):
        line = [installed / "bin" / program, *map(str, arguments)]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(line, cwd=elsewhere, env=environment | variables, **piped)

    yield start
    for process in members(home):
        process.kill()
        process.wait(10)


def said(process):
    """Its standard output, once it has ended well."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_program(wheel):
    def files(folder):
        return {path for path in (PROJECT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    core = {path.relative_to(PROJECT).as_posix() for path in files("untrac_core")}
    beside = {PROJECT / "app.py"} | files("pages") | files("assets") | files(".streamlit")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == core | {BUNDLE + path.relative_to(PROJECT).as_posix() for path in beside}
    assert {"untrac_core/py.typed", BUNDLE + "assets/demo/model/model.safetensors"} <= names


@pytest.mark.slow
def test_the_command_runs_from_the_wheel_alone(user, installed):
    assert said(user("--version")) == f"untrac {__version__}\n"
    # As a shell asks for it: `--show-completion` looks at which shell it was called from, and a build has none.
    assert "untrac_completion" in said(user(_UNTRAC_COMPLETE="source_bash"))
    where = "import untrac_core.paths as p, sys; print(p.__file__, p.DEMO.is_dir(), *sys.path, sep='\\n')"
    module, demo, *path = said(user("-P", "-c", where, program="python")).splitlines()
    assert Path(module).is_relative_to(installed)
    assert demo == "True"
    assert not any(Path(entry).resolve() == PROJECT for entry in path)
    assert f"'untrac show {DEMO_RUN}'" in said(user("demo"))
    assert DEMO_RUN in said(user("runs"))


@pytest.mark.slow
def test_a_run_is_served_by_the_installed_worker_and_names_the_version_not_a_commit(user, tmp_path):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(GENERATE), encoding="utf-8")
    # The commit of a repository around the environment would not be this program's.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert "1 completion" in said(user("run", tmp_path / "spec.yaml", "--out", tmp_path / "result"))
    environment = json.loads((tmp_path / "result" / "environment.json").read_text(encoding="utf-8"))
    assert (environment["untrac"], environment["git"]) == (__version__, None)


def answer(address):
    with urllib.request.urlopen(address, timeout=5) as got:  # noqa: S310 - our own server
        return got.read().decode()


def healthy(url):
    try:
        return answer(f"{url}/_stcore/health") == "ok"
    except OSError:
        return False


def drawn(url, page, query):
    """What the server sends for a page: the session's settings, and every element."""
    settings, elements = None, []
    with connect(f"{url.replace('http', 'ws')}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as socket:
        ask = BackMsg()
        ask.rerun_script.page_name = page
        ask.rerun_script.query_string = query
        socket.send(ask.SerializeToString())
        while True:
            message = ForwardMsg.FromString(socket.recv(timeout=60))
            kind = message.WhichOneof("type")
            if kind == "new_session":
                settings = message.new_session
            elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                elements.append(message.delta.new_element)
            elif kind == "script_finished" and settings is not None:
                return settings, elements


@pytest.mark.slow
def test_the_dashboard_runs_from_the_wheel_on_this_machine_alone_and_tells_nobody(user):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = user("dashboard", "--port", port)
    until(lambda: healthy(url) or server.poll() is not None, every=0.2)
    assert server.poll() is None, server.communicate()
    heard = [one.laddr for one in psutil.Process(server.pid).net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert heard == [("127.0.0.1", port)]
    assert "<title>" in answer(url)

    theme = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    for page, query, shown in (("", "", "Which training data"), ("influence", f"run={DEMO_RUN}", "forum")):
        settings, elements = drawn(url, page, query)
        assert not [one.exception for one in elements if one.HasField("exception")]
        assert any(shown in str(one) for one in elements)
        assert not settings.config.gather_usage_stats
        assert settings.custom_theme.light.primary_color == theme["light"]["primaryColor"]
    server.terminate()
    assert server.wait(20) == 0
