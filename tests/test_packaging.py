"""What is in the wheel and the sdist, by building both as a packager would."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = {".py", ".json", ".safetensors", ".html", ".css", ".js"}
"""Sources, motifs, weights, and the report's template."""


def build(source, folder, *arguments):
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *arguments]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(folder.glob("attribution_bench-*.[wt]*"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "--target", "sdist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "--target", "wheel")


def wheel_files(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_holds_two_packages_and_their_data(wheel):
    files = wheel_files(wheel)
    top = {name.split("/")[0] for name in files}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "attribution_bench",
        "attribution_bench_plugins",
    }
    wanted = ["attribution_bench/py.typed", "attribution_bench_plugins/py.typed"]
    wanted += [f"attribution_bench/sequences/data/{name}" for name in ("lambda_phage.fa.gz", "README.md")]
    assert set(wanted) <= set(files)
    for package, folder in (("attribution_bench", ROOT), ("attribution_bench_plugins", ROOT / "plugins")):
        for path in (folder / package).rglob("*"):
            name = path.relative_to(folder).as_posix()
            if path.suffix in SHIPPED:
                assert files[name] == path.read_bytes(), name


def test_a_wheel_of_the_sdist_is_the_same(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = next(tmp_path.glob("attribution_bench-*"))
    again = build(unpacked, tmp_path / "again", "--target", "wheel")
    assert wheel_files(again) == wheel_files(wheel)
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        "LICENSE",
        "Makefile",
        "constraints.txt",
        "tests",
        "docs",
        "plugins",
    ):
        assert (unpacked / name).exists(), name
