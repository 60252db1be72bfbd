import subprocess
from pathlib import Path

import pytest
import torch

from attribution_bench.benchmark import machine
from attribution_bench.benchmark.machine import (
    check_framework,
    default_batch_sizes,
    describe_machine,
    library_versions,
    resolve_device,
    source_commit,
    thread_count,
)
from attribution_bench.errors import DeviceError, InvalidInputError, MissingDependencyError


def test_the_machine_is_described() -> None:
    found = describe_machine("cpu")
    assert found.cpu
    assert found.cores >= 1
    assert found.memory_bytes > 2**28
    assert found.gpu is None


def test_versions_are_those_of_the_installed_libraries() -> None:
    versions = library_versions()
    assert versions["torch"] == torch.__version__
    assert "attribution-bench" in versions


def test_the_commit_is_that_of_the_packages_own_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    package = tmp_path / "attribution_bench"
    source = package / "benchmark" / "machine.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(machine, "__file__", str(source))
    assert source_commit() is None
    git("init", "--quiet")
    # Under git, but not tracked: as in a virtual environment inside somebody's repository.
    assert source_commit() is None
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "first")
    commit = source_commit()
    assert commit is not None
    assert commit.revision == git("rev-parse", "HEAD")
    assert not commit.dirty
    (tmp_path / "results.json").write_text("{}")
    assert source_commit() == commit
    source.write_text("changed = True\n")
    commit = source_commit()
    assert commit is not None
    assert commit.dirty


def test_no_git_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_commit() is None


def test_an_unknown_framework_or_device_is_named() -> None:
    with pytest.raises(InvalidInputError, match="unknown framework 'jax'"):
        resolve_device("jax", None)
    with pytest.raises(DeviceError, match=r"'cuda:99'.*finds cpu"):
        resolve_device("torch", "cuda:99")
    assert resolve_device("torch", "cpu") == "cpu"


def test_a_missing_framework_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"attribution-bench\[torch\]"):
        check_framework("torch")
    with pytest.raises(MissingDependencyError, match=r"attribution-bench\[tensorflow\]"):
        check_framework("keras")


def test_threads_are_set_and_put_back() -> None:
    former = torch.get_num_threads()
    with thread_count("torch", former + 1):
        assert torch.get_num_threads() == former + 1
    assert torch.get_num_threads() == former


def test_batch_sizes_suit_the_device() -> None:
    assert default_batch_sizes("cuda:1")[-1] > default_batch_sizes("cpu")[-1]  # type: ignore[operator]
    assert default_batch_sizes("gpu:0") == default_batch_sizes("cuda")
