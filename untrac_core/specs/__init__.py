"""What a run is, as strict models with a canonical hash: the face of this package.

The page, the command line and a notebook build the same objects; :mod:`untrac_core.specs.files` reads and writes them.
"""

from untrac_core.specs.build import method_spec, unlearning_method_spec
from untrac_core.specs.catalogue import AnyAttributionMethod, AnyUnlearningMethod, BaselineName
from untrac_core.specs.data import Collection, Columns, Name, PromptSet, RowFilter, Source, Strict, Subset
from untrac_core.specs.methods import MethodSpec, UnlearningMethodSpec
from untrac_core.specs.parts import (
    Device,
    Dtype,
    ModelRef,
    NamedText,
    Optimizer,
    Positive,
    Recipe,
    Sampling,
    Scorer,
    Trainable,
    Training,
)
from untrac_core.specs.runs import (
    DEFAULT_BASELINES,
    KINDS,
    METHODS_COMPARED,
    RUN_KINDS,
    SEEDS,
    TEXTS_BYTES,
    FetchSpec,
    GenerateSpec,
    RunSpec,
    Spec,
    TraceSpec,
    TrainSpec,
    ValidateSpec,
    VerifySpec,
    spec_hash,
)
from untrac_core.specs.unlearn import Canaries, ForgetSet, Generation, StopRule, UnlearnSpec

__all__ = [
    "DEFAULT_BASELINES",
    "KINDS",
    "METHODS_COMPARED",
    "RUN_KINDS",
    "SEEDS",
    "TEXTS_BYTES",
    "AnyAttributionMethod",
    "AnyUnlearningMethod",
    "BaselineName",
    "Canaries",
    "Collection",
    "Columns",
    "Device",
    "Dtype",
    "FetchSpec",
    "ForgetSet",
    "GenerateSpec",
    "Generation",
    "MethodSpec",
    "ModelRef",
    "Name",
    "NamedText",
    "Optimizer",
    "Positive",
    "PromptSet",
    "Recipe",
    "RowFilter",
    "RunSpec",
    "Sampling",
    "Scorer",
    "Source",
    "Spec",
    "StopRule",
    "Strict",
    "Subset",
    "TraceSpec",
    "TrainSpec",
    "Trainable",
    "Training",
    "UnlearnSpec",
    "UnlearningMethodSpec",
    "ValidateSpec",
    "VerifySpec",
    "method_spec",
    "spec_hash",
    "unlearning_method_spec",
]  # fmt: skip
