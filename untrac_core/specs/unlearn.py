"""What a request to unlearn is: the forget set, by which method, when it stops, and what is measured."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from untrac_core.specs.build import unlearning_method_spec
from untrac_core.specs.catalogue import CONTROL, UNLEARNING, AnyUnlearningMethod
from untrac_core.specs.data import Collection, Name, PromptSet, Strict, Subset
from untrac_core.specs.methods import GrinSettings, UnlearningMethodSpec
from untrac_core.specs.parts import Device, ModelRef, NamedText, Sampling, Scorer, Training, refuse_repeats

SHARED = ("learning_rate", "batch_size", "trainable")
"""Settings that a control has of the method that it is a control of."""
BEFORE, RETRAINED, ENSEMBLE = SUBJECTS = ("before", "retrained", "ensemble audit")
"""What a result calls the models that no method made; no method may be called so."""


def _kind(method: UnlearningMethodSpec) -> tuple[str, str, str]:
    """What makes a second method of the same kind needless: its name, GRIN's mask, and what it trains on most."""
    return method.name, getattr(method, "mask", ""), getattr(method, "compensate", "")


class ForgetSet(Strict):
    """The forget set: a subset, some texts of the subsets, an upload, or one side of a prompt set; exactly one."""

    subset: Name | None = None
    """The name of one of the request's subsets."""
    texts: Annotated[list[NamedText], Field(max_length=5_000)] = []
    """As the table of single texts of a trace names them."""
    upload: Subset | None = None
    """Texts that are none of the request's subsets."""
    prompts: Name | None = None
    """A prompt set: the completions of one side are forgotten, given their prompts; the other side is kept."""
    side: Literal["harmful", "harmless"] = "harmful"
    """The side of ``prompts`` to forget."""
    neighbours: Annotated[int, Field(ge=0, le=5_000)] = 0
    """As many texts of the other subsets join the forget set: those that the model finds most like one of its texts,
    by the cosine of their mean hidden states. They count as forgotten everywhere, also in retraining."""

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

    ``match_retrained``: at the first evaluation at which the forget set is as unlikely as to a model that never saw it
    (MUSE, Shi et al., 2024). ``match_holdout``: as unlikely as the holdout set was before. ``retain_budget``: before
    the loss of the retain set has risen by more than a share. ``fixed``: not before the last step."""

    rule: Literal["match_retrained", "match_holdout", "retain_budget", "fixed"] = "match_retrained"
    """The rule."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Most steps."""
    eval_every: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Steps between two evaluations."""
    max_retain_increase: Annotated[float, Field(gt=0, le=10, strict=False)] = 0.02
    """For ``retain_budget``: how much the loss of the retain set may rise, as a share of it."""


class Generation(Strict):
    """What every model writes: the same prompts and random numbers, so that the texts can be read side by side."""

    texts: Annotated[list[Annotated[str, Field(min_length=1, max_length=10_000)]], Field(max_length=500)] = []
    """Prompts as they are."""
    prompt_set: Name | None = None
    """Or those of a prompt set's harmful side; an item without a prompt gives the first words of its completion."""
    prompt_words: Annotated[int, Field(ge=1, le=100)] = 4
    """Words that such an item gives."""
    limit: Annotated[int, Field(ge=1, le=2_000)] = 24
    """Different prompts: a fixed random sample."""
    sampling: Sampling = Sampling(samples=2, tokens=24)
    """How completions are drawn."""
    scorer: Scorer | None = None
    """What labels a completion harmful; unset: nothing is scored."""

    @model_validator(mode="after")
    def _has_prompts(self) -> Self:
        if bool(self.texts) == (self.prompt_set is not None):
            raise ValueError("name exactly one of 'texts' and 'prompt_set'")
        return self


class Canaries(Strict):
    """Planted texts and others made in the same way that were never trained on (Carlini et al., 2019)."""

    planted: Subset
    """Texts that the model was trained on."""
    candidates: Subset
    """Texts made in the same way that it was not."""


