"""BPNet (Avsec et al., Nature Genetics 2021), as the fastISM paper times it: one profile, one count, no bias track."""

from typing import TYPE_CHECKING, Any

from attribution_bench.models.architecture import LETTERS, LONGEST, build_model, check_length
from attribution_bench.models.bpnet_dimensions import BPNET

if TYPE_CHECKING:
    from attribution_bench.models.bpnet_torch import BPNet


def build(length: int = 1000, *, framework: str = "torch", seed: int = 0) -> Any:
    """Return BPNet with random weights: a torch.nn.Module (N, 4, L) or a Keras model (N, L, 4).

    Its outputs are ``profile`` (N, L), logits, and ``count`` (N, 1): a dict in PyTorch, in Keras a list in that order.
    Parameters and errors are those of Basset's `build`; the number of outputs is fixed, a length may be 1 to
    1,000,000, and the PyTorch module takes any.
    """
    check_length("BPNet", length, 1, LONGEST)
    builders = {"torch": _torch, "keras": lambda: _keras(length)}
    # Every residual block adds to the scale of the last, so that kernels are smaller here than in a plain chain.
    return build_model(framework, builders, seed=seed, kernel_variance=0.5)


def _torch() -> "BPNet":
    from attribution_bench.models.bpnet_torch import BPNet

    return BPNet()


def _keras(length: int) -> Any:
    import keras
    from keras import layers

    inputs = keras.Input((length, LETTERS), name="sequence")
    x = layers.Conv1D(BPNET.channels, BPNET.stem_width, padding="same", kernel_initializer="zeros", name="stem")(inputs)
    x = layers.ReLU(name="stem_relu")(x)
    for dilation in BPNET.dilations:
        y = layers.Conv1D(
            BPNET.channels,
            BPNET.dilated_width,
            padding="same",
            dilation_rate=dilation,
            kernel_initializer="zeros",
            name=f"dilated_{dilation}",
        )(x)
        y = layers.ReLU(name=f"dilated_relu_{dilation}")(y)
        x = layers.Add(name=f"residual_{dilation}")([x, y])
    profile = layers.Conv1DTranspose(
        1, BPNET.profile_width, padding="same", kernel_initializer="zeros", name="profile_transposed"
    )(x)
    profile = layers.Reshape((length,), name="profile")(profile)
    count = layers.GlobalAveragePooling1D(name="mean_over_positions")(x)
    count = layers.Dense(1, kernel_initializer="zeros", name="count")(count)
    return keras.Model(inputs, [profile, count], name="bpnet")
