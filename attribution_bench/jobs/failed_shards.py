"""Shards of which every try failed: their records are set aside in the store, with the error."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attribution_bench.jobs import layout
from attribution_bench.jobs.job import Job
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.stored_sums import StoredSums
from attribution_bench.jobs.survey import read_shard
from attribution_bench.sequences.source import Reason
from attribution_bench.storage.record_arrays import SET_ASIDE
from attribution_bench.storage.zarr_store import ZarrStore

ERROR = "error"
"""Entry of a marker whose shard was not computed; the next run computes it, and writes it anew."""


def computed(store: ZarrStore, shard: int) -> Mapping[str, Any] | None:
    """Return the marker of a shard that is finished and was computed; None of any other."""
    if store.is_finished(shard):
        (facts,) = store.facts([shard])
        if ERROR not in facts:
            return facts
    return None


def write(job: Job, store: ZarrStore, shard: Shard, error: str) -> None:
    """Set the records of a shard aside; sums over the models that did not fail stay for the next run.

    Raises
    ------
    OutputError
        The store cannot be written.
    SequenceError
        The source cannot be read.
    """
    records = read_shard(job.source, shard)
    failed = {
        index: (Reason.NOT_COMPUTED, error) for index, record in enumerate(records) if record.sequence is not None
    }
    arrays = layout.record_arrays(records, job.source.alphabet, job.source.length, failed)
    set_aside = Counter(word for word in arrays[SET_ASIDE] if word)
    specs = store.specs()
    arrays |= layout.score_arrays({}, (), len(records), specs)
    if layout.members_in(specs):
        layout.blank_members(store, [slice(shard.start, shard.stop)])
        # Each model's own values are gone, so that the next run begins with the first model again.
        StoredSums(store.path, store.identity.digest).remove(shard.index)
    store.write(shard.index, arrays, {"scored": 0, "set_aside": dict(set_aside), ERROR: error})
