"""OpenSpliceAI: SpliceAI's architecture in PyTorch, with weights for several species."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.weight_files import load_weights
from attribution_bench_plugins.adapters.splice_scores import CONTEXT, DISTANCE, OPTIONS, splice_scores, window_length

if TYPE_CHECKING:
    from attribution_bench.sequences import Genes, Genome
    from attribution_bench.variants import SplicingEffects

PACKAGE = "openspliceai"
CHANNELS = 32
UNITS = ((11, 1), (11, 4), (21, 10), (41, 25))
"""Kernel and dilation of every four residual units."""
CONTEXTS = {80: 1, 400: 2, 2000: 3, 10_000: 4}
"""Letters of context -> groups of four residual units that see as many."""


class OpenSpliceAI(Adapter):
    """The architecture of the package ``openspliceai`` with a file of weights, which holds a state_dict."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return [
            ModelCard(
                name="openspliceai",
                summary="probability of each letter to be a splice acceptor or donor",
                package=PACKAGE,
                length=window_length(DISTANCE),
                fixed=False,
                outputs="(3, letters - context): neither, acceptor, donor; of 101 letters more than the context, 1,50 "
                "is the middle one as acceptor, 2,50 as donor",
                licence="GPL-3.0",
                citation="Chao et al., eLife 14, RP107454 (2025)",
                weights=False,
                options={
                    "context": "letters that the weights were trained for: 80, 400, 2000 or 10000 (default); by itself "
                    "a window has as many, and 101 more",
                    **OPTIONS,
                    "genes": "of variants: grch37 or grch38, whose genes the package has, a file of the same form, or "
                    "none for the strand +; by default those of the package whose splice sites the genome has",
                },
            )
        ]

    def open(
        self, name: str, *, weights: Path, length: int | None = None, context: int = CONTEXT, **of_variants: Any
    ) -> Any:
        """Return a torch.nn.Module, (N, 4, length) to (N, 3, length - context).

        Raises
        ------
        ModelError
            The context is none of the four, the length leaves nothing to predict, or the weights do not fit.
        """
        if context not in CONTEXTS:
            raise ModelError(f"{name} has contexts of {', '.join(map(str, CONTEXTS))} letters, not {context}")
        if length is not None and length <= context:
            raise ModelError(f"{name} takes more than {context:,} letters, which are context")
        import numpy as np
        from openspliceai.train_base.openspliceai import SpliceAI

        units = np.repeat(np.array(UNITS[: CONTEXTS[context]]), 4, axis=0)
        model = SpliceAI(CHANNELS, units[:, 0], units[:, 1])
        load_weights(model, weights)
        return model

    def effects(self, name: str, *, distance: int = DISTANCE, masked: int = 0, **options: Any) -> "SplicingEffects":
        """Return SpliceAI's scores: gain and loss of acceptor and donor within a distance."""
        return splice_scores(name, distance, masked)

    def default_length(self, name: str, *, distance: int = DISTANCE, context: int = CONTEXT, **options: Any) -> int:
        """Return the letters that the distance needs, with the context; that of the largest one for what is none."""
        return window_length(distance, context if context in CONTEXTS else CONTEXT)

    def genes(self, name: str, genome: "Genome", *, genes: str | None = None, **options: Any) -> "Genes | None":
        """Return the package's genes for a genome, or those of a file; see `package_genes`."""
        from attribution_bench_plugins.adapters.package_genes import package_genes

        return package_genes(name, PACKAGE, "openspliceai/variant/annotations", genome, genes)
