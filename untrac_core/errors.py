"""The one error that a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where, and how to mend it. The command line prints it and
    exits with 2; a page shows it at the field. Anything else that is raised is a fault of this program.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        sentences = [f"{where}: {what}" if where else what, mend[:1].upper() + mend[1:]]
        ended = [part if part.endswith(("?", ".")) else f"{part}." for part in sentences if part]
        super().__init__(" ".join(" ".join(ended).split()))
        self.what, self.where, self.mend = what, where, mend


def reason_of(error: BaseException) -> str:
    """The first line of what an error says, at most 200 characters; of one that says nothing, its kind."""
    said = str(error).strip()
    return said.splitlines()[0][:200] if said else type(error).__name__


class Cancelled(Exception):  # noqa: N818 - a request, not an error
    """The user asked for the run to stop; what was finished is kept."""
