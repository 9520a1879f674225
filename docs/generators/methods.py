"""The pages of attribution methods, and of unlearning methods and metrics, from the catalogue and ``docs/facts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.unlearning import report
from docs.generators.fields import fields_table
from docs.generators.markdown import code, facts, page, table, upper
from docs.generators.spec_reference import link
from untrac_core.attribution.settings import PRESETS as VALUES
from untrac_core.specs.catalogue import (
    ATTRIBUTION,
    BASELINES,
    PAPER_COSTS,
    PRESETS,
    STOPS,
    UNLEARNING,
    UNTRAC,
    Attribution,
    Row,
    Unlearning,
)
from untrac_core.unlearning.metrics.summary import METRICS

OPENING = """
An attribution method estimates the *influence* of a training subset Z on one side Q of a prompt set. UnTrac and
UnTrac-Inv give it in nats per token, UnTrac-Inv with preset `robust` per micro-step. The others are baselines, each in
a unit of its own; only their order is compared. **Positive: Z makes Q more likely**, so without Z the model would
assign Q a lower probability.

`L(x; θ)` is the mean loss per token, `θ₀` are the model's weights, and `g_Z` and `g_Q` are gradients of that mean at
`θ₀`. Losses before and after are paired, example by example. Prompts are given as context and not scored. After each
unlearning, the original weights are restored exactly.

A trace ranks some baselines beside its method: `grad-dot`, `grad-cos`, `bm25`, `hidden-state-similarity` and
`random` unless `baselines` says otherwise. [Evidence and limits](evidence.md) says how well each agrees with
leave-one-out retraining."""
INTERVALS = """
Each seed draws a share of the unlearned set without replacement, so the spread over seeds says how much the result
depends on which examples were in the set. The 95 % interval covers that and the sampling of the examples that are
measured. UnTrac-Inv with preset `robust` has the influence of every block and of every item, so its interval covers
both without the help of seeds; of the other methods, one seed gives no interval, and hence no verdict. UnTrac-Inv with
preset `paper` unlearns the whole prompt set in every seed, so its interval covers training texts alone. Two neighbours
in a ranking are *separable* where the paired difference between them has an interval without zero.

