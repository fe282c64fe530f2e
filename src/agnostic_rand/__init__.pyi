"""Public names of the library: the one table, which type checkers read, and `__init__.py` where one is used."""

from agnostic_rand import adapters as adapters
from agnostic_rand import errors as errors
from agnostic_rand import explainers as explainers
from agnostic_rand import similarity as similarity
from agnostic_rand.adapters import BackendInfo as BackendInfo
from agnostic_rand.adapters import adapt as adapt
from agnostic_rand.adapters import backends as backends
from agnostic_rand.checks import Check as Check
from agnostic_rand.checks import CosineConvergence as CosineConvergence
from agnostic_rand.checks import DataRandomization as DataRandomization
from agnostic_rand.checks import EfficientMPRT as EfficientMPRT
from agnostic_rand.checks import Faithfulness as Faithfulness
from agnostic_rand.checks import GeneralizedFaithfulness as GeneralizedFaithfulness
from agnostic_rand.checks import InputMultiplier as InputMultiplier
from agnostic_rand.checks import ModelDecay as ModelDecay
from agnostic_rand.checks import ModelRandomization as ModelRandomization
from agnostic_rand.checks import ModelRandomizationMetric as ModelRandomizationMetric
from agnostic_rand.checks import ParameterNoise as ParameterNoise
from agnostic_rand.checks import RandomLogit as RandomLogit
from agnostic_rand.checks import RandomLogitMetric as RandomLogitMetric
from agnostic_rand.checks import RankResilience as RankResilience
from agnostic_rand.checks import Repeatability as Repeatability
from agnostic_rand.checks import ScalePreservation as ScalePreservation
from agnostic_rand.checks import SmoothMPRT as SmoothMPRT
from agnostic_rand.checks import sensitivity_ratio as sensitivity_ratio
from agnostic_rand.checks._training import TrainingOptions as TrainingOptions
from agnostic_rand.errors import AgnosticRandError as AgnosticRandError
from agnostic_rand.passes.explain import explain as explain
from agnostic_rand.results.scores import Scores as Scores
from agnostic_rand.sanity.load import load as load
from agnostic_rand.sanity.report import SanityReport as SanityReport
from agnostic_rand.sanity.sanity_check import sanity_check as sanity_check
from agnostic_rand.similarity import Measure as Measure
from agnostic_rand.subject.progress import Progress as Progress
from agnostic_rand.subject.subject import Subject as Subject
from agnostic_rand.weights import CascadingRandomization as CascadingRandomization
from agnostic_rand.weights import FullRandomization as FullRandomization
from agnostic_rand.weights import GaussianNoise as GaussianNoise
from agnostic_rand.weights import IndependentRandomization as IndependentRandomization
from agnostic_rand.weights import MatchedNormal as MatchedNormal
from agnostic_rand.weights import ModelRandomizationStrategy as ModelRandomizationStrategy
from agnostic_rand.weights import MultiplicativeNoise as MultiplicativeNoise
from agnostic_rand.weights import NativeInit as NativeInit
from agnostic_rand.weights import Permute as Permute
from agnostic_rand.weights import PoissonNoise as PoissonNoise
from agnostic_rand.weights import ProgressiveLayerRandomization as ProgressiveLayerRandomization
from agnostic_rand.weights import Reinitialize as Reinitialize
from agnostic_rand.weights import Uniform as Uniform
from agnostic_rand_jax import jax_model as jax_model

__version__: str
__all__: list[str]
