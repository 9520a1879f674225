"""What a request to unlearn is: what is to go, by which method, when it stops, and what is measured."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from untrac_core.data_specs import Collection, Name, PromptSet, Strict, Subset
from untrac_core.spec_parts import (
    Device,
    ModelRef,
    Moves,
    NamedText,
    Positive,
    Sampling,
    Scorer,
    Training,
    refuse_repeats,
)

Removal = Literal["npo", "sim-npo", "grad-diff", "ascent", "grin", "retain-only", "retrain", "sisa"]
BEFORE, GOLD, DEEP = SUBJECTS = ("before", "gold", "deep check")
"""What a result calls the models that no method made; no method may be called so."""
Share = Annotated[float, Field(gt=0, le=1, strict=False)]


class RemovalSpec(Strict):
    """A removal method, then any setting by name (:mod:`untrac_core.unlearning.settings` has the defaults)."""

    name: Removal = "npo"
    label: Name | None = None
    """What a report calls it; unset: its name, with the mask where GRIN has another than its own."""
    learning_rate: Positive | None = None
    """Of Adam; unset: 1e-3 for a model below ten million parameters, else 1e-5."""
    batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Texts to forget in a step, and as many to retain; unset: about 600 tokens of them, at least 8 and at most 64."""
    beta: Positive | None = None
    """Of ``npo`` and ``sim-npo``: how soon a text that the model already finds unlikely is left alone."""
    forget_weight: Positive | None = None
    """Of the loss on what is to go; unset: 1, of ``sim-npo`` .125 as published, of ``npo`` 1 over a text's tokens."""
    retain: Literal["nll", "kl"] | None = None
    """The loss on the texts that stay: trained on, ``nll``; or held to the next-token probabilities that the model had,
    ``kl``, which teaches it nothing new about them and holds a second model in memory. Unset: ``nll``."""
    retain_weight: Annotated[float, Field(ge=0, le=1e3, strict=False)] | None = None
    """Of that loss."""
    cap: Positive | None = None
    """Of ``grad-diff``: nats per token at which the loss of what is to go counts as high enough; unset: the retrained
    model's, else that of a uniform guess."""
    objective: Literal["npo", "grad-diff", "po"] | None = None
    """Of ``grin``: what the chosen weights are trained for."""
    refusal: Annotated[str, Field(min_length=1, max_length=2_000)] | None = None
    """Of ``grin`` with ``po``: the answer that takes the place of what is to go."""
    mask: Literal["gradient-ratio", "gradient", "random"] | None = None
    """Of ``grin``: how weights are chosen; the last two are its controls."""
    share: Share | None = None
    """Of ``grin``: the share of all weights that moves; unset: .3 below ten million parameters, else .1."""
    noise: Annotated[float, Field(ge=0, le=100, strict=False)] | None = None
    """Of ``grin``: the noise's deviation; below ten million parameters in deviations of the tensor, else as it is."""
    shards: Annotated[int, Field(ge=2, le=64)] | None = None
    slices: Annotated[int, Field(ge=1, le=64)] | None = None
    """Of ``sisa``."""
    moves: Moves | None = None

    @property
    def is_grin(self) -> bool:
        """Whether it is GRIN with its own mask, and no control of it."""
        return self.name == "grin" and self.mask in (None, "gradient-ratio")

    @property
    def title(self) -> str:
        """What a report calls it."""
        controlled = self.name == "grin" and not self.is_grin
        return self.label or (f"{self.name} ({self.mask} mask)" if controlled else self.name)


def _masked(spec: RemovalSpec, mask: Literal["gradient", "random"]) -> RemovalSpec:
    """GRIN's control: the same with another mask."""
    return spec.model_copy(update={"mask": mask, "label": spec.label and f"{spec.label} ({mask} mask)"})


class Target(Strict):
    """What is to go: a subset, some texts of the subsets, an upload, or one side of a prompt set; exactly one."""

    subset: Name | None = None
    texts: Annotated[list[NamedText], Field(max_length=5_000)] = []
    """As the table of single texts of a trace names them."""
    upload: Subset | None = None
    """Texts that are none of the request's subsets."""
    prompts: Name | None = None
    """A prompt set: its completions are to go, given its prompts; what its other side says is to stay."""
    side: Literal["harmful", "harmless"] = "harmful"
    """Of ``prompts``."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        named = [self.subset is not None, bool(self.texts), self.upload is not None, self.prompts is not None]
        if sum(named) != 1:
            raise ValueError("name exactly one of 'subset', 'texts', 'upload' and 'prompts'")
        if len({(text.subset, text.id) for text in self.texts}) < len(self.texts):
            raise ValueError("'texts' names a text twice")
        return self


class StopRule(Strict):
    """When an unlearning ends; it ends at ``steps`` in any case, and where the model collapses.

    ``gold``: at the first look at which the texts to go are as unlikely as to a model that never saw them (MUSE, Shi et
    al., 2024). ``held-out``: as unlikely as text of the same source that the model never saw was before. ``retain-
    budget``: before the loss of the texts that stay has risen by more than a share. ``steps``: not before the last.
    """

    rule: Literal["gold", "held-out", "retain-budget", "steps"] = "gold"
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    every: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Steps between two looks."""
    budget: Annotated[float, Field(gt=0, le=10, strict=False)] = 0.02
    """Of ``retain-budget``."""


