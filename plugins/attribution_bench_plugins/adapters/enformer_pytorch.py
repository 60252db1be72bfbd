"""enformer-pytorch: Enformer in PyTorch, with the published weights or others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.weight_files import load_weights

HEADS = {"human": 5313, "mouse": 1643}
"""Organism -> tracks."""
LENGTH, BIN, BINS = 196_608, 128, 896
GAMMAS = ("tensorflow", "pytorch")


class EnformerPyTorch(Adapter):
    """The architecture of the package ``enformer-pytorch`` with a file of weights."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return [
            ModelCard(
                name="enformer-pytorch",
                summary="tracks of CAGE, DNase, histone marks and transcription factors in bins of 128 letters",
                package="enformer-pytorch",
                length=LENGTH,
                fixed=False,
                outputs="(bins, 5313) for human, (bins, 1643) for mouse, (bins) of one track; usually 896 bins",
                licence="code MIT; published weights CC BY 4.0",
                citation="Avsec et al., Nature Methods 18, 1196 (2021)",
                weights=False,
                options={
                    "organism": "human (default) or mouse",
                    "track": "one track instead of all, from 0",
                    "bins": "bins in the middle that are predicted; by default 896, or what a shorter sequence has",
                    "gammas": "tensorflow (default at 196,608 letters), as the published weights need, or pytorch",
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
        gammas: str | None = None,
    ) -> Any:
        """Return a torch.nn.Module, (N, length, 4) to (N, bins, tracks), or (N, bins) of one track.

        Raises
        ------
        ModelError
            An option has no meaning, the length is no multiple of 128, or the weights do not fit.
        """
        chosen = gammas or ("tensorflow" if length == LENGTH else "pytorch")
        if organism not in HEADS:
            raise ModelError(f"{name} has the organisms {' and '.join(HEADS)}, not {organism}")
        if track is not None and track not in range(HEADS[organism]):
            raise ModelError(f"{name} has the tracks 0 to {HEADS[organism] - 1} for {organism}, not {track}")
        if chosen not in GAMMAS:
            raise ModelError(f"{name} takes gammas of {' or '.join(GAMMAS)}, not {chosen}")
        if length % BIN or (chosen == "tensorflow" and length != LENGTH):
            raise ModelError(
                f"{name} takes multiples of {BIN} letters, and with gammas=tensorflow {LENGTH:,} alone, not {length:,}"
            )
        from enformer_pytorch import Enformer

        from attribution_bench_plugins.adapters.torch_modules import OneOutput

        network = Enformer.from_hparams(
            output_heads=HEADS,
            target_length=min(BINS, length // BIN) if bins is None else bins,
            use_tf_gamma=chosen == "tensorflow",
        )
        load_weights(network, weights)
        return OneOutput(network, organism, track)

    def sequence_options(self, name: str, **options: Any) -> Mapping[str, Any]:
        """Return that letters come before channels."""
        return {"layout": "NLA"}
