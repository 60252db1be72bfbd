import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fake_distributions import PACKAGES, lay_down, register_adapters

MODULES = {path.name for path in PACKAGES.iterdir() if path.is_dir()}


def forget() -> None:
    """Forget the modules of fake packages: each test lays down its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, where the adapters of this checkout are registered."""
    folder = tmp_path / "site"
    folder.mkdir()
    register_adapters(folder)
    monkeypatch.syspath_prepend(str(folder))
    forget()
    yield folder
    forget()


@pytest.fixture
def installed(site: Path) -> Callable[..., None]:
    """Lay down a distribution of a name, with files."""

    def install(distribution: str, files: Mapping[str, Path | str] | None = None) -> None:
        lay_down(site, distribution, files)
        forget()

    return install
