"""What a result was made with: versions, platform and the commit of this checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from untrac_core import __version__
from untrac_core.paths import PROJECT

if TYPE_CHECKING:
    from untrac_core.data.prompts import PromptData
    from untrac_core.data.subsets import SubsetData

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "pandas", "scipy", "pyarrow")


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The versions of this program, Python and the packages that computed; what is not installed is ``None``."""
    return {
        "untrac": __version__,
        "git": git_revision(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: package_version(name) for name in packages},
    }


def data_digests(prompts: Mapping[str, PromptData], subsets: Mapping[str, SubsetData]) -> dict[str, str]:
    """The content hashes of all that was read, by name."""
    return {
        **{f"prompt set {name}": data.digest for name, data in prompts.items()},
        **{f"subset {name}": data.digest for name, data in subsets.items()},
    }


def git_revision() -> str | None:
    """The commit of this checkout, if it is one: what lies unpacked or installed in another's is not."""
    if not (PROJECT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(PROJECT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def package_version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
