"""Reports: HTML that asks no network for anything, of one finished run, of several, or as a folder of pages.

The package can be called as its one function, ``untrac_core.report(folder)``: an import of it takes that name in
``untrac_core``.
"""

import sys
from types import ModuleType
from typing import Any

from untrac_core.report.file import report

__all__ = ["report"]


class _Callable(ModuleType):
    """A module that is called as its function."""

    def __call__(self, *given: Any, **named: Any) -> bytes:
        return report(*given, **named)


sys.modules[__name__].__class__ = _Callable
