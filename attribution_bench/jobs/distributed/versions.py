"""Versions that every process of a job has to have: of Python, of what computes, and of what carries and stores it."""

import contextlib
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from attribution_bench.environment import library_versions
from attribution_bench.errors import InvalidInputError

CARRIERS = ("cloudpickle", "dask", "distributed", "zarr", "pysam", "llvmlite")
"""Packages that are no part of a manifest, and carry a job, read its genome, write its store or compile its kernels."""


def versions_here() -> dict[str, str]:
    """Return the versions of this process; nothing is imported."""
    # Code of functions is of a release of Python up to its second number.
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}", **library_versions()}
    for package in CARRIERS:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def check_versions(there: Mapping[str, str]) -> None:
    """Check that versions here are those where the job was started; raises InvalidInputError."""
    here = versions_here()
    other = [
        f"{name} {here.get(name, 'missing')} here, {there.get(name, 'missing')} there"
        for name in {**there, **here}
        if here.get(name) != there.get(name)
    ]
    if other:
        raise InvalidInputError(
            f"libraries differ from where the job was started: {'; '.join(other)}; install the same versions"
        )
