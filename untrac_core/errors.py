"""The one error that a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    One line: ``field``, which is what the user gave (a key, a file, a page's field), ``message``, which says what is
    wrong with it, and ``hint``, how to mend it. The command line prints it and
    exits with 2; a page shows it at the field. Anything else that is raised is a fault of this program.
    """

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        sentences = [f"{field}: {message}" if field else message, hint[:1].upper() + hint[1:]]
        ended = [part if part.endswith(("?", ".")) else f"{part}." for part in sentences if part]
        super().__init__(" ".join(" ".join(ended).split()))
        self.message, self.field, self.hint = message, field, hint


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, at most 200 characters; of one that says nothing, its kind."""
    said = str(error).strip()
    return said.splitlines()[0][:200] if said else type(error).__name__


class Cancelled(Exception):  # noqa: N818 - a request, not an error
    """The user asked for the run to stop; what was finished is kept."""
