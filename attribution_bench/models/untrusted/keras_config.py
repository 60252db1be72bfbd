"""Configurations of Keras models: every class and function that they name is compared with those that may be named.

Keras imports and calls what a configuration names; Keras 2, also what a single text names. So nothing passes that is
not in the lists of `keras_names`, or registered with Keras by the user's own code.
"""

from collections.abc import Container
from typing import Any

from attribution_bench.models.untrusted import keras_names as names
from attribution_bench.models.untrusted.grammar import parsed
from attribution_bench.models.untrusted.refused import Refused, shown

DEEPEST = 120
"""Levels of nested values: a dozen for each model within a model."""
LEFT_OUT = frozenset({"compile_config", "training_config", "optimizer_config"})
"""Fields about training, which do not reach Keras."""
NAMED = {
    "activation": names.ACTIVATIONS,
    "initializer": names.INITIALIZERS,
    "regularizer": names.REGULARIZERS,
    "constraint": names.CONSTRAINTS,
}
"""Texts that name functions or classes, by the end of their field's name."""
CLASSES = (
    names.MODELS | names.LAYERS | names.INITIALIZERS | names.REGULARIZERS | names.CONSTRAINTS | names.POLICIES
)  # fmt: skip
CONSTANT = "_CONSTANT_VALUE"
"""Stands in the place of a layer's name before an argument that no layer computes."""
OTHERWISE = "build the model in a function and name it as package.module:callable"
OF_KERAS_2 = "(with tf_keras in the place of keras if Keras 2 wrote it)"


def checked_config(text: bytes, registered: Container[str]) -> Any:
    """Return the configuration of a model as Keras may read it.

    Parameters
    ----------
    text
        The configuration as JSON.
    registered
        Names of classes and functions that the user's own code has registered with Keras.

    Raises
    ------
    Refused
        It names something that is not known to be harmless.
    """
    config = parsed(text)
    named = config.get("class_name") if isinstance(config, dict) else config
    own = config.get("registered_name") if isinstance(config, dict) else None
    known = any(isinstance(text, str) and text in registered for text in (named, own))
    if not known and not (isinstance(named, str) and named in names.MODELS):
        raise Refused(f"it is the configuration of {shown(named)}, which is no model; {OTHERWISE}")
    return _Checker(registered).value(config, "", DEEPEST)


