"""Every method, stop rule, preset and starting point, declared once.

Page, command line, YAML, costs, report and docs follow from these rows. To add an attribution method: a class in
``untrac_core/attribution/baselines``, and a row here. To add an unlearning method: a class in
``untrac_core/unlearning/methods``, and a row here. Free of torch: a class is imported when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, Union

from pydantic import BeforeValidator, Field, create_model

from untrac_core.specs.methods import (
    AnyMethod,
    ArnoldiSettings,
    AscentOnlySettings,
    ContinuationSettings,
    EkFacSettings,
    FisherSettings,
    GradDiffSettings,
    GradientSettings,
    GrinSettings,
    KFadeSettings,
    KroneckerSettings,
    LissaSettings,
    MethodSpec,
    NpoSettings,
    RestFlowSettings,
    RetainOnlySettings,
    SampledSettings,
    SimNpoSettings,
    SisaSettings,
    TracInSettings,
    UnlearningMethodSpec,
    UnTracSettings,
)

LONGEST = 4096
"""A side of a matrix longer than this has a diagonal factor (:mod:`untrac_core.training.preconditioner`)."""
LAST_SHARE = 4
"""``trainable: last_layers`` moves one transformer block in this many, counted from the end, and at least one."""
BUDGET_MB = 1024.0
"""Memory for the directions that gradients are multiplied with, in 2^20 bytes; where they need more, text is read in
several passes."""
RANK = 8
"""Of a fresh LoRA adapter."""

S = TypeVar("S", bound=AnyMethod)


@dataclass(frozen=True)
class Row(Generic[S]):
    """What is known of a method before it is made."""

    name: str
    path: str
    """Module and class, ``module:Class``; empty where a task does without."""
    title: str
    """What people call it."""
    does: str
    """In one sentence."""
    settings: type[S]
    cost: str = ""
    """In words."""

    def make(self) -> Any:
        """Its class, imported now: this may load torch."""
        module, name = self.path.split(":")
        return getattr(import_module(f"untrac_core.{module}"), name)

    @property
    def takes(self) -> frozenset[str]:
        """The settings that it has, by name."""
        return frozenset(self.settings.model_fields) - {"name", "label"}


@dataclass(frozen=True)
class Attribution(Row[MethodSpec]):
    """An attribution method."""

    passes: float = 3
    """Over the training blocks, counted in forward passes; a forward and a backward pass are three."""
    products: int = 0
    """Products with the Hessian, each of 256 blocks and about four passes."""
    reads: Literal["gradients", "texts", "losses"] = "gradients"
    """What is compared; a method that compares texts with texts asks nothing about what the model learned."""


@dataclass(frozen=True)
class Unlearning(Row[UnlearningMethodSpec]):
    """An unlearning method."""

    needs_recipe: bool = False
    """Whether it trains models from the start, so that the recipe must be known."""
    copies: int = 6
    """Of the weights in memory: weights, gradients, Adam's two moments, the original, the retrained model."""


R = TypeVar("R", Attribution, Unlearning)


def _rows(*rows: R) -> dict[str, R]:
    """By name; each with a settings class of its own, which ``name`` tells from the others."""
    found = {}
    for row in rows:
        name: Any = (Literal[row.name], ...)
        own = create_model(row.settings.__name__, __base__=row.settings, __doc__=row.settings.__doc__, name=name)
        found[row.name] = replace(row, settings=own)
    return found


