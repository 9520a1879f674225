"""Old names of spec keys and values: they are refused, and the error names the new one."""

from __future__ import annotations

KEYS: dict[str, tuple[str, ...]] = {
    "batch": ("batch_size",),
    "beside": ("compare",),
    "block": ("block_size",),
    "blocks": ("samples_per_subset",),
    "budget": ("max_retain_increase",),
    "by": ("split_by",),
    "cap": ("max_forget_loss",),
    "deep": ("ensemble_size",),
    "dose": ("target_loss_increase",),
    "draws": ("estimate_seeds",),
    "evaluations": ("eval_points",),
    "every": ("eval_every",),
    "heads": ("num_heads",),
    "held_out": ("holdout",),
    "hidden": ("hidden_size",),
    "layers": ("num_layers",),
    "look": ("eval_samples",),
    "max_dose": ("max_loss_increase",),
    "most": ("max_subsets",),
    "moves": ("trainable",),
    "only": ("where",),
    "precision": ("dtype",),
    "relearn": ("relearn_steps",),
    "scan": ("max_read_mb",),
    "share": ("subsample", "mask_fraction"),
    "sizes": ("weighting",),
    "target": ("forget",),
    "vocabulary": ("vocab_size",),
    "warmup": ("warmup_steps",),
    "words": ("prompt_words",),
    "writing": ("generation",),
}
"""An old key, and what it is now; with two names, that of the place where it stands."""

VALUES = {
    "as-given": "none",
    "ascent": "grad-ascent",
    "examine": "verify",
    "further": "continued",
    "gold": "match_retrained",
    "held-out": "match_holdout",
    "hidden-similarity": "hidden-state-similarity",
    "kronecker-dot": "shampoo-dot",
    "last": "last_layers",
    "retain-budget": "retain_budget",
    "sim-npo": "simnpo",
    "steps": "fixed",
}
"""An old value (a kind, a method's name, a rule), and what it is now."""
