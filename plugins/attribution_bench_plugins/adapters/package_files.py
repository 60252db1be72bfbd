"""Files of installed packages, found without importing them."""

from importlib.metadata import distribution
from pathlib import Path

from attribution_bench.errors import ModelError


def package_file(package: str, path: str) -> Path:
    """Return a file of an installed distribution; `path` begins with the folder of its module.

    Raises
    ------
    ModelError
        The distribution has no such file: it is another version, or another package of that name.
    """
    found = distribution(package)
    file = Path(str(found.locate_file(path)))
    if not file.is_file():
        raise ModelError(
            f"{package} {found.version}, which is installed, has no file {path}: it is another version than this "
            "adapter knows, or another package of the same name"
        )
    return file