class _Checker:
    """Copies a configuration, value by value."""

    def __init__(self, registered: Container[str]) -> None:
        self.registered = registered

    def value(self, value: Any, field: str, depth: int) -> Any:
        """Return the value of a field."""
        if depth == 0:
            raise Refused("its configuration is nested too deeply")
        if isinstance(value, dict):
            if "class_name" in value:
                self.named(value)
            self.calls(value)
            return {key: self.value(part, key, depth - 1) for key, part in value.items() if key not in LEFT_OUT}
        if isinstance(value, list):
            return [self.value(part, field, depth - 1) for part in value]
        if isinstance(value, str):
            self.text(value, field)
        return value

    def text(self, text: str, field: str) -> None:
        """Refuse a text that stands for a function or class, unless it is a known one."""
        for end, known in NAMED.items():
            if field.endswith(end) and text not in known and text not in self.registered:
                raise Refused(f"it names the {end} {shown(text)}, which is not known to be harmless; {OTHERWISE}")

    def named(self, config: dict[str, Any]) -> None:
        """Refuse a class or function that is not known."""
        name, module = config["class_name"], config.get("module")
        registered = config.get("registered_name")
        if isinstance(name, str) and name in names.VALUES:
            inner = config.get("config")
            dtype = inner.get("dtype", "float32") if isinstance(inner, dict) else "float32"
            if not isinstance(dtype, str) or not names.TYPES.fullmatch(dtype):
                raise Refused(f"it holds values of the type {shown(dtype)}, which are no numbers")
            return
        # Keras 2 writes the registered name in the place of the class.
        if any(isinstance(text, str) and text in self.registered for text in (registered, name)):
            return
        if name == "function":
            name = config.get("config")
            known = isinstance(name, str) and name in names.ACTIVATIONS
            known = known and (module == "builtins" or _of_keras(module))
            # Keras 3 writes names of functions in full: keras.activations.relu.
            known = known and registered in (None, name, "function")
            # A function that is registered is found by that name before any other.
            known = known or (isinstance(name, str) and name in self.registered)
        elif isinstance(module, str) and names.OPERATION_MODULES.fullmatch(module):
            known = isinstance(name, str) and name.isidentifier() and name not in names.OPERATIONS_REFUSED
            known = known and registered in (None, name)
        else:
            known = isinstance(name, str) and name in CLASSES | names.OF_TENSORFLOW and _of_keras(module)
            known = known and registered in (None, name)
        if not known:
            code = "a Lambda layer, that is, Python code that would run" if name in ("Lambda", "__lambda__") else ""
            if code:
                raise Refused(
                    f"it holds {code}; if you trust it, write a function in a file, say my_models.py, and name it as "
                    f"my_models:build {OF_KERAS_2}: def build(): import keras; "
                    "return keras.models.load_model(PATH, compile=False, safe_mode=False)"
                )
            if not _is_layer(config):
                raise Refused(
                    f"it holds {shown(f'{module}.{name}' if module else name)}, which is not known to be harmless; "
                    f"{OTHERWISE}"
                )
            raise Refused(_unknown_layer(name, config["config"]["name"]))

    def calls(self, config: dict[str, Any]) -> None:
        """Refuse calls of a layer that would be made while the model is read, or reach into TensorFlow."""
        nodes = config.get("inbound_nodes") or ()
        if not isinstance(nodes, list | tuple):
            raise Refused("its layers are connected in a way that this reader does not know")
        if config.get("class_name") in names.OF_TENSORFLOW:
            inner = config.get("config")
            function = inner.get("function") if isinstance(inner, dict) else None
            if not isinstance(function, str) or function not in names.FUNCTIONS:
                raise Refused(
                    f"it holds a layer that calls the TensorFlow function {shown(function)}, which is not known to be "
                    f"harmless; {OTHERWISE}"
                )
            arithmetic = function.startswith(("math.", "__operators__."))
        else:
            arithmetic = False
        # A call without a tensor of another layer would be made at once, whatever sizes its arguments state.
        for node in nodes:
            constant = isinstance(node, list) and bool(node) and node[0] == CONSTANT
            if (constant and not arithmetic) or (isinstance(node, dict) and not _has_tensor(node)):
                raise Refused(f"it holds a layer that is called on a constant; {OTHERWISE}")


def _is_layer(config: dict[str, Any]) -> bool:
    """Whether a class is that of a layer, which is the only kind of thing with a name of its own."""
    inner = config.get("config")
    return isinstance(config.get("class_name"), str) and isinstance(inner, dict) and isinstance(inner.get("name"), str)


def _unknown_layer(name: str, layer: str) -> str:
    """Say which class is missing, and how a model with layers of the user's own gets in."""
    return (
        f"its layer {shown(layer)} is a {shown(name)}, which Keras does not have: the code of that class is needed; "
        "put it into a file, say my_models.py, beside a function, and name that as my_models:build "
        f"{OF_KERAS_2}: "
        "def build(): import keras; "
        f"return keras.models.load_model(PATH, custom_objects={{{name!r}: {name}}}, compile=False)"
        if name.isidentifier()
        else f"its layer {shown(layer)} is a {shown(name)}, which Keras does not have; {OTHERWISE}"
    )


def _has_tensor(value: Any) -> bool:
    """Whether the arguments of a call in Keras 3 hold a tensor of another layer."""
    if isinstance(value, dict):
        return value.get("class_name") == "__keras_tensor__" or any(map(_has_tensor, value.values()))
    return isinstance(value, list) and any(map(_has_tensor, value))


def _of_keras(module: Any) -> bool:
    """Whether a module is one of Keras that holds layers and the like; none is fine, as Keras 2 writes none."""
    return module is None or (isinstance(module, str) and bool(names.MODULES.fullmatch(module)))