ATTRIBUTION = _rows(
    Attribution(
        "untrac-inv",
        "attribution.linear:untrac_inv",
        "UnTrac-Inv",
        "The model unlearns each prompt set; a subset whose loss then rises had made the prompts more likely.",
        UnTracSettings,
        "the curvature, then one gradient of every text",
        passes=4,
    ),
    Attribution(
        "untrac",
        "attribution.rest_flow:untrac",
        "UnTrac",
        "The model unlearns each training subset; a prompt set whose loss then rises had been made likelier by it.",
        UnTracSettings,
        "the curvature, then a short training on the rest for each subset and seed",
    ),
    Attribution(
        "continuation",
        "attribution.continuation:Continuation",
        "Continuation",
        "The model is trained a little further, with everything and without each subset, on the same batches.",
        ContinuationSettings,
        "slow: a short training for each subset and one more, for every seed",
        reads="losses",
    ),
    Attribution(
        "shampoo-dot",
        "attribution.baselines.preconditioned_dot:KroneckerDot",
        "Kronecker-scaled dot",
        "Gradients of subset and prompts, multiplied after scaling by the curvature of each weight matrix.",
        KroneckerSettings,
        "statistics of the curvature, then a gradient of every subset",
        passes=4,
    ),
    Attribution(
        "ek-fac",
        "attribution.baselines.ek_fac:EkFac",
        "EK-FAC",
        "Influence functions with the curvature of kronfluence.",
        EkFacSettings,
        "factors of the curvature, then a gradient of every subset; an optional install: "
        "pip install --no-deps -r requirements-ekfac.txt",
        passes=12,
    ),
    Attribution(
        "fisher-dot",
        "attribution.baselines.preconditioned_dot:FisherDot",
        "Fisher dot",
        "Gradients of subset and prompts, multiplied after scaling each parameter by its own Fisher information.",
        FisherSettings,
        "statistics of the gradients, then a gradient of every subset",
        passes=4,
    ),
    Attribution(
        "grad-dot",
        "attribution.baselines.grad_dot:GradDot",
        "GradDot",
        "Gradients of subset and prompts, multiplied as they are.",
        GradientSettings,
        "a gradient of every subset",
    ),
    Attribution(
        "grad-cos",
        "attribution.baselines.grad_dot:GradCos",
        "GradCos",
        "The angle between the gradients of subset and prompts.",
        GradientSettings,
        "a gradient of every subset",
    ),
    Attribution(
        "sign-dot",
        "attribution.baselines.grad_dot:SignDot",
        "Sign-gradient dot",
        "The signs of the prompts' gradient, multiplied with the subset's: a single step of Adam.",
        GradientSettings,
        "a gradient of every subset",
    ),
    Attribution(
        "tracin",
        "attribution.baselines.tracin:TracIn",
        "TracIn",
        "GradDot, summed over models that were kept while the model was trained.",
        TracInSettings,
        "a gradient of every subset at each of the kept models; needs a training that can be repeated",
        passes=15,
    ),
    Attribution(
        "lissa",
        "attribution.baselines.influence_functions:Lissa",
        "LiSSA",
        "Influence functions; the inverse of the curvature by a recursion.",
        LissaSettings,
        "slow: many products with the curvature for every prompt set",
        products=10,
    ),
    Attribution(
        "arnoldi",
        "attribution.baselines.influence_functions:Arnoldi",
        "Arnoldi",
        "Influence functions in the directions of the greatest curvature.",
        ArnoldiSettings,
        "slow: many products with the curvature, once",
        products=25,
    ),
    Attribution(
        "bm25",
        "attribution.baselines.bm25:Bm25",
        "BM25",
        "How many rare words a subset shares with the prompts. Does not use the model.",
        SampledSettings,
        "seconds",
        passes=0,
        reads="texts",
    ),
    Attribution(
        "hidden-state-similarity",
        "attribution.baselines.hidden_states:HiddenSimilarity",
        "Hidden-state similarity",
        "How alike the model's inner states are on the subset and on the prompts.",
        SampledSettings,
        "a pass over every subset, without gradients",
        passes=1,
        reads="texts",
    ),
    Attribution(
        "random",
        "attribution.baselines.similarity:RandomScores",
        "Random",
        "Numbers drawn by chance: what any method has to beat.",
        MethodSpec,
        "nothing",
        passes=0,
    ),
)
"""Attribution methods in the order in which pages offer them."""
CONTINUATION = "continuation"
"""Trains as often as there are subsets, and once more, where other baselines look once."""
BASELINES = {name: row for name, row in ATTRIBUTION.items() if not row.settings.unlearns}
UNTRAC = {name: row for name, row in ATTRIBUTION.items() if row.settings.unlearns}

LADDER = {
    "untrac-inv": "a product of gradients: order and proportions, to first order",
    "untrac": "also what the rest does when a subset goes, which counts for large subsets",
    "continuation": "a real training, with and without each subset: the closest to retraining without the recipe",
}
"""Attribution methods from the cheapest to the closest to retraining: what each has that those before it lack."""
PRESETS = {
    "robust": "scaled by the model's curvature: UnTrac unlearns a subset while it trains on the rest; "
    "UnTrac-Inv is the limit of small steps",
    "paper": "the settings of Isonuma and Titov (2024), with their dropout and a fresh sample of every subset for each "
    "seed of UnTrac; models that collapse are ranked too, and marked",
}
"""Of UnTrac and UnTrac-Inv, in words; :data:`untrac_core.attribution.settings.PRESETS` has their values."""
PAPER_COSTS = {
    "untrac-inv": "five steps for each side of each prompt set",
    "untrac": "one pass over every subset, text by text",
}
"""In words, of the preset ``paper``."""

