"""MMSplice's five modules, and MTSplice's effects on 56 tissues, from the files of the package ``mmsplice``."""

from collections.abc import Mapping, Sequence
from typing import Any

from attribution_bench.errors import ModelError
from attribution_bench.models.adapters import Adapter, ModelCard
from attribution_bench.models.keras_start import import_keras
from attribution_bench.models.model_files import read_keras
from attribution_bench_plugins.adapters.keras_ensembles import averaged
from attribution_bench_plugins.adapters.package_files import package_file

PACKAGE = "mmsplice"
MODULES = {
    "acceptor-intron": ("Intron3.h5", None, "an intron before its acceptor"),
    "acceptor": ("Acceptor.h5", 53, "an acceptor site, 50 letters of intron and 3 of exon"),
    "exon": ("Exon.h5", None, "an exon"),
    "donor": ("Donor.h5", 18, "a donor site, 5 letters of exon and 13 of intron"),
    "donor-intron": ("Intron5.h5", None, "an intron after its donor"),
}
"""Module -> its file, the letters that it takes, and what it scores."""
LENGTHS = {"acceptor-intron": 100, "exon": 200, "donor-intron": 100}
"""Letters of the modules that take any number, for whoever says nothing."""
ENSEMBLES = {"mtsplice": ("mtsplice_deep", 4), "mtsplice-shallow": ("mtsplice", 8)}
"""Model -> the beginning of its files' names, and how many there are."""
TISSUES = 56
SIDES = ("acceptor", "donor")
OPTION_SIDE = "which side is scored, acceptor (default) or donor; the other one is the further input"
COMMON: dict[str, Any] = {"package": PACKAGE, "licence": "MIT"}


class MMSplice(Adapter):
    """The models in the files of the package ``mmsplice``, which is not imported: its layers are built anew."""

    def cards(self) -> Sequence[ModelCard]:
        """Return a card for each module, and for the means of MTSplice's models."""
        modules = [
            ModelCard(
                name=f"mmsplice-{module}",
                summary=f"score of {scored}; part of what MMSplice says of the inclusion of an exon",
                length=length or LENGTHS[module],
                fixed=length is not None,
                outputs="(1)",
                citation="Cheng et al., Genome Biology 20, 48 (2019)",
                **COMMON,
            )
            for module, (_, length, scored) in MODULES.items()
        ]
        ensembles = [
            ModelCard(
                name=name,
                summary=f"effect of an exon's surroundings on its inclusion in {TISSUES} tissues; mean of {count} "
                "models. Its second input is the other side of the exon, one-hot",
                length=400,
                outputs=f"({TISSUES}) tissues; 37 is liver",
                citation="Cheng et al., Genome Biology 22, 94 (2021)",
                options={"member": f"one of the models instead of their mean: 0 to {count - 1}", "side": OPTION_SIDE},
                **COMMON,
            )
            for name, (_, count) in ENSEMBLES.items()
        ]
        return [*modules, *ensembles]

    def open(
        self,
        name: str,
        *,
        length: int | None = None,
        member: int | None = None,
        side: str = "acceptor",
    ) -> Any:
        """Return a keras.Model: (N, length, 4) to (N, 1), or of MTSplice twice (N, 400, 4) to (N, 56).

        Raises
        ------
        ModelError
            There is no such member or side, or a file cannot be read.
        """
        if name not in ENSEMBLES:
            return _module(MODULES[name.removeprefix("mmsplice-")][0])
        beginning, count = ENSEMBLES[name]
        if side not in SIDES:
            raise ModelError(f"{name} has the sides {' and '.join(SIDES)}, not {side}")
        if member is not None and member not in range(count):
            raise ModelError(f"{name} has the members 0 to {count - 1}, not {member}")
        if member is not None:
            return _module(f"{beginning}{member}.h5")
        members = [_module(f"{beginning}{number}.h5") for number in range(count)]
        return averaged(members, [(input_name, (400, 4)) for input_name in ("acceptor", "donor")], name)

    def sequence_options(self, name: str, *, side: str = "acceptor", **options: Any) -> Mapping[str, Any]:
        """Return which of MTSplice's inputs the sequence is."""
        return {"sequence_input": SIDES.index(side)} if name in ENSEMBLES else {}


def _module(file: str) -> Any:
    """Return a model of the package, its own layers as operations of Keras."""
    keras = import_keras()
    model = read_keras(package_file(PACKAGE, f"mmsplice/models/{file}"), _layers)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return layer.expressed(*args) if hasattr(layer, "expressed") else layer(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _layers(keras: Any) -> Mapping[str, type]:
    """Return the layers that the files name beside those of Keras."""
    ops = keras.ops

    class ConvDNA:
        """A convolution, with a note of the length that it was made for."""

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            return keras.layers.Conv1D.from_config({key: config[key] for key in config if key != "seq_length"})

    class MeanOfKnown(keras.layers.Layer):  # type: ignore[misc]
        """The mean of features over the letters that are not all zeros."""

        def call(self, inputs: Any) -> Any:
            return self.expressed(inputs)

        def expressed(self, inputs: Any) -> Any:
            features, sequence = inputs
            known = ops.max(sequence, axis=2, keepdims=True)
            count = ops.maximum(ops.sum(known, axis=1), keras.config.epsilon())
            return ops.sum(features * known, axis=1) / count

    class SplineWeights(keras.layers.Layer):  # type: ignore[misc]
        """Features times one more than a spline of their positions."""

        def __init__(self, n_bases: int = 10, spline_degree: int = 3, **options: Any) -> None:
            for name in ("share_splines", "use_bias", "l2", "l2_smooth", "bias_initializer"):
                if options.pop(name, None) and name in ("share_splines", "use_bias"):
                    raise ValueError(f"splines with {name} are not known")
            super().__init__(**options)
            self.n_bases, self.degree = n_bases, spline_degree

        def build(self, shape: Any) -> None:
            self.length = int(shape[1])
            self.kernel = self.add_weight(shape=(self.n_bases, int(shape[2])), name="kernel")

        def call(self, features: Any) -> Any:
            return features * (1 + ops.matmul(_spline_bases(self.length, self.n_bases, self.degree), self.kernel))

        def expressed(self, features: Any) -> Any:
            bases = _spline_bases(self.length, self.n_bases, self.degree)
            return features * (1 + bases @ ops.convert_to_numpy(self.kernel))[None]

    return {"ConvDNA": ConvDNA, "GlobalAveragePooling1D_Mask0": MeanOfKnown, "SplineWeight1D": SplineWeights}


def _spline_bases(length: int, count: int, degree: int) -> Any:
    """Return the values of B-splines at each position, (length, count); their knots are those of R's package mgcv."""
    import numpy as np
    from scipy.interpolate import BSpline

    margin = (length - 1) * 0.001
    first, last = -margin, length - 1 + margin
    step = (last - first) / (count - degree)
    knots = np.linspace(first - step * degree, last + step * degree, count + degree + 1).astype(np.float32)
    return BSpline(knots, np.eye(count), degree)(np.arange(length)).astype(np.float32)
