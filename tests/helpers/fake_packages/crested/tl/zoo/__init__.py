"""Stands for CREsted's zoo: importing it registers what its models' files name."""

import keras


@keras.saving.register_keras_serializable(package="crested", name="gelu_enf")
def gelu_enf(x: object) -> object:
    return keras.activations.sigmoid(1.702 * x) * x
