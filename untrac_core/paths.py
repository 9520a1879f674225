"""Where things lie: the data home, the bundled demo, and the folders that a page may read from."""

from __future__ import annotations

import os
from pathlib import Path

from untrac_core.errors import InputError

_PACKAGE = Path(__file__).resolve().parent
_BUNDLE = _PACKAGE / "_app"
INSTALLED = _BUNDLE.is_dir()
"""Whether this is an installed package, which has the pages and the demo inside; a checkout has them beside it."""
PROJECT = _BUNDLE if INSTALLED else _PACKAGE.parent
"""The folder of ``app.py``, ``pages`` and ``assets``."""
DEMO = PROJECT / "assets" / "demo"


VIEW = "UNTRAC_VIEW"
"""Set in the environment of a dashboard that only shows results."""


def only_shows() -> bool:
    """Whether this process shows results and starts nothing."""
    return bool(os.environ.get(VIEW))


def data_home() -> Path:
    """The folder of runs, uploads and cached cells: ``$UNTRAC_HOME``, else ``~/.untrac``; private to its owner."""
    home = Path(os.environ.get("UNTRAC_HOME") or Path.home() / ".untrac").expanduser().resolve()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the data home {str(home)!r} cannot be made ({error.strerror})", field="UNTRAC_HOME", hint="name another"
        ) from None
    return home


def allowed_roots() -> list[Path]:
    """Folders from which a page may read models and data.

    ``$UNTRAC_ROOTS`` (separated as ``$PATH`` is), else the folder that the server was started in; the data home
    and the bundled demo always. The command line runs as its user and is not limited.
    """
    named = os.environ.get("UNTRAC_ROOTS", "")
    roots = [Path(part).expanduser() for part in named.split(os.pathsep) if part] or [Path.cwd()]
    return [root.resolve() for root in (*roots, data_home(), DEMO)]


def within_roots(path: str | Path, *, where: str) -> Path:
    """Resolve a path that came from a page, following links, and refuse it outside the allowed roots.

    What lies outside is refused alike whether it exists or not, so that a page cannot be asked what else is here.
    """
    text = str(path)
    if "\0" in text:
        raise InputError("the path has a NUL character", field=where, hint="type it again")
    missing = InputError(
        f"there is no file or folder {text!r}", field=where, hint="check the spelling (paths are the server's)"
    )
    try:
        resolved = _resolved(text)
    except (OSError, RuntimeError):  # a user or a loop of links that is nowhere
        raise missing from None
    if not any(resolved.is_relative_to(root) for root in allowed_roots()):
        raise InputError(
            f"{text!r} lies outside the folders that pages may read",
            field=where,
            hint="move it under one of them, or name its folder in UNTRAC_ROOTS before starting the server",
        )
    if not _exists(resolved):
        raise missing
    return resolved


def _resolved(text: str) -> Path:
    """The path that is meant: a relative one may begin in any allowed root, or with the root's own name."""
    path = Path(text).expanduser()
    places = [path.resolve()]
    if not path.is_absolute():
        roots = allowed_roots()
        places += [(start / path).resolve() for root in roots[:-2] for start in (root, root.parent)]
        places = [place for place in places if any(place.is_relative_to(root) for root in roots)] or places
    return next((place for place in places if _exists(place)), places[0])


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; a name that no folder can have is none."""
    try:
        return path.is_dir()
    except OSError:  # too long a name
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a name
        return False
