"""A model of ChromBPNet's size (Pampari et al., bioRxiv 2024): BPNet with valid convolutions of 512 channels."""

from typing import TYPE_CHECKING, Any

from attribution_bench.models.architecture import LETTERS, LONGEST, build_model, check_length
from attribution_bench.models.bpnet_dimensions import CHROMBPNET

if TYPE_CHECKING:
    from attribution_bench.models.chrombpnet_torch import ChromBPNet

LENGTH = 2114
"""Letters of the published models, which leave a profile of 1000 positions."""


def build(length: int = LENGTH, *, framework: str = "torch", seed: int = 0) -> Any:
    """Return the model with random weights: a torch.nn.Module (N, 4, L) or a Keras model (N, L, 4).

    Its outputs are ``profile`` (N, L - 1114), logits, and ``count`` (N, 1): a dict in PyTorch, in Keras a list in that
    order. Parameters and errors are those of BPNet's `build`.
    """
    check_length("ChromBPNet", length, CHROMBPNET.trimmed + 1, LONGEST)
    builders = {"torch": _torch, "keras": lambda: _keras(length)}
    return build_model(framework, builders, seed=seed, kernel_variance=0.5)


def _torch() -> "ChromBPNet":
    from attribution_bench.models.chrombpnet_torch import ChromBPNet

    return ChromBPNet()


def _keras(length: int) -> Any:
    import keras
    from keras import layers

    inputs = keras.Input((length, LETTERS), name="sequence")
    x = layers.Conv1D(CHROMBPNET.channels, CHROMBPNET.stem_width, kernel_initializer="zeros", name="stem")(inputs)
    x = layers.ReLU(name="stem_relu")(x)
    for dilation in CHROMBPNET.dilations:
        y = layers.Conv1D(
            CHROMBPNET.channels,
            CHROMBPNET.dilated_width,
            dilation_rate=dilation,
            kernel_initializer="zeros",
            name=f"dilated_{dilation}",
        )(x)
        y = layers.ReLU(name=f"dilated_relu_{dilation}")(y)
        x = layers.Cropping1D(dilation * (CHROMBPNET.dilated_width // 2), name=f"crop_{dilation}")(x)
        x = layers.Add(name=f"residual_{dilation}")([x, y])
    profile = layers.Conv1D(1, CHROMBPNET.profile_width, kernel_initializer="zeros", name="profile_convolution")(x)
    profile = layers.Reshape((length - CHROMBPNET.trimmed,), name="profile")(profile)
    count = layers.GlobalAveragePooling1D(name="mean_over_positions")(x)
    count = layers.Dense(1, kernel_initializer="zeros", name="count")(count)
    return keras.Model(inputs, [profile, count], name="chrombpnet")