UNLEARNING = _rows(
    Unlearning(
        "npo",
        "unlearning.methods.npo:NegativePreference",
        "NPO",
        "Negative preference optimisation: the forget set is the rejected answer; the retain set is trained on. "
        "Weights are normalised by the length of a text.",
        NpoSettings,
    ),
    Unlearning(
        "simnpo",
        "unlearning.methods.npo:SimpleNegativePreference",
        "SimNPO",
        "NPO without a reference model, on the loss per token.",
        SimNpoSettings,
    ),
    Unlearning(
        "grad-diff",
        "unlearning.methods.grad_diff:GradientDifference",
        "Gradient difference",
        "Raises the loss on the forget set up to a cap, and lowers the loss on the retain set.",
        GradDiffSettings,
    ),
    Unlearning(
        "grad-ascent",
        "unlearning.methods.grad_ascent:GradientAscent",
        "Gradient ascent",
        "Raises the loss on the texts and does nothing else, as UnTrac does but further. Collapses unless stopped.",
        AscentOnlySettings,
    ),
    Unlearning(
        "grin",
        "unlearning.methods.grin:GradientRatioNoise",
        "GRIN",
        "Picks weights that matter much for the forget set and little for the rest, adds noise, trains only them.",
        GrinSettings,
    ),
    Unlearning(
        "k-fade",
        "unlearning.methods.k_fade:KFade",
        "K-FADE",
        "A few Gauss-Newton steps up the loss of the forget set, each where it changes the retain set least.",
        KFadeSettings,
    ),
    Unlearning(
        "rest-flow",
        "unlearning.methods.rest_flow:RestFlow",
        "Rest flow",
        "The forget set leaves the training mix, and the rest of it holds the model: UnTrac's own steps, followed on.",
        RestFlowSettings,
        copies=14,
    ),
    Unlearning(
        "retain-only",
        "unlearning.methods.retain_only:RetainOnly",
        "Training on the rest",
        "The control for all: as many steps on the retain set. It forgets a little by itself.",
        RetainOnlySettings,
    ),
    Unlearning(
        "retrain",
        "",
        "Exact retraining",
        "A model of the same recipe that never saw the texts: the retrained model itself.",
        UnlearningMethodSpec,
        needs_recipe=True,
    ),
    Unlearning(
        "sisa",
        "",
        "SISA",
        "Several models, each of some of the texts; only those that saw the forget set are trained again.",
        SisaSettings,
        needs_recipe=True,
    ),
)
"""Unlearning methods in the order in which pages offer them."""
CONTROL = "retain-only"
"""Runs beside every method that moves weights, for as many steps."""

STOPS = {
    "match_retrained": ("as after retraining", "when the forget set is as unlikely as to models that never saw it"),
    "match_holdout": ("as unseen text", "when the forget set is as unlikely as the holdout set was"),
    "retain_budget": ("within a budget", "before the loss of the retain set has risen by more than a share"),
    "fixed": ("after all steps", "not before the last step"),
}
"""Stop rules in words."""


def method_title(name: str, preset: str | None = None) -> str:
    """A method's name for people, with its preset where it has one; a name that is not known stays as it is."""
    title = ATTRIBUTION[name].title if name in ATTRIBUTION else name
    return f"{title} ({preset})" if preset and name in UNTRAC else title


if TYPE_CHECKING:
    AnyAttributionMethod = MethodSpec
    AnyUnlearningMethod = UnlearningMethodSpec
    BaselineName = str
else:

    def _one_of(rows: Iterable[Row], default: str) -> Any:
        """The union of the rows' settings, told apart by ``name``, which is ``default`` where it is not given."""

        def named(value: Any) -> Any:
            return {"name": default, **value} if isinstance(value, dict) else value

        union = Union[tuple(row.settings for row in rows)]  # noqa: UP007 - of a list that is known only now
        return Annotated[union, Field(discriminator="name"), BeforeValidator(named)]

    AnyAttributionMethod = _one_of(ATTRIBUTION.values(), "untrac-inv")
    AnyUnlearningMethod = _one_of(UNLEARNING.values(), "npo")
    BaselineName = Literal[tuple(BASELINES)]
