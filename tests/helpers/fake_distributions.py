"""Distributions laid down as pip would lay them, with files of their own; their code is in `fake_packages`."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

PACKAGES = Path(__file__).parent / "fake_packages"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lay_down(folder: Path, distribution: str, files: Mapping[str, Path | str] | None = None) -> None:
    """Lay down metadata, the code that `fake_packages` has of a distribution, and files: path -> content or source."""
    _metadata(folder, distribution)
    module = distribution.replace("-", "_").replace("bpnet_lite", "bpnetlite")
    if (PACKAGES / module).is_dir():
        for source in (PACKAGES / module).rglob("*.py"):
            target = folder / source.relative_to(PACKAGES)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text())
    for path, content in (files or {}).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            os.link(content, target)
        else:
            target.write_text(content)


def register_adapters(folder: Path) -> None:
    """Lay down what this checkout registers, which may be more than what is installed."""
    points = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]
    lines = []
    for group, values in points.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in values.items())]
    (_metadata(folder, "attribution-bench") / "entry_points.txt").write_text("\n".join(lines))


def _metadata(folder: Path, distribution: str) -> Path:
    place = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    return place
