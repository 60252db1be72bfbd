"""`attribution-bench benchmark`: the runner on any model."""


def benchmark() -> None:
    """Measure methods on a model."""
