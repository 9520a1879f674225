"""Attribution methods: one a file, behind one protocol and one registry."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from untrac_core.attribution.protocol import Checkpoint, Identity, Method, Study
from untrac_core.specs import MethodSpec

__all__ = ["METHODS", "Checkpoint", "Identity", "Method", "Study", "make_method"]

METHODS: dict[str, str] = {
    "untrac": "untrac.UnTrac",
    "untrac-inv": "untrac_inv.UnTracInv",
    "grad-dot": "grad_dot.GradDot",
    "grad-cos": "grad_cos.GradCos",
    "sign-dot": "sign_dot.SignDot",
    "fisher-dot": "fisher_dot.FisherDot",
    "kronecker-dot": "kronecker_dot.KroneckerDot",
    "tracin": "tracin.TracIn",
    "lissa": "lissa.Lissa",
    "arnoldi": "arnoldi.Arnoldi",
    "ek-fac": "ek_fac.EkFac",
    "bm25": "bm25.Bm25",
    "hidden-similarity": "hidden_similarity.HiddenSimilarity",
    "random": "random_scores.RandomScores",
}
"""Name to module and class; a module is imported when its method is made."""


def make_method(spec: MethodSpec) -> Method:
    """The method that a spec names; :class:`InputError` for settings that it does not have."""
    module, name = METHODS[spec.name].rsplit(".", 1)
    make: Callable[[MethodSpec], Method] = getattr(import_module(f"{__name__}.{module}"), name)
    return make(spec)
