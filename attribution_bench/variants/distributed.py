"""Blocks of variants on the workers of a cluster: each worker writes the rows of its own, which one process joins."""

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from attribution_bench.environment import thread_count
from attribution_bench.errors import OutputError
from attribution_bench.jobs.distributed.arithmetic import Arithmetic
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.dispatch import Dispatch
from attribution_bench.jobs.distributed.pieces import Done, GivenUp, Piece
from attribution_bench.jobs.distributed.shards import SentModel, environment
from attribution_bench.jobs.distributed.shared_folder import await_file
from attribution_bench.jobs.events import Caution, Event
from attribution_bench.jobs.job import NamedModel
from attribution_bench.models import SequenceModel
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import SetAside, VariantReason
from attribution_bench.storage.durable import PARTIAL, write_text_durable, writing
from attribution_bench.variants.cautions import TOLD, kind_of
from attribution_bench.variants.identity import check_found, found_by_each, identity_of
from attribution_bench.variants.options import ScoringOptions
from attribution_bench.variants.rows import header_line, read_effects, row_line
from attribution_bench.variants.score import (
    BLOCK,
    Checked,
    Numbered,
    VariantScore,
    VariantScorer,
    machine_options_of,
    variant_scorer,
)
from attribution_bench.variants.table import Allele

Block = list[Checked | VariantScore]


@dataclass(frozen=True)
class VariantParcel:
    """A run over variants as it travels to a worker."""

    models: tuple[SentModel, ...]
    genome: Genome
    options: ScoringOptions
    threads: int
    found: Mapping[str, Any] = field(default_factory=dict)
    """What each process finds for itself, as it is where the job was started; see `found_by_each`."""

    def open(self) -> "OpenedVariants":
        """Open models and genome; raises InvalidInputError where models are others."""
        return OpenedVariants(self, [sent.open().model for sent in self.models])


@dataclass(frozen=True)
class BlockOrder:
    """A block that is to be scored."""

    number: int
    alleles: tuple[Allele, ...]
    machine_options: Mapping[str, Any]
    """Options of the method that follow the machine, the same ones on every worker."""
    arithmetic: Arithmetic
    """That of the first worker, which every one is to have."""
    file: Path
    """Where its rows go."""


@dataclass(frozen=True)
class BlockRecord:
    """What is told of a block that was scored; its rows are in its file."""

    cautions: Mapping[str, str]
    """Kind -> the first caution of it."""
    scored: int = 0
    """Variants that have numbers; none where the block was done already."""


@dataclass(frozen=True)
class VariantFacts:
    """What the numbers depend on, as a worker finds it."""

    identity: dict[str, Any]
    """See `identity_of`."""
    machine_options: Mapping[str, Any]
    arithmetic: Arithmetic