class Writing(Strict):
    """What every model writes: the same prompts and random numbers, so that the texts can be read side by side."""

    texts: Annotated[list[Annotated[str, Field(min_length=1, max_length=10_000)]], Field(max_length=500)] = []
    """Prompts as they are."""
    prompt_set: Name | None = None
    """Or those of a prompt set's harmful side; an item without a prompt gives the first words of its completion."""
    words: Annotated[int, Field(ge=1, le=100)] = 4
    limit: Annotated[int, Field(ge=1, le=2_000)] = 24
    """Different prompts: a fixed random sample."""
    sampling: Sampling = Sampling(samples=2, tokens=24)
    scorer: Scorer | None = None

    @model_validator(mode="after")
    def _has_prompts(self) -> Self:
        if bool(self.texts) == (self.prompt_set is not None):
            raise ValueError("name exactly one of 'texts' and 'prompt_set'")
        return self


class Canaries(Strict):
    """Planted texts and others made in the same way that were never trained on (Carlini et al., 2019)."""

    planted: Subset
    candidates: Subset


class UnlearnSpec(Strict):
    """A request: take the effect of some training texts out of a model, keep the rest, and measure what that did."""

    kind: Literal["unlearn"] = "unlearn"
    name: Name = "untitled"
    model: ModelRef
    target: Target
    subsets: Annotated[list[Subset], Field(max_length=500)] = []
    """What the model was trained on, the target among them where it is a subset: what is not the target is to stay."""
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    prompts: Annotated[list[PromptSet], Field(max_length=50)] = []
    """What the model may say after it."""
    held_out: Subset | None = None
    """Text of the target's source that the model never saw; unset: what the recipe leaves of it, if anything."""
    method: RemovalSpec = RemovalSpec()
    beside: Annotated[list[RemovalSpec], Field(max_length=20)] = []
    """Other methods that are run and measured in the same way; controls come by themselves (:attr:`methods`)."""
    stop: StopRule = StopRule()
    training: Training | None = None
    """How a model that never saw the target is made: as the model itself was; unset: there is none to compare with."""
    base: ModelRef | None = None
    """Where that training begins, with ``training.init`` ``base``."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=20)] = [0, 1]
    """Of the retrainings and of the unlearnings; the first is best the one that the model was trained with."""
    block: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Tokens a block of text; unset: the recipe's, else the model's context, at most 1,024."""
    look: Annotated[int, Field(ge=4, le=100_000)] = 64
    """Texts of a set that losses are measured on: a fixed random sample."""
    writing: Writing | None = None
    canaries: Canaries | None = None
    relearn: Annotated[int, Field(ge=0, le=10_000)] = 60
    """Most steps of the relearning test; 0: none."""
    deep: Annotated[int, Field(ge=0, le=512)] = 0
    """Models of each kind, retrained and unlearned, that the deep check compares; 0: no deep check."""
    device: Device = "auto"

    @property
    def methods(self) -> list[RemovalSpec]:
        """The method, what is run beside it, and the controls without which neither says much.

        Training on the rest alone, for all: trained on it also where the method holds it with ``kl``, as nothing needs
        holding where nothing is forgotten. A random mask and one by the gradient alone, for GRIN.
        """
        named = [self.method, *self.beside]
        controls = [_masked(each, mask) for each in named if each.is_grin for mask in ("gradient", "random")]
        if any(each.name not in ("retrain", "sisa", "retain-only") for each in named):
            same = {name: getattr(self.method, name) for name in ("learning_rate", "batch", "moves")}
            controls.append(RemovalSpec(name="retain-only", **same))
        there = {(each.name, each.mask) for each in named}
        return named + [each for each in controls if (each.name, each.mask) not in there]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        target, names = self.target, {subset.name for subset in self.subsets}
        of_texts = {text.subset for text in target.texts}
        if not self.collections:
            missing = sorted(({target.subset} if target.subset else of_texts) - names)
            if missing:
                raise ValueError(f"'target': 'subsets' has no {missing[0]!r}")
            if not names - {target.subset} and target.prompts is None:
                raise ValueError("'subsets' needs one that stays: without it nothing shows what else is lost")
        if target.prompts is not None and target.prompts not in {prompts.name for prompts in self.prompts}:
            raise ValueError(f"'target': 'prompts' has no {target.prompts!r}")
        of_writing = None if self.writing is None else self.writing.prompt_set
        if of_writing is not None and of_writing not in {prompts.name for prompts in self.prompts}:
            raise ValueError(f"'writing': 'prompts' has no {of_writing!r}")
        self._training_fits()
        refuse_repeats([prompts.name for prompts in self.prompts], "prompt sets")
        refuse_repeats([subset.name for subset in self.subsets], "subsets")
        titles = [method.title for method in self.methods]
        refuse_repeats(titles, "methods")
        taken = next((title for title in titles if title in SUBJECTS), None)
        if taken:
            raise ValueError(f"no method can be labelled {taken!r}: results call another model so")
        refuse_repeats([str(seed) for seed in self.seeds], "seeds")
        return self

    def _training_fits(self) -> None:
        target, training = self.target, self.training
        if training is None:
            needing = next((m.name for m in self.methods if m.name in ("retrain", "sisa")), None)
            if needing or self.deep or self.stop.rule == "gold":
                what = f"method {needing!r}" if needing else "'deep'" if self.deep else "the stop rule 'gold'"
                raise ValueError(f"{what} needs 'training', the recipe of a model that never saw the target")
            return
        if target.upload is not None or target.prompts is not None:
            raise ValueError("'training' leaves out texts of 'subsets': name these as 'target', or no 'training'")
        if training.init == "further":
            raise ValueError("'training.init' is 'scratch' or 'base': more training cannot unsee a text")
        if (training.init == "base") != (self.base is not None):
            raise ValueError("'base' is named with training.init 'base', and only then")
