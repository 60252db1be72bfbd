"""Plugins laid down as pip would, for tests that find them through the registry."""

from pathlib import Path

from attribution_bench.registry import METHODS


def install(folder: Path, distribution: str, points: dict[str, str], code: str = "", group: str = METHODS) -> None:
    """Lay down a module and the metadata that registers its methods, in a folder on the path.

    Parameters
    ----------
    points
        Registered name -> attribute of the module.
    """
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {module}:{attribute}\n" for name, attribute in points.items())
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{lines}")
