"""Traced forward passes of TensorFlow models: one TensorFlow graph for any number of rows."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from attribution_bench.models.keras_settings import Held
from attribution_bench.models.sequence_model import Tensor

Forward: TypeAlias = Callable[[Tensor, tuple[Tensor, ...]], dict[str, Tensor]]
"""(x, extras) to output -> (rows, *output)."""
Key: TypeAlias = tuple[tuple[str, tuple[int | None, ...]], ...]
"""Element type and shape of one row of each input."""

MOST_GRAPHS = 8
"""Graphs kept at a time: one for each length that a model is asked at, the least recently made given up first."""
EAGER_ROWS = 2
"""Rows of the largest batch that is run eagerly: a graph would hardly gain anything."""
COMPARED_ROWS = 1
"""Rows of larger batches that are also run eagerly, to be compared: eagerly a row takes several times as long."""
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
"""Largest difference of a graph from the eager pass, relative to the output's scale: well above the rounding of another
order of summation. Half precisions have 2e-2."""


class TracedForward:
    """A forward pass that TensorFlow traces into a graph, and that runs eagerly where a graph would not do the same.

    A graph skips what Python does between a model's operations: a recurrent layer of 100 steps takes a hundredth of its
    eager time, and intermediate results are freed sooner. What Python decides while it is traced stays decided, so that
    `renew` has the next batch compared with the eager pass, for each use of a model that may have been changed.

    Parameters
    ----------
    forward
        The eager pass: (N, A, L) and further inputs to output -> (N, *output).
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._graphs: dict[Key, Forward] = {}
        self._eager: set[Key] = set()
        self._compared: set[Key] = set()
        self._held: Held | None = None
        """What the model held when the graphs were compared."""

    def renew(self, held: Held) -> bool:
        """Have every graph made anew for a model that was changed, and compared with the eager pass where none shows.

        `held` is what it holds now. Where that tells all, graphs of a model that is as it was are compared no more.
        Returns whether a change was seen.
        """
        is_changed = self._held is not None and held.settings != self._held.settings
        if is_changed:
            # A change need not show in the rows that are compared.
            self._graphs.clear()
            self._eager.clear()
            self._compared.clear()
        elif not held.is_complete:
            self._compared.clear()
        self._held = held
        return is_changed

    def settle(self, held: Held) -> None:
        """Remember what a model holds at the end of a use: what its own calls have changed is no change."""
        self._held = held

    @property
    def follows_own_code(self) -> bool:
        """Whether the model that was looked at last has code of others, whose calls may change what it holds."""
        return self._held is not None and not self._held.is_complete

    def __call__(self, x: Tensor, extras: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Run the model on rows of any number; raises what the eager pass raises."""
        key = key_of(x, extras)
        if int(x.shape[0]) <= EAGER_ROWS or key in self._eager:
            return self._forward(x, extras)
        if key in self._compared:
            return self._graphs[key](x, extras)
        # A graph that was made before may be of a model that has changed since.
        for graph in (self._graphs.pop(key, None), _traced(self._forward, x, extras)):
            found = None if graph is None else self._compared_run(graph, x, extras)
            if graph is not None and found is not None:
                self._keep(key, graph)
                return found
        self._eager.add(key)
        return self._forward(x, extras)

    def _keep(self, key: Key, graph: Forward) -> None:
        self._graphs[key] = graph
        self._compared.add(key)
        if len(self._graphs) > MOST_GRAPHS:
            oldest = next(iter(self._graphs))
            del self._graphs[oldest]
            self._compared.discard(oldest)

    def _compared_run(self, graph: Forward, x: Tensor, extras: tuple[Tensor, ...]) -> dict[str, Tensor] | None:
        """Run a graph; None where it fails, or differs from the eager pass on the first rows."""
        few = tuple(tensor[:COMPARED_ROWS] for tensor in extras)
        expected = self._forward(x[:COMPARED_ROWS], few)
        try:
            found = graph(x, extras)
        except tf.errors.ResourceExhaustedError:
            raise
        except Exception:  # whatever tracing cannot follow, the eager pass may
            return None
        return found if _agree(found, expected) else None


def key_of(x: Tensor, extras: tuple[Tensor, ...]) -> Key:
    """Return the element types and shapes of one row of inputs."""
    return tuple((tensor.dtype.name, tuple(tensor.shape[1:])) for tensor in (x, *extras))


def _traced(forward: Forward, x: Tensor, extras: tuple[Tensor, ...]) -> Forward:
    """Return a pass that is traced, for any number of rows, when it is first called."""
    first, *further = (tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in (x, *extras))
    # Without AutoGraph: a condition on numbers cannot be traced then, and such a model runs eagerly.
    traced: Forward = tf.function(forward, input_signature=(first, tuple(further)), autograph=False)
    return traced


def _agree(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Whether the first rows of all outputs are what is expected, but for rounding."""
    if list(found) != list(expected):
        return False
    for name, tensor in expected.items():
        a, b = (np.asarray(part, np.float64) for part in (found[name][: tensor.shape[0]], tensor))
        allowed = TOLERANCES.get(tensor.dtype.name, 2e-2)
        scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=allowed * scale, equal_nan=True):
            return False
    return True
