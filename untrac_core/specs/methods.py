"""The settings of every method, a class each; :mod:`untrac_core.specs.catalogue` says which method has which.

``name`` tells the classes apart. A setting that stands at ``None`` is filled in where it is used: by the preset
(:mod:`untrac_core.attribution.settings`), or by the size of the model and of its texts
(:mod:`untrac_core.unlearning.settings`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from untrac_core.specs.data import Name, Strict
from untrac_core.specs.parts import Optimizer, Positive, Trainable

Count = Annotated[int, Field(ge=1, le=100_000)]
Share = Annotated[float, Field(gt=0, le=1, strict=False)]
Weight = Annotated[float, Field(ge=0, le=1e3, strict=False)]
Compensate = Literal["none", "reverse-neighbours"]
LeftOut = Annotated[list[Name], Field(min_length=1, max_length=500)] | None


class AnyMethod(Strict):
    """What a request says of a method, whichever it is."""

    name: str
    label: Name | None = None
    """What a report calls it; unset: its name, with what tells it from others of that name."""

    @property
    def title(self) -> str:
        """What a report calls it."""
        return self.label or self.name

    def settings(self) -> dict[str, Any]:
        """All settings by name, without the method's own name and label."""
        return self.model_dump(exclude={"name", "label"})


# --- attribution -----------------------------------------------------------------------------------------------------


class MethodSpec(AnyMethod):
    """An attribution method and its settings."""

    unlearns: ClassVar[bool] = False
    """Whether it is UnTrac or UnTrac-Inv."""

    @property
    def variant(self) -> str | None:
        """The preset, of a method that has some."""
        return None

    @property
    def takes_steps(self) -> bool:
        """Whether the model climbs the loss of each set, step by step."""
        return False


class UnTracSettings(MethodSpec):
    """UnTrac and UnTrac-Inv: a preset, then any setting by name."""

    unlearns: ClassVar[bool] = True
    preset: Literal["robust", "paper"] = "robust"
    """The values of all settings that are not named here."""
    optimizer: Optimizer | None = None
    """``kronecker`` steps along the gradient, scaled by the Kronecker-factored curvature of each weight matrix."""
    learning_rate: Positive | None = None
    """The step size of ``adam`` and ``sgd``."""
    target_loss_increase: Positive | None = None
    """For ``kronecker``: nats per token by which all steps together raise the loss of the set that responds most."""
    damping: Positive | None = None
    """For ``kronecker``: share of the mean eigenvalue that is added to each factor."""
    samples: Count | None = None
    """For ``kronecker``: micro-batches of training text for the curvature."""
    batch_size: Annotated[int, Field(ge=1)] | None = None
    """Examples per step; unset where a preset takes the whole set as one batch. Of UnTrac with ``robust``: blocks of
    every subset."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Steps of an ascent, or of UnTrac's flow."""
    epochs: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Passes over the drawn examples, in place of ``steps``."""
    subsample: Share | None = None
    """Share of the set that a seed draws, without replacement."""
    sequences: Count | None = None
    """For preset ``paper``: blocks of a subset, or items of a side, that a seed draws at most."""
    dropout: bool | None = None
    """For preset ``paper``: unlearn with the model's dropout, its masks drawn by the seed; losses are without it."""
    two_sided: bool | None = None
    """Also descend from the same weights, and take half the difference: even-order terms cancel."""
    max_loss_increase: Positive | None = None
    """Stop before the set's own loss has risen by more than this, in nats per token."""
    eval_points: Annotated[int, Field(ge=1, le=50)] | None = None
    """How many points of the trajectory are kept."""
    trainable: Trainable | None = None
    """Which parameters may move: all, the weight matrices, the last blocks' matrices, or a LoRA adapter alone."""

    relative_step: Positive | None = None
    """For preset ``robust`` of UnTrac: a step's length, in units of the longest that stays in a quadratic valley."""
    leave_out: LeftOut = None
    """For preset ``robust`` of UnTrac: the subsets that are unlearned in turn; unset: each."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("name one of 'steps' and 'epochs', not both")
        return self

    @property
    def variant(self) -> str:
        """The preset."""
        return self.preset

    @property
    def takes_steps(self) -> bool:
        """Of preset ``paper``; with ``robust``, UnTrac-Inv is a limit and UnTrac a flow that the rest holds."""
        return self.preset == "paper"

    @property
    def title(self) -> str:
        """What a report calls it."""
        return self.label or f"{self.name} ({self.preset})"


class SampledSettings(MethodSpec):
    """A method that compares every text with a random share of the prompts."""

    subsample: Share = 0.5
    """Share of a side's items that a seed draws at random, without replacement."""


class GradientSettings(SampledSettings):
    """A method that compares gradients."""

    trainable: Trainable = "all"
    """The parameters whose gradients are compared."""


