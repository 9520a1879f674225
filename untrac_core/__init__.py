"""Untrac: which of a language model's training subsets make it say this, and how sure are we?

    import untrac_core as untrac

    result = untrac.trace(model="my/model", prompts={"toxicity": "toxigen"}, subsets={"forum": "forum.jsonl", ...})
    result.plot("toxicity")

What is offered here is imported when it is first asked for (PEP 562): the package alone loads neither torch nor pandas.
"""

from __future__ import annotations

import os as _os
from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from untrac_core.engine import Library, Store
    from untrac_core.explore.calls import generate, trace, unlearn, validate, verify
    from untrac_core.explore.opening import open_result
    from untrac_core.report.file import report
    from untrac_core.specs.files import load_spec

# Of the hub, nothing but what the user names is asked for: no usage statistics, no other transfer service. These are
# read when huggingface_hub is imported, which any library may do first.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_UPDATE_CHECK", "DO_NOT_TRACK"):
    _os.environ[_name] = "1"

__all__ = [
    "Library", "Store", "generate", "load_spec", "open_result", "report", "trace", "unlearn", "validate", "verify",
]  # fmt: skip
_MODULES = {
    **dict.fromkeys(("generate", "trace", "unlearn", "validate", "verify"), "explore.calls"),
    **dict.fromkeys(("Library", "Store"), "engine"),
    "load_spec": "specs.files",
    "open_result": "explore.opening",
    "report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _import_module(f"{__name__}.{_MODULES[name]}")
    # The package of reports bears the name of its function, and can be called as it.
    return module if name == "report" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
