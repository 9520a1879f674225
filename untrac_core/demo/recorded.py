"""Where the recorded runs of the demo are, and what they are called."""

from __future__ import annotations

DEMO_RUN, DEMO_BY_UNTRAC = "de3000000001", "de3000000002"
"""The ids under which the recorded traces of the demo are installed: by UnTrac-Inv, and by UnTrac."""
DEMO_VALIDATION, DEMO_UNLEARNING = "de3000000003", "de3000000004"
"""Those of the recorded validation and unlearning."""

TRACES = {"untrac": DEMO_BY_UNTRAC, "run": DEMO_RUN}
RECORDED = {"unlearning": DEMO_UNLEARNING, "validation": DEMO_VALIDATION, **TRACES}
"""Of the demo: folders of its bundle, and the runs that they are; the last comes first in a list of runs."""