class TracInSettings(GradientSettings):
    """TracIn, as it is or with the optimizer's scaling."""

    scaling: Literal["none", "adam"] = "none"
    """``adam``: a prompt's gradient over the root of the second moments that Adam had there, as a step of Adam goes."""

    @property
    def title(self) -> str:
        """What a report calls it: with the scaling where there is one."""
        return self.label or (self.name if self.scaling == "none" else f"{self.name} ({self.scaling})")


class FisherSettings(GradientSettings):
    """A gradient product that is scaled by statistics of the training text's gradients."""

    samples: Count = 300
    """Micro-batches of training text."""
    damping: Positive = 0.1
    """Share of the mean (of the diagonal, or of the eigenvalues of each factor) that is added."""


class KroneckerSettings(FisherSettings):
    """A gradient product that is scaled by the Kronecker factors of each weight matrix."""

    trainable: Trainable = "matrices"


class EkFacSettings(FisherSettings):
    """EK-FAC; ``samples``: training blocks that the curvature is estimated on."""

    samples: Count = 1024
    head: bool = False
    """Also the output layer, which gives each word its logit; its factors are as large as the vocabulary."""


class LissaSettings(FisherSettings):
    """How LiSSA's recursion goes; ``damping``: share of the largest eigenvalue that is added to every eigenvalue."""

    samples: Count = 8
    """Training blocks per iteration."""
    damping: Positive = 0.01
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Terms of the series; as in Isonuma and Titov (ACL 2024), section 5."""


class ArnoldiSettings(GradientSettings):
    """How large the space of Arnoldi's iteration is."""

    samples: Count = 256
    """Training blocks whose Hessian it is; the paper's."""
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 25
    """Products with the Hessian, and directions; as in Isonuma and Titov (ACL 2024), section 5, for their T5."""


class ContinuationSettings(MethodSpec):
    """How the finished model is trained on, with and without each subset."""

    steps: Annotated[int, Field(ge=10, le=100_000, multiple_of=10)] = 40
    """Steps; more of them agree better with retraining, and go on from those that are kept."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Blocks of every subset per step; unset: 16, of a smaller subset a quarter of its blocks. The noise of small
    batches costs more than few steps do."""
    learning_rate: Positive = 5e-4
    """AdamW's, constant; about a quarter of the highest of the model's own training."""
    weight_decay: Weight = 0.01
    """AdamW's."""
    trainable: Trainable = "all"
    """Which parameters may move."""
    leave_out: LeftOut = None
    """The subsets without which it is trained, in turn; unset: each."""


# --- unlearning ------------------------------------------------------------------------------------------------------


class UnlearningMethodSpec(AnyMethod):
    """An unlearning method and its settings; of exact retraining there is none."""

    fixed: ClassVar[dict[str, Any]] = {}
    """Values of :class:`untrac_core.unlearning.settings.UnlearningConfig` that are the method's own."""

    @property
    def is_grin(self) -> bool:
        """Whether it is GRIN with its own mask, and no control of it."""
        return False


class StepSettings(UnlearningMethodSpec):
    """A method that takes steps of Adam from the model as it is."""

    learning_rate: Positive | None = None
    """Adam's step size; unset: 1e-3 below ten million parameters, else 1e-5; a tenth of it for plain ascent."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Texts to forget in a step, and as many to retain; unset: about 600 tokens of them, at least 8 and at most 64."""
    trainable: Trainable = "all"
    """Which parameters may move."""


class AscentOnlySettings(StepSettings):
    """Gradient ascent on the forget set and nothing else."""

    fixed: ClassVar[dict[str, Any]] = {"retain_weight": 0.0}


class RetainingSettings(StepSettings):
    """A method with a loss on the retain set."""

    compensate: Compensate = "none"
    """Which retained texts are trained on most: with ``reverse-neighbours`` those whose neighbours go. A text stands in
    an epoch once, and once more for each of its ten nearest texts, by the cosine of mean hidden states, that goes."""

    @property
    def marks(self) -> list[str]:
        """What tells it from others of its name."""
        return [] if self.compensate == "none" else ["compensated"]

    @property
    def title(self) -> str:
        """What a report calls it: with its marks."""
        return self.label or (f"{self.name} ({', '.join(self.marks)})" if self.marks else self.name)


class RetainOnlySettings(RetainingSettings):
    """Training on the retain set and nothing else."""

    fixed: ClassVar[dict[str, Any]] = {"forget_weight": 0.0}
    retain: Literal["nll", "kl"] = "nll"
    """The loss on the retain set, as for the methods with two losses."""


class TwoLossSettings(RetainingSettings):
    """A method with a loss on the forget set and one on the retain set."""

    forget_weight: Positive | None = 1.0
    """The weight of the loss on the forget set."""
    retain: Literal["nll", "kl"] = "nll"
    """The loss on the retain set: trained on, ``nll``; or held to the next-token probabilities that the model had,
    ``kl``, which teaches it nothing new about them and holds a second model in memory."""
    retain_weight: Weight = 1.0
    """The weight of the loss on the retain set."""


