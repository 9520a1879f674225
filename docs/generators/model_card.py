"""The model card of the attribution methods, from the results of the testbeds."""

from __future__ import annotations

from docs.generators.markdown import page, table, upper
from untrac_core.results.evidence import SEEDS_AGREE, Testbed, chosen_on, testbeds
from untrac_core.specs.catalogue import LADDER, method_title
from untrac_core.text.limits import NOT_PROOF

WORDS_ALONE = "bm25"
"""Compares words and looks at no model: what is not ahead of it has shown little."""
OPENING = """
What each method was seen to be worth against leave-out retraining, where it agreed least, what it takes and what its
settings were chosen on. The numbers are those of the dashboard's page *Evidence*, which
`python -m benchmarks.accuracy.card` makes from the results of the testbeds; [Evidence and limits](evidence.md) has the
commands that made these, with intervals and the details. r: the correlation of estimates with the mean of the
retrainings over the subsets, averaged over the sides on which retraining is reproducible. One retraining: the same for
a retraining of one seed against the others, which is about as far as one can come.
"""
LIMITS = f"""
## What nobody has measured

The testbeds are models of two layers, retrained on a few megabytes. Of large models nothing is known. Nor is any of
this measured for fewer than six or more than ten subsets, or for a subset of more than 30 % of the training.

{NOT_PROOF}
"""


def make() -> str:
    """The page."""
    beds = testbeds()
    rungs = [_rung(method, beds) for method in LADDER]
    return page("Model card of the methods", OPENING, _beds(beds), *rungs, _others(beds), _contrasts(beds), LIMITS)


def _beds(beds: tuple[Testbed, ...]) -> str:
    rows = [
        (bed.title, bed.architecture, str(bed.subsets), f"{bed.largest_share:.0%}", str(bed.seeds), _seen(bed))
        for bed in beds
    ]
    head = ("Testbed", "Architecture", "Subsets", "Largest", "Retrainings of each", "While methods were chosen")
    return "## Testbeds\n\n" + table(head, rows)


def _seen(bed: Testbed) -> str:
    return "not looked at" if bed.unseen else "looked at"


def _rung(method: str, beds: tuple[Testbed, ...]) -> str:
    """One method of the ladder: what it is, its agreement on every testbed, where that was least."""
    known = {bed.title: bed for bed in beds if method in bed.methods}
    ours = {title: bed.methods[method] for title, bed in known.items()}
    theirs = {title: bed.methods[WORDS_ALONE]["r"] for title, bed in known.items() if WORDS_ALONE in bed.methods}
    rows = [
        (
            title, _two(own["r"]), _two(own["r_others"]), _two(own["one_retraining"]), _two(own["spearman"]),
            f"{own['signs']:.0%}", f"{own['coverage']:.0%}" if "coverage" in own else "",
            _two(theirs[title]) if title in theirs else "", f"{own['cpu_seconds']:.0f}",
        )
        for title, own in ours.items()
    ]  # fmt: skip
    head = (
        "Testbed", "r", "r, other seeds", "One retraining, the same", "Spearman", "Same sign", "Coverage of 95 %",
        "r of BM25", "CPU seconds",
    )  # fmt: skip
    least = min(ours, key=lambda title: ours[title]["r"])
    behind = [title for title, own in ours.items() if own["r_others"] < own["one_retraining"]]
    words = [title for title, r in theirs.items() if r >= ours[title]["r"]]
    told = [
        f"It agreed least on *{least}*: r = {_two(ours[least]['r'])}.",
        f"By point estimates, it agreed less with the other seeds than one retraining does on {_named(behind)}.",
        f"Of the {len(theirs)} testbeds on which BM25, which only compares words, was measured too, it did as well or "
        f"better on {_named(words)}.",
        f"Its settings were chosen on {chosen_on()[method]}.",
    ]
    heading = f"## {method_title(method)}\n\n{upper(LADDER[method])}."
    return "\n\n".join((heading, table(head, rows), " ".join(told)))


def _named(titles: list[str]) -> str:
    return "; ".join(f"*{title}*" for title in titles) if titles else "none of them"


def _others(beds: tuple[Testbed, ...]) -> str:
    """The r of every other method, a column a testbed."""
    names = [name for name in dict.fromkeys(name for bed in beds for name in bed.methods) if name not in LADDER]
    rows = [
        (method_title(name), *(_two(bed.methods[name]["r"]) if name in bed.methods else "" for bed in beds))
        for name in names
    ]
    return "## Other methods, r\n\n" + table(("Method", *(bed.title for bed in beds)), rows)


def _contrasts(beds: tuple[Testbed, ...]) -> str:
    """How well retrainings agree with each other about each contrast."""
    names = dict.fromkeys(name for bed in beds for name in bed.contrasts)
    rows = [
        (f"`{name}`", *(_two(bed.contrasts[name]["seeds_agree"]) if name in bed.contrasts else "" for bed in beds))
        for name in names
    ]
    head = ("Prompt set", *(bed.title for bed in beds))
    return "\n\n".join(("## Which contrasts can be resolved", SEEDS_AGREE, table(head, rows)))


def _two(value: float) -> str:
    return f"{value:.2f}"