class OpenedVariants:
    """A run over variants as it is open on a worker."""

    def __init__(self, parcel: VariantParcel, models: Sequence[SequenceModel]) -> None:
        self._parcel, self._models = parcel, models
        self._bind(None)

    def facts(self) -> VariantFacts:
        """Return what the numbers depend on.

        Raises
        ------
        InvalidInputError
            The genome, a track or the code of effects is another one than where the job was started.
        SequenceError
            The genome or a track cannot be read.
        """
        return VariantFacts(self._identity, self._options, Arithmetic.of(self._models[0]))

    def prepare(self, order: BlockOrder) -> None:
        """Look whether this worker can do a block; see `Preparing`.

        Raises
        ------
        InvalidInputError, SequenceError
            As `facts`.
        DeviceError
            It computes on another device than the first worker, or in another precision.
        OutputError
            The folder of the rows is not seen here.
        """
        _ = self._identity  # is checked as it is found
        Arithmetic.of(self._models[0]).check(order.arithmetic)
        await_file(order.file.parent)

    def do(self, order: BlockOrder) -> BlockRecord:
        """Score a block into its file, unless it is there already.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if order.file.exists():
            return BlockRecord({})
        if order.machine_options != self._options:
            self._bind(order.machine_options)
        with warnings.catch_warnings(record=True) as caught, self._threads():
            for category in TOLD:
                warnings.simplefilter("always", category)
            (block,) = self._scorer.blocks(order.alleles)
        columns = self._scorer.columns
        lines = [header_line(columns), *(row_line(score, columns) for score in block)]
        with writing(order.file):
            write_text_durable(order.file, "".join(lines))
        cautions: dict[str, str] = {}
        for warning in (one.message for one in caught if issubclass(one.category, TOLD)):
            cautions.setdefault(kind_of(warning), str(warning))
        return BlockRecord(cautions, sum(score.set_aside is None for score in block))

    @cached_property
    def _identity(self) -> dict[str, Any]:
        found = identity_of(self._scorer)
        check_found(found, self._parcel.found, self._parcel.genome)
        return found

    def _bind(self, machine_options: Mapping[str, Any] | None) -> None:
        parcel = self._parcel
        with self._threads():
            self._scorer = variant_scorer(self._models, parcel.genome, parcel.options, machine_options)
        self._options = machine_options_of(self._scorer)

    def _threads(self) -> AbstractContextManager[None]:
        return thread_count(self._models[0].framework, self._parcel.threads)


class BlocksOnCluster:
    """Scores blocks of alleles on a cluster.

    Files of blocks that are not joined yet lie in ``TABLE.blocks``; they are known by a digest of all that they depend
    on, so that a run that was stopped uses them.

    Parameters
    ----------
    scorer
        Places the alleles in this process; its models are not asked.
    dispatch
        To which a `VariantParcel` was given.
    table
        The table that the rows are for.
    settings
        What the numbers depend on, JSON-able.
    facts
        Those of the first worker, of which the settings are made.
    tell
        Told of what a reader of the numbers should know.
    """

    def __init__(
        self,
        scorer: VariantScorer,
        dispatch: Dispatch,
        table: Path,
        settings: Mapping[str, Any],
        facts: VariantFacts,
        tell: Callable[[Event], None],
    ) -> None:
        self._scorer, self._dispatch, self._settings, self._tell = scorer, dispatch, settings, tell
        self._facts, self._table = facts, table
        self._folder = table.absolute().with_name(f"{table.name}.blocks")

    def blocks(self, alleles: Iterable[Allele]) -> Iterator[list[VariantScore]]:
        """Yield the scores of each block, in order; raises as `Dispatch.run`."""
        ready: dict[int, list[VariantScore]] = {}
        waiting: dict[int, tuple[Block, Path]] = {}
        joined = 0
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        pieces = self._pieces(alleles, ready, waiting)
        for found in self._dispatch.run(pieces, lambda: False, self._done_before()):
            if found is not None:
                number = found.piece.order.number
                ready[number] = self._joined(found, waiting[number])
            while joined in ready:
                yield ready.pop(joined)
                # What stands in the table is not needed any more.
                if joined in waiting:
                    waiting.pop(joined)[1].unlink(missing_ok=True)
                joined += 1
        for file in (*self._folder.glob("*.tsv"), *self._folder.glob(f"*{PARTIAL}")):
            file.unlink(missing_ok=True)
        # A file of another origin may stay, such as what network file systems keep of one that is open elsewhere.
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _done_before(self) -> int:
        """Return the blocks that earlier runs did; those that are joined already count as one."""
        tables = self._table, self._table.with_name(f"{self._table.name}{PARTIAL}")
        scored = any(row.reason is None for table in tables if table.exists() for row in read_effects(table))
        return len([*self._folder.glob("*.tsv")]) + scored

    def _pieces(
        self, alleles: Iterable[Allele], ready: dict[int, list[VariantScore]], waiting: dict[int, tuple[Block, Path]]
    ) -> Iterator[Piece | None]:
        """Yield the blocks that a model is to be asked of; the others are ready at once."""
        # A table that is complete lacks what was given up, and what is new since.
        failed_before = self._table.exists()
        for number, block in enumerate(self._scorer.gathered(alleles)):
            if not any(isinstance(one, Checked) and not isinstance(one.placed, SetAside) for one in block):
                ready[number] = self._scorer.scored(block)
                yield None
                continue
            file = self._folder / f"{self._digest(block)}.tsv"
            facts = self._facts
            order = BlockOrder(number, tuple(map(_allele, block)), facts.machine_options, facts.arithmetic, file)
            waiting[number] = block, order.file
            there = self._read(block, order.file) if order.file.exists() else None
            if there is None:
                order.file.unlink(missing_ok=True)
                yield Piece(f"block {number}", order, failed_before)
            else:
                ready[number] = there
                yield None

    def _joined(self, found: Done | GivenUp, waiting: tuple[Block, Path]) -> list[VariantScore]:
        block, file = waiting
        if isinstance(found, Done):
            for kind, text in found.record.cautions.items():
                self._tell(Caution(text, kind=kind))
            await_file(file)
            scores = self._read(block, file)
            if scores is not None:
                return scores
            raise OutputError(f"{file}, which a worker wrote, cannot be read; the same command goes on")
        return [_given_up(one, found.error) for one in block]

    def _read(self, block: Block, file: Path) -> list[VariantScore] | None:
        """Return the scores in a block's file; None where it is damaged."""
        try:
            scores = [row.score(self._scorer.columns) for row in read_effects(file)]
        except (OutputError, ValueError):
            return None
        variants = [one.allele.variant if isinstance(one, Checked) else one.variant for one in block]
        if [score.variant for score in scores] != variants:
            return None
        return [_with_detail(score, one) for score, one in zip(scores, block, strict=True)]

    def _digest(self, block: Block) -> str:
        digest = hashlib.sha256(json.dumps(self._settings, sort_keys=True).encode())
        for one in map(_allele, block):
            known = repr(one) if isinstance(one, VariantScore) else f"{one.record} {one.variant!r}"
            digest.update(f"{known}\n".encode())
        return digest.hexdigest()


def posted(
    cluster: Cluster,
    models: Iterable[NamedModel],
    genome: Genome,
    options: ScoringOptions,
    threads: int,
    tell: Callable[[Event], None],
) -> Dispatch:
    """Return the dispatch of a run over variants, to be entered; raises SequenceError where a file cannot be read."""
    parcel = VariantParcel(tuple(map(SentModel.of, models)), genome, options, threads, found_by_each(genome, options))
    return Dispatch(cluster, parcel, environment(cluster, threads), tell, share=_share)


def _share(order: BlockOrder, record: BlockRecord) -> float:
    """Return how much of the largest block a block was."""
    return record.scored / BLOCK


def _allele(one: Checked | VariantScore) -> Allele:
    allele: Numbered | VariantScore = one.allele if isinstance(one, Checked) else one
    return allele


def _given_up(one: Checked | VariantScore, error: str) -> VariantScore:
    """Return an allele of a block that was given up: set aside, unless it has a score or a reason already."""
    if isinstance(one, VariantScore):
        return one
    reason = one.placed if isinstance(one.placed, SetAside) else SetAside(VariantReason.NOT_COMPUTED, error)
    return VariantScore(one.allele.variant, one.form, {}, reason)


def _with_detail(score: VariantScore, one: Checked | VariantScore) -> VariantScore:
    """Return a score with what is known here of why it was set aside, which its row does not say."""
    if score.set_aside is not None and isinstance(one, Checked) and isinstance(one.placed, SetAside):
        return replace(score, set_aside=one.placed)
    return score