class NpoSettings(TwoLossSettings):
    """Negative preference optimisation."""

    forget_weight: Positive | None = None
    """The weight of the loss on the forget set; unset: 1 over the tokens of a text."""
    beta: Positive | None = None
    """β in the equation: the larger, the sooner an unlikely text is left alone; unset: 5 over a text's tokens."""


class SimNpoSettings(TwoLossSettings):
    """NPO without a reference model."""

    forget_weight: Positive = 0.125
    """The weight of the loss on the forget set, by the method's own balance (Fan et al., 2024)."""
    beta: Positive = 2.5
    """How soon a text that the model already finds unlikely is left alone."""


class GradDiffSettings(TwoLossSettings):
    """Gradient difference."""

    max_forget_loss: Positive | None = None
    """Nats per token at which the loss of the forget set counts as high enough; unset: the retrained model's, else that
    of a uniform guess."""


class GrinSettings(TwoLossSettings):
    """GRIN: which weights move, how they are shaken, and what they are trained for."""

    forget_weight: Positive | None = None
    """The weight of the loss on the forget set; unset: 1, for ``npo`` 1 over the tokens of a text."""
    objective: Literal["npo", "grad-diff", "po"] = "npo"
    """What the chosen weights are trained for."""
    beta: Positive | None = None
    """For ``npo``: how soon a text that the model already finds unlikely is left alone."""
    max_forget_loss: Positive | None = None
    """For ``grad-diff``: nats per token at which the loss of the forget set counts as high enough."""
    refusal: Annotated[str, Field(min_length=1, max_length=2_000)] | None = None
    """For ``po``: the answer that takes the place of the forget set."""
    mask: Literal["gradient-ratio", "gradient", "random"] = "gradient-ratio"
    """How weights are chosen; the last two are its controls."""
    mask_fraction: Share | None = None
    """The share of all weights that moves; unset: .3 below ten million parameters, else .1."""
    noise: Annotated[float, Field(ge=0, le=100, strict=False)] | None = None
    """Deviation of the noise; below ten million parameters relative to the tensor's (unset: .5), else plain (.01)."""

    @property
    def is_grin(self) -> bool:
        """Whether it has its own mask, and is no control."""
        return self.mask == "gradient-ratio"

    @property
    def marks(self) -> list[str]:
        """Also the mask where that is not its own."""
        return ([] if self.is_grin else [f"{self.mask} mask"]) + super().marks

    def masked(self, mask: Literal["gradient", "random"]) -> Self:
        """Its control: the same with another mask."""
        return self.model_copy(update={"mask": mask, "label": self.label and f"{self.label} ({mask} mask)"})

    @model_validator(mode="after")
    def _refusal_is_for_po(self) -> Self:
        if self.objective == "po" and self.refusal is None:
            raise ValueError("'objective: po' needs a 'refusal': write the answer that is to come")
        if self.refusal is not None and self.objective != "po":
            raise ValueError("'refusal' has no effect without 'objective: po': remove one of the two")
        return self


class CurvatureSettings(UnlearningMethodSpec):
    """A method that scales its steps by the Kronecker factors of each weight matrix, and takes them without Adam."""

    fixed: ClassVar[dict[str, Any]] = {"forget_weight": 0.0, "retain_weight": 0.0}
    samples: Count = 300
    """Micro-batches of text for the curvature."""
    damping: Positive = 1.0
    """Share of the mean eigenvalue that is added to each factor."""
    trainable: Trainable = "matrices"
    """Which parameters may move; vectors and position tables have no factors, and stay put."""


class KFadeSettings(CurvatureSettings):
    """K-FADE; ``samples``: for each step, as the curvature is that of the model on its way."""

    samples: Count = 100
    damping: Positive = 0.3
    max_forget_loss: Positive | None = None
    """Nats per token at which the loss of the forget set counts as high enough; unset: the retrained model's, else that
    of a uniform guess."""
    steps: Count = 8
    """Steps that would get there if the loss rose as its gradient says: how long each is."""


class RestFlowSettings(CurvatureSettings):
    """The flow of the rest."""

    fixed: ClassVar[dict[str, Any]] = {"forget_weight": 0.0, "retain_weight": 0.0, "flows": True}
    relative_step: Positive = 0.5
    """A step's length, in units of the longest that stays in a quadratic valley without momentum; with it, .73."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Texts to retain in a step; unset: about 4,000 tokens of them. In small batches the flow runs away; it takes a
    quarter of the set at most."""


class SisaSettings(UnlearningMethodSpec):
    """SISA: models of some of the texts each."""

    shards: Annotated[int, Field(ge=2, le=64)] = 4
    """Models, each of its own share of the texts."""
    slices: Annotated[int, Field(ge=1, le=64)] = 2
    """Parts of a shard; the weights before each are kept."""
