"""The words of the pages, the specs and the documentation, each with its one meaning; ``docs/concepts.md`` has them."""

from __future__ import annotations

GLOSSARY = {
    "model": (
        "a causal or seq2seq language model from the hub, a local folder or memory, with or without a LoRA "
        "adapter, or the demo's"
    ),
    "training subset": "a named set of training texts; what is ranked",
    "prompt set": (
        "a named set of test items, each with a prompt (given), a completion (scored), a group, a label and a "
        "cluster; what is explained. The literature on attribution says *query set*"
    ),
    "probe": "a named benchmark that loads as a prompt set",
    "harmful side, harmless side": (
        "the two labels of a prompt set: toxic and benign, pro- and anti-stereotype, false and true"
    ),
    "influence": (
        "of a subset on a prompt set: how much less likely the prompt set would be to a model trained without the "
        "subset. Positive: the subset makes it more likely"
    ),
    "contrast": (
        "influence on the harmful side minus influence on the harmless side, pairs kept together; the default view"
    ),
    "attribution method": "a way to estimate influence",
    "baseline": "an attribution method that is ranked beside UnTrac",
    "preset": "named values of a method's settings: `robust`, this project's default, and `paper`, the paper's",
    "leave-one-out retraining": (
        "retraining without one subset, with the same seed, order and number of steps; the ground truth"
    ),
    "linear datamodeling score": (
        "Spearman's rank correlation between the losses of models trained on random halves of the subsets and the "
        "sums of the influences of what each lacks; the literature's LDS"
    ),
    "interaction": (
        "what leaving out two subsets at once shows beyond the sum of their influences, at the shares that the rest "
        "then has; in nats per token"
    ),
    "interval": (
        "the 95 % confidence interval over seeds and examples: how far the estimate may move with other seeds and "
        "other texts of the same kind"
    ),
    "cluster": (
        "texts that count as one observation: a minimal pair, the answers to one question, the blocks of one document"
    ),
    "separable": (
        "said of a subset in a ranking whose differences from both of its neighbours have intervals that exclude "
        "zero; these two differences alone"
    ),
    "collapse": "the state of a model that an unlearning has destroyed; its losses rank nothing",
    "forget set": "what an unlearning takes out",
    "retain set": "what an unlearning keeps",
    "neighbours of a forget set": (
        "the retained texts that the model finds most like one of its texts, by the cosine of mean hidden states"
    ),
    "holdout set": "text of the same source as the forget set that the model never saw",
    "retrained reference": "a model of the same recipe that never saw the forget set",
    "seed noise": (
        "how far two retrained references with different seeds are apart; no method can be expected to come closer "
        "to the reference than that"
    ),
    "stopping rule": "what ends an unlearning",
    "trainable parameters": "the parameters that a method may change",
    "run": "one request with its spec, state, events and results",
    "task": "what carries out a run of one kind: trace, verify, validate, unlearn, generate or fetch",
    "hub": "the Hugging Face Hub, where models and datasets are downloaded from",
    "library": "the models, prompt sets and training subsets that you have added; runs choose from it",
    "spec": "the YAML file (or the same keys in Python) that describes a run",
    "block": "a fixed number of tokens of training text; the unit in which subsets are counted and limited",
    "slope": "what an estimate is multiplied by to be in nats per token of retraining",
    "calibrated": "said of an estimate times the slope of a validation, with the interval that this gives",
    "one retraining": "how well a single seed of retraining agrees with the mean of the others",
    "resolvable": "said of a side of a prompt set on which retrainings with different seeds agree (r of at least .8)",
    "cell": "the smallest independent piece of a run; the unit of resuming and caching",
}
"""Word to meaning, in the order in which one meets them."""


def meaning_of(word: str) -> str:
    """The meaning of a word as a sentence, for the help beside a field."""
    told = GLOSSARY[word]
    return f"{told[:1].upper()}{told[1:]}."
