"""Attribution for neural networks on DNA, RNA and protein sequences: one interface, five methods."""

from attribution_bench import errors
from attribution_bench._version import __version__
from attribution_bench.attribution import Attribution, AttributionResult, RawAttribution, Request, Tags
from attribution_bench.jobs import attribute_to_store
from attribution_bench.models import SequenceModel, as_sequence_model
from attribution_bench.mutagenesis import InSilicoMutagenesis, MutationResult, RawMutagenesis
from attribution_bench.mutations import Mutation, knockouts, scrambles, tiles
from attribution_bench.registry import get_method, get_model, list_methods, list_models, list_peers
from attribution_bench.sequences import DNA, PROTEIN, RNA, Alphabet, Genome, Tracks
from attribution_bench.variants import Variant, score_variants

__all__ = [
    "DNA",
    "PROTEIN",
    "RNA",
    "Alphabet",
    "Attribution",
    "AttributionResult",
    "Genome",
    "InSilicoMutagenesis",
    "Mutation",
    "MutationResult",
    "RawAttribution",
    "RawMutagenesis",
    "Request",
    "SequenceModel",
    "Tags",
    "Tracks",
    "Variant",
    "__version__",
    "as_sequence_model",
    "attribute_to_store",
    "errors",
    "get_method",
    "get_model",
    "knockouts",
    "list_methods",
    "list_models",
    "list_peers",
    "score_variants",
    "scrambles",
    "tiles",
]
