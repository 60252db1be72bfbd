"""Jobs: a user's own sequences scored shard by shard into a store, resumed wherever they stopped."""

from attribution_bench.jobs.attribute import attribute_to_store
from attribution_bench.jobs.distributed import Workers
from attribution_bench.jobs.events import (
    Caution,
    Cluster,
    Event,
    ModelsAdded,
    Observer,
    Retry,
    ShardDone,
    ShardFailed,
    Started,
    Summary,
    Working,
)
from attribution_bench.jobs.open_models import ModelByRecipe, NamedModel

__all__ = [
    "Caution",
    "Cluster",
    "Event",
    "ModelByRecipe",
    "ModelsAdded",
    "NamedModel",
    "Observer",
    "Retry",
    "ShardDone",
    "ShardFailed",
    "Started",
    "Summary",
    "Workers",
    "Working",
    "attribute_to_store",
]
