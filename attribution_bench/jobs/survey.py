"""Survey of a source before a job starts: what each shard holds, and what will be set aside."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attribution_bench.errors import SequenceError
from attribution_bench.jobs.shards import Shard
from attribution_bench.sequences.alphabet import ALPHABETS, Alphabet
from attribution_bench.sequences.source import Reason, SequenceSource, SourceRecord
from attribution_bench.sequences.text_files import readable


@dataclass(frozen=True)
class Survey:
    """What a source holds; nothing of it is kept but digests and counts."""

    digests: tuple[str, ...]
    """SHA-256 of each shard's records."""
    set_aside: Counter[str]
    """Reason -> records that have no sequence to score."""
    examples: Mapping[str, str]
    """Reason -> what was wrong with the first such record in particular, where that is known."""
    duplicates: int
    """Sequences that are equal to an earlier one; they are scored all the same."""
    blank: frozenset[int]
    """Indices of the shards without a sequence to score."""


def survey(source: SequenceSource, shards: Sequence[Shard]) -> Survey:
    """Read a source once, shard after shard.

    Raises
    ------
    SequenceError
        A file cannot be read, or no record has a sequence that can be scored; the message counts the reasons.
    """
    digests, blank = [], set[int]()
    set_aside: Counter[str] = Counter()
    examples: dict[str, str] = {}
    # Eight bytes a sequence tell them apart, so that memory does not grow by the sequences themselves.
    keys = np.zeros(len(source), dtype=np.uint64)
    scorable = 0
    for shard in shards:
        records = read_shard(source, shard)
        digests.append(digest_of(records))
        if all(record.sequence is None for record in records):
            blank.add(shard.index)
        for record in records:
            if record.sequence is None:
                set_aside[str(record.reason)] += 1
                if record.detail:
                    examples.setdefault(str(record.reason), record.detail)
            else:
                key = hashlib.blake2b(record.sequence.encode(), digest_size=8).digest()
                keys[scorable] = int.from_bytes(key, "little")
                scorable += 1
    if not scorable:
        reasons = "; ".join(
            f"{'1 sequence' if count == 1 else f'{count} sequences'}: {reason}" + _example(reason, examples)
            for reason, count in set_aside.most_common()
        )
        if Reason.OTHER_LETTERS in set_aside:
            reasons += f"; --alphabet takes {', '.join(ALPHABETS)}"
        raise SequenceError(f"{source.label}: no sequence can be scored ({reasons or 'there is none'})")
    duplicates = scorable - len(np.unique(keys[:scorable]))
    return Survey(tuple(digests), set_aside, examples, duplicates, frozenset(blank))


def read_shard(source: SequenceSource, shard: Shard) -> list[SourceRecord]:
    """Read a shard's records; one of unknown letters only is set aside, too."""
    records = source.read(shard.start, shard.stop)
    if len(records) != len(shard):
        raise SequenceError(f"{source.label} gave {len(records)} of the records {shard.start} to {shard.stop}")
    return [_checked(record, source.alphabet) for record in records]


def digest_of(records: Iterable[SourceRecord]) -> str:
    """Return the SHA-256 of all that records hold."""
    digest = hashlib.sha256()
    for record in records:
        place = f"{record.chromosome}:{record.start}-{record.end}({record.strand})"
        parts = (record.name, place, record.sequence or "", str(record.reason or ""))
        digest.update(("\t".join(parts) + "\n").encode())
    return digest.hexdigest()


def _checked(record: SourceRecord, alphabet: Alphabet) -> SourceRecord:
    # Stores and exports hold Unicode; bytes of a file that are none are replaced.
    record = replace(
        record, name=readable(record.name), chromosome=readable(record.chromosome), detail=readable(record.detail)
    )
    if record.sequence is not None and not record.sequence.strip(alphabet.unknown):
        return replace(record, sequence=None, reason=Reason.ONLY_UNKNOWN)
    return record


def _example(reason: str, examples: Mapping[str, str]) -> str:
    return f", the first {examples[reason]}" if reason in examples else ""
