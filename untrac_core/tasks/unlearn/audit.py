"""The record of an unlearning: what was done to which model with which data, and what that does not prove.

"Unlearned" is a statement about a procedure, not about weights (Thudi et al., USENIX Security 2022): one can arrive at
the same weights with and without a text. So what can be kept is the procedure, with hashes of all that went in and out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrac_core.results.environment import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from untrac_core.specs import UnlearnSpec
    from untrac_core.tasks.unlearn.models import UnlearnRun

LIMITS = (
    "It shows the sensitivity of this model under this procedure. It does not prove that any text was erased.",
    "That weights or outputs are close to a retrained model's is no proof: other prompts may still bring it out.",
    "A model that was retrained or trained further may relearn what was removed in few steps.",
    "Nothing here is a statement about the law.",
)
"""What the record does not prove."""


def record(run: UnlearnRun, summary: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """The audit record; SHA-256 of all data and models. Called when the unlearned model is in its folder."""
    spec, models = run.spec, run.models
    retrained = models.retrained
    method = spec.method.title
    settings = models.settings[method]
    after = [row for row in summary["table"] if row["after"] is not None]
    return {
        "forget_set": run.forget_set,
        "method": method,
        "settings": {name: getattr(settings, name) for name in settings.__dataclass_fields__},
        "stop": summary["stop"],
        "seeds": spec.seeds,
        "data": run.digests,
        "neighbours": [
            {"subset": each.subset, "id": each.example.id, "of": each.of, "cosine": each.cosine}
            for each in run.data.neighbours
        ],
        "removed_texts": _digest(sorted(example.ids.tobytes() for example in run.data.forget)),
        "model_before": run.model.digest,
        "models_retrained": {} if retrained is None else {str(seed): retrained.identity(seed) for seed in spec.seeds},
        "model_after": hash_folder(model),
        "environment": environment(),
        "metrics": {
            f"{row['metric']}, {row['on']}": {
                "before": row["before"],
                "after": row["after"],
                "retrained": row["retrained"],
            }
            for row in after
        },
        "warnings": summary["warnings"],
        "does_not_prove": list(LIMITS),
    }


def _digest(parts: list[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def hash_folder(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a model folder, by its path there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
            found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def card(spec: UnlearnSpec, forget_set: str, summary: Mapping[str, Any]) -> str:
    """The model card of an unlearned model."""
    rows = [
        f"| {row['title']}, {row['on']} ({row['unit']}) | {_number(row['before'])} | {_number(row['after'])} | "
        f"{_number(row['retrained'])} |"
        for row in summary["table"]
        if row["metric"] in ("loss", "contrast", "kl", "genex", "toxic", "relearning")
    ]
    warnings = [f"- {_plain(text)}" for text in summary["warnings"]] or ["- none"]
    parts = [
        "---\ntags:\n- unlearned\n---\n",
        f"# {_plain(spec.model.path)} without {_plain(forget_set)}\n",
        f"Made by Untrac with the method {_plain(spec.method.title)}. {_plain(summary['verdict'])}\n",
        "| | before | after | retrained without it |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n",
        "## Warnings\n\n" + "\n".join(warnings) + "\n",
        "## What this does not prove\n\n" + "\n".join(f"- {text}" for text in LIMITS) + "\n",
    ]
    return "\n".join(parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _plain(text: str) -> str:
    """Text of users as a line of Markdown that is text alone."""
    line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|!" else letter for letter in line)
