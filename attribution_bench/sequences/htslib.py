"""htslib through pysam: imported when a genome or a VCF is opened, and kept from writing to the terminal."""

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec

from attribution_bench.errors import MissingDependencyError


def check_installed(purpose: str) -> None:
    """Check that pysam can be imported for a purpose, named at the start of the message.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    if find_spec("pysam") is None:
        raise MissingDependencyError.of("pysam", "genomics", purpose)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep htslib from writing to stderr: what goes wrong comes as an exception, which the caller words."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)
