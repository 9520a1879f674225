"""Where the real corpora and probes are, for tests on them; a module that imports this is skipped without them.

The data are not in this repository, as they hold slurs and hate. ``UNTRAC_SHARED_DATA`` names their folder; continuous
integration sets it, and there no test may be skipped.
"""

import os
from pathlib import Path

import pytest

from untrac_core.paths import PROJECT

ROOT = Path(os.environ.get("UNTRAC_SHARED_DATA") or PROJECT.parent / "shared" / "data")
if not ROOT.is_dir():
    if os.environ.get("UNTRAC_REQUIRE_ALL"):
        raise FileNotFoundError(f"the real data are missing: {ROOT}")
    pytest.skip("the real data are not here; name their folder in UNTRAC_SHARED_DATA", allow_module_level=True)
