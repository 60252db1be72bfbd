"""Summary of a run over variants: how many were scored, set aside and why, and how fast."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from attribution_bench.sequences.variants import VariantReason


@dataclass
class Summary:
    """What became of the alleles of one run."""

    scored: int = 0
    resumed: int = 0
    """Alleles that were found in the table of a run that was stopped, set aside or not."""
    kept: int = 0
    """Alleles that were found in a complete table, set aside or not."""
    set_aside: Counter[VariantReason] = field(default_factory=Counter)
    examples: dict[VariantReason, str] = field(default_factory=dict)
    """Reason -> where the first such allele of this run is and what was wrong with it, where that is known."""
    masked: int | None = None
    """Gains and losses that are 0 by the mask of exons' boundaries; None where there is no mask."""
    seconds: float = 0.0
    first: tuple[int, float] = (0, 0.0)
    """Alleles of this run and seconds until the end of the first block that a model was asked for, which starts it."""
    retries: int = 0
    """Tries of blocks that failed, where other processes score them."""
    cores: int | None = None
    """Threads of all processes that score; None where it is this one alone."""
    # Eight bytes an allele tell them apart, so that memory hardly grows with their number.
    _forms: array = field(default_factory=lambda: array("Q"), repr=False)  # type: ignore[type-arg]

    @property
    def total(self) -> int:
        """Alleles in the table."""
        return self.scored + self.set_aside.total()

    @property
    def new(self) -> int:
        """Alleles that this run did."""
        return self.total - self.resumed - self.kept

    @property
    def starting_included(self) -> bool:
        """Whether the start is in `seconds_per_100`: of a run of one block, and of several processes."""
        return self.cores is not None or self.new <= self.first[0]

    @property
    def seconds_per_100(self) -> float | None:
        """Seconds per 100 alleles of this run, after those of its start; None where it had none."""
        alleles, seconds = (0, 0.0) if self.starting_included else self.first
        return 100 * (self.seconds - seconds) / (self.new - alleles) if self.new else None

    @property
    def share_in_no_gene(self) -> float:
        """Share of the alleles that were looked for in genes, and lie in none; 0 where none was looked for."""
        outside = self.set_aside[VariantReason.NO_GENE]
        return outside / (outside + self.scored) if outside else 0.0

    @property
    def core_seconds_per_allele(self) -> float | None:
        """Seconds times threads per allele of this run; None where it had none, or this process scored."""
        return None if self.cores is None or not self.new else self.cores * self.seconds / self.new

    @property
    def duplicates(self) -> int:
        """Alleles whose normal form is that of one before; they have their rows like any other."""
        return len(self._forms) - len(np.unique(np.array(self._forms, np.uint64)))

    def count(self, reason: VariantReason | None, form: str | None) -> None:
        """Count an allele, by why it was set aside and its normal form; None where it has none."""
        if reason is None:
            self.scored += 1
        else:
            self.set_aside[reason] += 1
        if form is not None:
            self._forms.append(int.from_bytes(blake2b(form.encode(), digest_size=8).digest(), "little"))
