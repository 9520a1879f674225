"""What results do not prove, in the words of pages and reports."""

from __future__ import annotations

NOT_PROOF = (
    "These are estimates for this model and these prompts. They do not prove that the model would change by as much if "
    "it were retrained without a subset, nor that a subset is harmful in itself: only retraining shows the first, and "
    "only reading it the second."
)
TRUTH_LIMITS = (
    "The truth is that of this recipe: a larger model, another order or a longer training may depend on other subsets. "
    "A method that agrees here is likelier to be right on a similar model; that is no proof for it."
)
FURTHER_LIMITS = (
    "The training of this model was not repeated. What was measured is how it would change if it went on learning with "
    "or without a subset: its sensitivity now, not what the subset did to it while it was trained."
)
NOT_REPRODUCED = (
    "All methods were checked on a synthetic model of 111,000 parameters whose texts are templates (tests/unlearning).",
    "There GRIN's ratio of gradients chose weights no better than a random mask, and worse than the gradient alone: "
    "rows of rare words have next to no gradient from the retain set. So its two controls always run beside it.",
    "Texts unlike all others (out of distribution) took many times the steps of usual ones, as published; that they "
    "have the better trade-off did not show: to drive them all the way to the retrained model wrecks a small model.",
    "Ranks of methods, and published numbers of TOFU, WMDP, MUSE or PKU-SafeRLHF, cannot be checked at this size.",
    "A significance test on truth ratios or losses (forget quality) tells two retrained models apart as well.",
)
"""What the literature says that did not show, or cannot show, at the size of model that this project is tested on."""
UNLEARN_LIMITS = (
    "The numbers show the sensitivity of this model under this procedure. They prove no erasure: what a model no "
    "longer says may still be read from its weights, or come back with little training."
)
ALONE_LIMITS = (
    "Both numbers come from one model, one kind of step and the same prompts, by which the texts were also chosen, and "
    "for small steps they are the same in theory. That they agree shows that the scores can be taken at their word: "
    "not that a model that was retrained without a text would agree, nor anything about texts that were not looked at. "
    "What many texts say alike stays when one of them is unlearned."
)