class UnlearnSpec(Strict):
    """A request: take the effect of some training texts out of a model, keep the rest, and measure what that did."""

    kind: Literal["unlearn"] = "unlearn"
    name: Name = "untitled"
    model: ModelRef
    forget: ForgetSet
    """The forget set."""
    subsets: Annotated[list[Subset], Field(max_length=500)] = []
    """What the model was trained on, a forget set that is a subset included; all the others are the retain set."""
    collections: Annotated[list[Collection], Field(max_length=50)] = []
    prompts: Annotated[list[PromptSet], Field(max_length=50)] = []
    """Prompt sets whose loss is measured before and after, to see what the model may still say."""
    holdout: Subset | None = None
    """Text of the forget set's source that the model never saw; unset: what the recipe leaves of it, if anything."""
    method: AnyUnlearningMethod = unlearning_method_spec()
    """How the forget set is unlearned."""
    compare: Annotated[list[AnyUnlearningMethod], Field(max_length=20)] = []
    """Other methods that are run and measured in the same way; control runs are added automatically."""
    stop: StopRule = StopRule()
    """When the unlearning ends."""
    training: Training | None = None
    """How the retrained reference is made: as the model itself was, without the forget set; unset: there is none."""
    base: ModelRef | None = None
    """Where that training begins, with ``training.init`` ``base``."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=20)] = [0, 1]
    """Seeds of retrainings and unlearnings; the first should be the one that the model was trained with."""
    block_size: Annotated[int, Field(ge=8, le=131_072)] | None = None
    """Block size (tokens) of text; unset: the recipe's, else the model's context, at most 1,024."""
    eval_samples: Annotated[int, Field(ge=4, le=100_000)] = 64
    """Texts of a set that losses are measured on: a fixed random sample."""
    generation: Generation | None = None
    """What the models write before and after; unset: nothing."""
    canaries: Canaries | None = None
    """Planted texts whose exposure is measured; unset: none."""
    relearn_steps: Annotated[int, Field(ge=0, le=10_000)] = 60
    """Most steps of the relearning test; 0: none."""
    ensemble_size: Annotated[int, Field(ge=0, le=512)] = 0
    """Models of each kind, retrained and unlearned, that the ensemble audit compares; 0: no ensemble audit."""
    device: Device = "auto"

    @property
    def methods(self) -> list[UnlearningMethodSpec]:
        """The method, what is run beside it, and the controls without which neither says much.

        Training on the rest alone, for all: trained on it also where the method holds it with ``kl``, as nothing needs
        holding where nothing is forgotten. A random mask and one by the gradient alone, for GRIN.
        """
        named = [self.method, *self.compare]
        grins = [each for each in named if isinstance(each, GrinSettings) and each.is_grin]
        controls: list[UnlearningMethodSpec] = [each.masked(mask) for each in grins for mask in ("gradient", "random")]
        if any(UNLEARNING[each.name].path and each.name != CONTROL for each in named):
            same = {name: getattr(self.method, name) for name in SHARED if hasattr(self.method, name)}
            controls.append(unlearning_method_spec(CONTROL, **same))
        there = {_kind(each) for each in named}
        return named + [each for each in controls if _kind(each) not in there]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        forget, names = self.forget, {subset.name for subset in self.subsets}
        of_texts = {text.subset for text in forget.texts}
        if not self.collections:
            missing = sorted(({forget.subset} if forget.subset else of_texts) - names)
            if missing:
                raise ValueError(f"'forget': 'subsets' has no {missing[0]!r}")
            if not names - {forget.subset} and forget.prompts is None:
                raise ValueError("'subsets' needs one that stays: without it nothing shows what else is lost")
        if forget.prompts is not None and forget.prompts not in {prompts.name for prompts in self.prompts}:
            raise ValueError(f"'forget': 'prompts' has no {forget.prompts!r}")
        of_writing = None if self.generation is None else self.generation.prompt_set
        if of_writing is not None and of_writing not in {prompts.name for prompts in self.prompts}:
            raise ValueError(f"'generation': 'prompts' has no {of_writing!r}")
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
        forget, training = self.forget, self.training
        if training is None:
            needing = next((m.name for m in self.methods if UNLEARNING[m.name].needs_recipe), None)
            if needing or self.ensemble_size or self.stop.rule == "match_retrained":
                what = (
                    f"method {needing!r}"
                    if needing
                    else "'ensemble_size'"
                    if self.ensemble_size
                    else "the stop rule 'match_retrained'"
                )
                raise ValueError(f"{what} needs 'training', the recipe of a model that never saw the forget set")
            return
        if forget.upload is not None or forget.prompts is not None:
            raise ValueError("'training' leaves out texts of 'subsets': name these as 'forget', or no 'training'")
        if training.init == "continued":
            raise ValueError("'training.init' is 'scratch' or 'base': more training cannot unsee a text")
        if (training.init == "base") != (self.base is not None):
            raise ValueError("'base' is needed with training.init 'base', and only then")
