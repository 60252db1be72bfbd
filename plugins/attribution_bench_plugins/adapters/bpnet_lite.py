"""bpnet-lite: BPNet and ChromBPNet in PyTorch, with the package's own wrappers of profile and counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.weight_files import give_weights, read_weights

if TYPE_CHECKING:
    import torch

    from attribution_bench.variants import ProfileEffects

PACKAGE = "bpnet-lite"
OUTPUTS = ("counts", "profile", "both")
PARTS = ("bias", "accessibility")
COMMON: dict[str, Any] = {
    "package": PACKAGE,
    "length": 2114,
    "fixed": False,
    "weights": False,
    "licence": "MIT",
    "outputs": "(1) log counts, or what output= says",
}
OPTIONS = {
    "output": "counts (default); profile: the logits weighted by their softmax, added up; both: logits and counts",
    "trimming": "letters that the profile leaves out at each end; by default what the layers make necessary",
}


class BPNetLite(Adapter):
    """The architectures of the package ``bpnet-lite``; their sizes are those of the weights."""

    def cards(self) -> Sequence[ModelCard]:
        """Return the two cards."""
        return [
            ModelCard(
                name="bpnet-lite",
                summary="profile and counts of the reads of a ChIP-seq experiment; controls are 0 where none are given",
                citation="Avsec et al., Nature Genetics 53, 354 (2021)",
                options=OPTIONS,
                **COMMON,
            ),
            ModelCard(
                name="bpnet-lite-chrombpnet",
                summary="profile and counts of the reads of an ATAC-seq or DNase-seq experiment, bias included",
                citation="Pampari et al., bioRxiv 2024.12.25.630221",
                options={**OPTIONS, "part": "accessibility or bias alone"},
                **COMMON,
            ),
        ]

    def open(
        self,
        name: str,
        *,
        weights: Path,
        length: int | None = None,
        output: str = "counts",
        trimming: int | None = None,
        part: str | None = None,
    ) -> Any:
        """Return a torch.nn.Module, (N, 4, length) to what `output` says.

        Raises
        ------
        ModelError
            The options name no output or part, or the weights are those of no such network.
        """
        if output not in OUTPUTS:
            raise ModelError(f"{name} has the outputs {', '.join(OUTPUTS)}, not {output}")
        if part not in (None, *PARTS):
            raise ModelError(f"{name} has the parts {' and '.join(PARTS)}, not {part}")
        from bpnetlite.bpnet import ControlWrapper, CountWrapper, ProfileWrapper

        tensors = read_weights(weights)
        if name == "bpnet-lite":
            network = _bpnet(tensors, weights, trimming)
        else:
            network = _chrombpnet(tensors, weights, trimming)
            network = network if part is None else getattr(network, part)
        network = ControlWrapper(network)
        return {"counts": CountWrapper, "profile": ProfileWrapper, "both": lambda whole: whole}[output](network)

    def sequence_options(self, name: str, *, output: str = "counts", **options: Any) -> Mapping[str, Any]:
        """Return the names of the outputs, where there are two."""
        return {"output_names": ("profile", "counts")} if output == "both" else {}

    def effects(self, name: str, *, output: str = "counts", **options: Any) -> "ProfileEffects | None":
        """Return distances of profiles and fold changes of counts, where both are there."""
        from attribution_bench.variants import ProfileEffects

        return ProfileEffects("profile", "counts") if output == "both" else None


def _bpnet(tensors: "dict[str, torch.Tensor]", path: Path, trimming: int | None) -> "torch.nn.Module":
    """Return the BPNet whose sizes are those of its weights."""
    from bpnetlite import BPNet

    needed = ("iconv.weight", "fconv.weight", "linear.weight")
    missing = [name for name in needed if name not in tensors or tensors[name].ndim < 2]
    if missing:
        raise ModelError(f"{path} holds no weights of a BPNet of {PACKAGE}: it lacks {missing[0]}")
    first, profile = tensors["iconv.weight"], tensors["fconv.weight"]
    network: torch.nn.Module = BPNet(
        n_filters=first.shape[0],
        n_layers=sum(name.startswith("rconvs.") and name.endswith(".weight") for name in tensors),
        n_outputs=profile.shape[0],
        n_control_tracks=profile.shape[1] - first.shape[0],
        profile_output_bias="fconv.bias" in tensors,
        count_output_bias="linear.bias" in tensors,
        trimming=trimming,
        verbose=False,
    )
    give_weights(network, tensors, path)
    return network


def _chrombpnet(tensors: "dict[str, torch.Tensor]", path: Path, trimming: int | None) -> "torch.nn.Module":
    """Return the ChromBPNet whose two parts are those of the weights."""
    from bpnetlite import ChromBPNet

    parts = {
        part: {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
        for part in PARTS
    }
    bias, accessibility = (_bpnet(parts[part], path, trimming) for part in PARTS)
    network: torch.nn.Module = ChromBPNet(bias, accessibility)
    return network
