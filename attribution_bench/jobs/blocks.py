"""Blocks: how many sequences go through the methods at once, halved where memory runs out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from attribution_bench.errors import AttributionBenchError
from attribution_bench.jobs.contents import Values
from attribution_bench.jobs.out_of_memory import is_out_of_memory, release_memory
from attribution_bench.jobs.scoring import Block, MethodScorer, Scored
from attribution_bench.request import Progress

USUAL_BATCH = 64
"""Batch size that halving starts from where a method was to choose its own."""


@dataclass
class Blocks:
    """The size of blocks, which only shrinks: what did not fit once is not tried again.

    Parameters
    ----------
    shard_size
        Sequences of the largest block, which is a whole shard.
    batch_size
        Given to the methods; None for their own.
    shrunk
        Called each time that memory ran out, with the sequences of a block from now on.
    """

    shard_size: int
    batch_size: int | None
    shrunk: Callable[[int], None]
    halvings: int = 0

    @property
    def sequences(self) -> int:
        """Sequences of a block."""
        return max(1, self.shard_size >> self.halvings)

    @property
    def batch(self) -> int | None:
        """Batch size of the methods' calls."""
        return max(1, (self.batch_size or USUAL_BATCH) >> self.halvings) if self.halvings else self.batch_size

    def score(self, scorer: MethodScorer, shard: Block, progress: Progress) -> Scored:
        """Score a shard's sequences, block after block.

        Raises
        ------
        AttributionBenchError
            Not even one sequence fits the memory; and whatever the method raises.
        """
        while True:
            try:
                return self._score(scorer, shard, progress)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.sequences == 1 and self.batch == 1:
                    raise AttributionBenchError(
                        f"memory is too small for {scorer.name} on one sequence at a time ({error}); store less, "
                        "choose one target or a reducer, or another device. Finished shards are kept"
                    ) from error
            # Outside the handler, whose traceback holds on to what did not fit.
            self.halvings += 1
            release_memory()
            self.shrunk(self.sequences)

    def _score(self, scorer: MethodScorer, shard: Block, progress: Progress) -> Scored:
        count, size = len(shard.one_hot), self.sequences
        parts: list[Scored] = []
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))

            def report(done: int, of: int, rows: slice = rows) -> None:
                progress(rows.start * of + done * (rows.stop - rows.start), count * of)

            extras, turned = (tuple(extra[rows] for extra in each) for each in (shard.extras, shard.other_strand))
            block = Block(shard.one_hot[rows], extras, turned)
            parts.append(scorer.score(block, self.batch, report))
        return _joined(parts)


def _joined(parts: Sequence[Scored]) -> Scored:
    if len(parts) == 1:
        return parts[0]
    arrays = {
        name: Values(one.content, np.concatenate([part.arrays[name].array for part in parts]), one.axes)
        for name, one in parts[0].arrays.items()
    }
    return Scored(arrays, parts[0].metadata, max(part.halvings for part in parts))
