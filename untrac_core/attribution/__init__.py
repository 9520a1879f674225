"""Attribution methods: one a file, behind one protocol and one registry."""

from __future__ import annotations

from untrac_core.attribution.protocol import Method, Study
from untrac_core.attribution.untrac import UnTrac
from untrac_core.attribution.untrac_inv import UnTracInv
from untrac_core.specs import MethodSpec

METHODS: dict[str, type[Method]] = {UnTrac.name: UnTrac, UnTracInv.name: UnTracInv}

__all__ = ["METHODS", "Method", "Study", "make_method"]


def make_method(spec: MethodSpec) -> Method:
    """The method that a spec names."""
    return METHODS[spec.name]()