**What counts as one observation.** The two texts of a minimal pair, the answers to one question and the blocks of one
document resemble each other, so they are one *cluster*. Clusters are drawn as wholes, for both sides of a prompt set
alike, and an interval is that of the sums over clusters: a contrast over minimal pairs is one over their differences.
With fewer than eight clusters there is no interval. A block belongs to the document that has the most of its tokens;
[Your model and data](own-data.md#pairs-and-questions) says how an item's cluster is told.

**Several intervals at once.** A bracket holds for all pairs of subsets together (Bonferroni), so it may join two that
would be separable if nothing else were compared. The intervals of the grid
of groups (for each side), and those of what influential texts have in common, are lists of findings: all of a list are
at the level at which those without zero are the findings of Benjamini and Hochberg, so that one in twenty of them is
expected to be false. All other intervals stand for themselves.

**Subsets of unequal size.** Leaving out a subset with share p of the training lets the others fill its place. So a
validation, and a trace with `weighting: proportional`, turn an influence per token x into

```text
influence_k = p_k / (1 − p_k) · ( x_k − Σ_j p_j x_j )
```

which `untrac_core/stats/mixture.py` derives. For a subset that is a quarter of the training or more, a first-order
estimate can be badly wrong, and a warning says so.
"""
AGAINST_THE_PAPER = """
### What `paper` has of the paper, and what differs

As in the paper and its code: Adam with a constant rate of 5e-5, no clipping; UnTrac one text a step and one epoch,
UnTrac-Inv the whole prompt set as one batch and five steps; gradients in train mode, so with the model's dropout; each
seed of UnTrac on a fresh sample of 10,000 sequences of every subset; models that collapse are ranked at the end of
their unlearning. Every loss is measured without dropout, and the masks follow from the seed, so that a cell comes out
the same to the bit. A model whose config has no dropout, as one that a recipe trains from scratch here, unlearns
without.

**A ranking of collapsed models is not to be relied on.** Their losses are near or beyond that of a uniform guess, so
what they say is not about the data. Such a ranking is marked wherever it is shown, none of its subsets is separable, a
validation measures its agreement but never names its method as the one to trust, and there are no numbers of single
texts, tokens and groups. With all other methods a collapse leaves no ranking.

What still differs:

* Of a subset with fewer than 16,000 sequences, which the paper did not have, a seed draws five eighths: the share that
  10,000 are of 16,000. Whole documents are drawn, as their sequences resemble each other, so that the number of
  sequences is met on average.
* UnTrac-Inv is measured on all sequences of a subset, and not on 10,000. Its interval covers other training texts by
  the spread over documents. Its seeds differ in dropout alone, and it does not cover other prompts, as in the paper; a
  warning says so.
* The paper's ± is the standard deviation over four samples. An interval here is one of 95 %, from the seeds of the
  request and from the texts that are measured; set `seeds: [0, 1, 2, 3]` for the paper's four.
* A batch that is too large for memory is read in parts, whose gradients are summed. Losses are sums over all scored
  tokens divided by their number; the code's are means over batches, which hang on how texts fall into them.
* On its synthetic data the paper's code used Adafactor and 50 steps of UnTrac-Inv. This preset is that of the paper's
  text and of its pretraining experiments.
"""
UNLEARNING_OPENING = """
An unlearning removes the effect of a *forget set* from a model and keeps that of the *retain set*. If the training
recipe is known, the result is compared with the *retrained reference*, a model of the same recipe that never saw the
forget set. In spec keys and result files the reference is called `retrained`, the forget set `forget`, the holdout set
`holdout`.

`NLL` is the summed loss of a text, n its scored tokens, `L_f` and `L_r` the losses on the forget set and on the retain
set. `retain: nll` trains on the retain set; `retain: kl` holds the model to the next-token probabilities that it had.
All methods but the exact ones, K-FADE and the rest flow take steps of Adam without weight decay.

An unlearning shows the sensitivity of this model under this procedure. **It proves no erasure.** What a model no longer
says may still be read from its weights, or come back with little training.
"""
NEIGHBOURS = """
Two texts are *neighbours* where the model finds them alike: by the cosine of their vectors, the means of the last
layer's hidden states over their scored tokens, in the model as it is before the unlearning. Two options go by them.

* `forget: {subset: forum, neighbours: 20}` extends the forget set by the 20 retained texts that lie nearest to one of
  its texts, because what is close to a text may give it back. They count as forgotten everywhere: the methods unlearn
  them, the retrained reference never sees them, and every metric of the forget set includes them. `audit.json` names
  them, each with its cosine.
* `compensate: reverse-neighbours`, a setting of the methods that train on the retain set, trains most on those retained
  texts whose own neighbours go: `n = 1 + c` times an epoch, where c of the text's ten nearest texts are in the forget
  set. The methods without it see every retained text once an epoch.

Both are held to a comparison of every pair, one by one, on planted texts (`tests/unlearning/test_neighbours.py`). There
compensation keeps the planted texts at .55 nats per token where plain NPO leaves them at 1.47 (before: 1.41), while the
forget set goes to 2.9 by both. Whether a text's nearest texts by these vectors are those that hold what it says, they
do not show: in a model that has learnt little, all texts are alike.

"""
BEDS = {
    "laboratory": "On the laboratory",
    "demo": "On the demo",
    "development": "Settings, on the development laboratory",
}
SEEDS = ("One seed.", "Means over seeds, and from where to where they reach.")
MEASURED = """
`python -m benchmarks.unlearning` unlearns by every method, at its defaults, and holds the result against the retrained
reference of the same seed. What is not in a table has not been run yet. A method stops where the forget set is as
unlikely as to that reference, looked at after every step, after 100 steps at most; the rest flow takes 20. So the table
says what a method does to the rest, and what it says in the place of the forget set, once it has forgotten as much. KL
is to the reference, in nats per token; membership is the AUC of the loss; seconds are those of one core of a busy
machine. The laboratory is a synthetic model of 111 thousand weights, and two seeds decide little.

* **K-FADE** comes no nearer to the reference than NPO: by KL on the forget set it is farther in the mean, and NPO is
  farther by one of the seeds. On the retain set it is farther by one seed and the same by the other. It beats gradient
  difference, which overshoots, on both. Its forgetting is shallower than NPO's: fewer steps bring the texts back.
* **The rest flow** (one seed) holds the retain set as near to the reference as the best, and forgets an eighth of the
  way in its 20 steps; one step of relearning undoes that. It is a measure of influence before it is a removal.
* **GRIN** comes nearest: by both seeds its KL on the forget set is under a fifth of the untouched model's, where half
  was once asked and missed by one seed. It forgets most of the way in its 100 steps, and takes fewer to relearn than
  NPO. Its random mask, the control without which this says little of the mask, is still to be run here.
* **No method of the table is as near as another retrained model** on the forget set. KL there depends on where the
  probability goes that a text loses, and differs between seeds as it does between methods: training on the retain set
  alone is nearer than NPO, though it forgets less.
"""
METRICS_TEXT = """
Each metric is given before, after and for the retrained reference. With two seeds or more, the distance between two
retrained references is the *seed noise*: no method can be expected to come closer to the reference than that.
The distance `kl`, and with it the forget quality, is that to the retrained reference of the first seed, for all seeds
of a method, and the seed noise is the distance of the other references to it. A model that was itself trained from that
seed's initial weights starts closer to this reference than another reference does. So a distance within the seed noise
says that no difference can be told, and not that the method is as good as retraining; a warning says so. The rule
`match_retrained` stops by the loss of the reference that the result is then compared with. To see what a method reaches
without that knowledge, run it with `match_holdout`.

*Goal* says where a metric should go; "near the reference" means that far below it is a failure as well.

Warnings point out numbers that look better than they are: a membership test on a destroyed model, a mean loss that rose
while the behaviour stayed, a significance test that a second retrained reference fails as well.
"""
GOALS = {"retrained": "near the reference", "low": "low", "high": "high", "none": "none"}


def attribution() -> str:
    """The page of attribution methods."""
    known = facts("attribution")
    _same(known, ATTRIBUTION, "docs/facts/attribution.yaml")
    head = ("Method", "Name", "Compares", "Cost", "Passes over the training text")
    rows = [(f"[{row.title}](#{name})", f"`{name}`", _compares(row), row.cost, _passes(row)) for name, row in _rows()]
    costs = "\n".join(f"* `{name}`, preset `paper`: {text}." for name, text in PAPER_COSTS.items())
    costs += "\n* `untrac-inv`, preset `robust`: the curvature, then one gradient of every block and two of every item."
    costs += "\n* `untrac`, preset `robust`: the curvature, then two steps up and two down for each subset and seed."
    passes = (
        "One pass is one forward pass; a forward and a backward pass count as three. UnTrac's cost is in its steps."
    )
    parts = [f"## All methods\n\n{table(head, rows)}", passes, costs, f"## Intervals and verdicts\n{INTERVALS}"]
    parts.append(f"## Presets\n\n{_presets()}")
    for name in (*UNTRAC, *BASELINES):
        parts.append(_method(ATTRIBUTION[name], known[name]))
    return page("Attribution methods", OPENING, *parts)


def _rows() -> list[tuple[str, Attribution]]:
    return [(name, ATTRIBUTION[name]) for name in (*UNTRAC, *BASELINES)]


def _compares(row: Attribution) -> str:
    if row.settings.unlearns:
        return "losses before and after"
    if row.reads == "losses":
        return "losses with and without"
    return row.reads if row.passes or row.reads == "texts" else "nothing"


def _passes(row: Attribution) -> str:
    if row.settings.unlearns:
        return "see presets"
    if row.reads == "losses":
        return "a training per subset"
    return f"{row.passes:g}" + (f", and {row.products} products with the Hessian" if row.products else "")


def _presets() -> str:
    names = list(VALUES)
    values = [vars(settings) for settings in VALUES.values()]
    rows = [(f"`{key}`", *(_value(each[key]) for each in values)) for key in values[0]]
    words = "\n".join(f"* `{name}`: {text}" for name, text in PRESETS.items())
    blank = (
        "A blank cell means that the setting is not used; a blank `batch_size` takes the whole set as one batch. "
        "`untrac-inv` with `robust` takes no steps: it has `samples`, `damping` and `trainable`, with the values of "
        "`untrac`. `past_collapse` is the preset's own and no key of a request."
    )
    values_table = table(("Setting", *(f"`{name}`, `{preset}`" for name, preset in names)), rows)
    return f"{words}\n\n{values_table}\n\n{blank}\n\n{AGAINST_THE_PAPER.strip()}"


def _value(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _same(known: Mapping[str, Any], rows: Mapping[str, Any], where: str) -> None:
    """Every row has its facts, and nothing else has."""
    if set(known) != set(rows):
        raise LookupError(f"{where} and the code differ in {sorted(set(known) ^ set(rows))}")


def _method(row: Row[Any], fact: Mapping[str, str]) -> str:
    note = f"\n\n{fact['note']}" if "note" in fact else ""
    cost = f"\n\n**Cost.** {upper(row.cost)}." if row.cost else ""
    about = f"`{row.name}`. {row.does}\n\n{code(fact['equation'])}\n\n**Source.** {upper(fact['source'])}.{cost}{note}"
    settings = ""
    if row.takes:
        preset = VALUES.get((row.name, "robust"))
        settings = "\n\n" + fields_table(row.settings, link, leave_out=("name", "label"), defaults=preset)
    return f"## {row.title} {{#{row.name}}}\n\n{about}{settings}"


def unlearning() -> str:
    """The page of unlearning methods, stopping rules and metrics."""
    known = facts("unlearning")
    _same(known["methods"], UNLEARNING, "docs/facts/unlearning.yaml: methods")
    _same(known["stops"], STOPS, "docs/facts/unlearning.yaml: stops")
    _same(known["metrics"], METRICS, "docs/facts/unlearning.yaml: metrics")
    rows = [(f"[{row.title}](#{name})", f"`{name}`", row.does, _recipe(row)) for name, row in UNLEARNING.items()]
    parts = ["## All methods\n\n" + table(("Method", "Name", "What it does", "Needs the recipe"), rows)]
    parts += [_method(row, known["methods"][name]).replace("## ", "### ", 1) for name, row in UNLEARNING.items()]
    stops = [(f"`{name}`", title, known["stops"][name]) for name, (title, _) in STOPS.items()]
    parts.append(f"## Beside retraining\n{_measured()}")
    parts.append(f"## Neighbours of the forget set\n{NEIGHBOURS}")
    parts.append("## Stopping rules\n\nAn unlearning ends at `steps` in any case, and where the model collapses.")
    parts.append(table(("Rule", "In words", "What it does"), stops))
    parts.append(
        f"## Metrics\n{METRICS_TEXT}\n" + table(("Metric", "Name", "Equation", "Unit", "Goal", "Source"), _metrics())
    )
    parts.append("\n".join(f"* **{told.title}** (`{name}`): {told.about}" for name, told in METRICS.items()))
    parts.append(
        "## Audit over many models\n\nWith `ensemble_size: N`, N models are retrained and N unlearned, and compared."
    )
    for one in known["ensemble_audit"]:
        parts.append(
            f"### {one['name']}\n\n{code(one['equation'])}\n\n**Source.** {upper(one['source'])}. {one['note']}"
        )
    return page("Unlearning methods and metrics", UNLEARNING_OPENING, *parts)


def _measured() -> str:
    """The tables of the benchmark, of the testbeds whose results are committed, with what they say."""
    parts = [MEASURED]
    for bed, title in BEDS.items():
        if (report.RESULTS / f"{bed}.json").is_file():
            seeds = len(report.results(bed)["seeds"])
            parts.append(f"### {title}\n\n{report.table(bed)}\n\n{SEEDS[min(seeds, 2) - 1]}")
    return "\n\n".join(part.strip("\n") for part in parts)


def _recipe(row: Unlearning) -> str:
    return "yes" if row.needs_recipe else "no"


def _metrics() -> list[tuple[str, ...]]:
    known = facts("unlearning")["metrics"]
    return [
        (told.title, f"`{name}`", f"`{known[name]['equation']}`", told.unit, GOALS[told.goal], known[name]["source"])
        for name, told in METRICS.items()
    ]
