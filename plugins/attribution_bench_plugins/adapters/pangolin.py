"""Pangolin: use of each letter as a splice site in four tissues, averaged over its three trained models of each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.weight_files import give_weights, read_saved_tensors
from attribution_bench_plugins.adapters.package_files import package_file

if TYPE_CHECKING:
    import torch

    from attribution_bench.variants import SplicingEffects

PACKAGE = "pangolin"
CONTEXT = 10_000
"""Letters that no prediction is made for: half of them at each end."""
DISTANCE = 50
REPLICATES = range(1, 4)
TISSUES = {"heart": (0, 1), "liver": (2, 4), "brain": (4, 7), "testis": (6, 10)}
"""Tissue -> number of its models' files, and the channel that is the probability of a splice site in it."""


class Pangolin(Adapter):
    """The twelve models of the package ``pangolin``, which is installed from its repository."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return [
            ModelCard(
                name="pangolin",
                summary="probability of each letter to be a splice site in heart, liver, brain and testis",
                package=PACKAGE,
                source="git+https://github.com/tkzeng/Pangolin",
                length=CONTEXT + 2 * DISTANCE + 1,
                fixed=False,
                outputs=f"(tissues, letters - {CONTEXT:,}); of 10,101 letters 2,50 is the middle one in brain",
                licence="GPL-3.0",
                citation="Zeng and Li, Genome Biology 23, 103 (2022)",
                options={
                    "tissue": "one of heart, liver, brain and testis alone",
                    "replicate": "one of the three models of each tissue instead of their mean: 1 to 3",
                },
            )
        ]

    def open(
        self,
        name: str,
        *,
        length: int | None = None,
        tissue: str | None = None,
        replicate: int | None = None,
    ) -> Any:
        """Return a torch.nn.Module, (N, 4, length) to (N, tissues, length - 10,000).

        Raises
        ------
        ModelError
            There is no such tissue or replicate, the length leaves nothing to predict, or a file cannot be read.
        """
        if length is not None and length <= CONTEXT:
            raise ModelError(f"{name} takes more than {CONTEXT:,} letters, of which {CONTEXT:,} are context")
        if tissue is not None and tissue not in TISSUES:
            raise ModelError(f"{name} has the tissues {', '.join(TISSUES)}, not {tissue}")
        if replicate is not None and replicate not in REPLICATES:
            raise ModelError(f"{name} has the replicates 1 to {REPLICATES[-1]}, not {replicate}")
        from attribution_bench_plugins.adapters.torch_modules import MeanByTissue

        chosen = TISSUES if tissue is None else {tissue: TISSUES[tissue]}
        replicates = REPLICATES if replicate is None else (replicate,)
        return MeanByTissue(
            [[_model(number, kind) for number in replicates] for kind, _ in chosen.values()],
            [channel for _, channel in chosen.values()],
        )

    def effects(self, name: str, *, tissue: str | None = None, **options: Any) -> "SplicingEffects":
        """Return gains and losses of each tissue within 50 letters, of which Pangolin's own are the largest.

        Pangolin scores the strand of the gene; the package has no genes.
        """
        from attribution_bench.variants import SplicingEffects

        tissues = TISSUES if tissue is None else [tissue]
        return SplicingEffects({each: index for index, each in enumerate(tissues)}, distance=DISTANCE)


def _model(replicate: int, kind: int) -> "torch.nn.Module":
    path = package_file(PACKAGE, f"pangolin/models/final.{replicate}.{kind}.3.v2")
    from pangolin.model import AR, L, W
    from pangolin.model import Pangolin as Network

    model: torch.nn.Module = Network(L, W, AR)
    give_weights(model, read_saved_tensors(path), path)
    return model
