"""Effects of variants: what a model predicts of both alleles of each, and how far apart that is."""

from attribution_bench.sequences.variants import Variant, VariantReason
from attribution_bench.variants.effects import Column, Effects, ScalarEffects
from attribution_bench.variants.ensemble import EnsembleEffects
from attribution_bench.variants.options import ScoringOptions
from attribution_bench.variants.profile_effects import ProfileEffects
from attribution_bench.variants.score import VariantScore, score_variants, variant_scorer
from attribution_bench.variants.splicing_effects import SplicingEffects

__all__ = [
    "Column",
    "Effects",
    "EnsembleEffects",
    "ProfileEffects",
    "ScalarEffects",
    "ScoringOptions",
    "SplicingEffects",
    "Variant",
    "VariantReason",
    "VariantScore",
    "score_variants",
    "variant_scorer",
]
