"""borzoi-pytorch: Borzoi in PyTorch, with the published weights or others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.weight_files import give_weights, read_weights

TRACKS = {"human": 7611, "mouse": 2608}
LENGTH, BIN, BINS = 524_288, 32, 6144
LEAST = 128
"""Letters of which every pool and every step upwards makes whole positions."""


class BorzoiPyTorch(Adapter):
    """The architecture of the package ``borzoi-pytorch`` with a file of weights."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return [
            ModelCard(
                name="borzoi-pytorch",
                summary="tracks of RNA-seq, CAGE, ATAC, DNase and ChIP in bins of 32 letters",
                package="borzoi-pytorch",
                length=LENGTH,
                fixed=False,
                outputs="(7611, bins) for human, (2608, bins) for mouse, (bins) of one track; usually 6144 bins",
                licence="Apache 2.0",
                citation="Linder et al., Nature Genetics 57, 949 (2025)",
                weights=False,
                options={
                    "organism": "human (default) or mouse, where the weights have it",
                    "track": "one track instead of all, from 0",
                    "bins": "bins in the middle that are predicted; by default 6144, or what a shorter sequence has",
                },
            )
        ]

    def open(
        self,
        name: str,
        *,
        weights: Path,
        length: int = LENGTH,
        organism: str = "human",
        track: int | None = None,
        bins: int | None = None,
    ) -> Any:
        """Return a torch.nn.Module, (N, 4, length) to (N, tracks, bins), or (N, bins) of one track.

        Raises
        ------
        ModelError
            An option has no meaning, the length is no multiple of 128, or the weights do not fit.
        """
        if organism not in TRACKS:
            raise ModelError(f"{name} has the organisms {' and '.join(TRACKS)}, not {organism}")
        if track is not None and track not in range(TRACKS[organism]):
            raise ModelError(f"{name} has the tracks 0 to {TRACKS[organism] - 1} for {organism}, not {track}")
        if length % LEAST:
            raise ModelError(f"{name} takes multiples of {LEAST} letters, not {length:,}")
        from borzoi_pytorch import Borzoi
        from borzoi_pytorch.config_borzoi import BorzoiConfig

        from attribution_bench_plugins.adapters.torch_modules import Tracks

        tensors = read_weights(weights)
        has_mouse = "mouse_head.weight" in tensors
        if organism == "mouse" and not has_mouse:
            raise ModelError(f"{weights} has no weights for mouse; leave organism=mouse out, or give others")
        network = Borzoi(
            BorzoiConfig(enable_mouse_head=has_mouse, bins_to_return=min(BINS, length // BIN) if bins is None else bins)
        )
        give_weights(network, tensors, weights)
        return Tracks(network, organism == "human", track)
