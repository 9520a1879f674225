"""The hub, as the rest of the program uses it.

:mod:`untrac_core.hub.repos` asks for commits and files and words every fault, :mod:`untrac_core.hub.transfer` brings
bytes, :mod:`untrac_core.hub.models` looks at models before any weight comes, :mod:`untrac_core.hub.data` lists and
opens the files of data sets.
"""

from __future__ import annotations

from untrac_core.hub.data import HubFile, configs, data_files, splits
from untrac_core.hub.models import HubModel, model_card
from untrac_core.hub.repos import HubRepo, describe, fetch, pin

__all__ = [
    "HubFile",
    "HubModel",
    "HubRepo",
    "configs",
    "data_files",
    "describe",
    "fetch",
    "model_card",
    "pin",
    "splits",
]
