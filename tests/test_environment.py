import subprocess
from pathlib import Path

import psutil
import pytest
import torch

from attribution_bench import environment
from attribution_bench.environment import (
    LEAST_MEMORY,
    MEMORY_LIMIT,
    SHARED_BY,
    describe_machine,
    free_host_memory,
    library_versions,
    source_commit,
    thread_count,
)


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
    source = package / "environment.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(environment, "__file__", str(source))
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


def test_threads_are_set_and_put_back() -> None:
    former = torch.get_num_threads()
    with thread_count("torch", former + 1):
        assert torch.get_num_threads() == former + 1
    assert torch.get_num_threads() == former


def test_a_process_has_what_is_left_of_its_limit_and_of_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED_BY, "")
    monkeypatch.setenv(MEMORY_LIMIT, "")
    taken, free = psutil.Process().memory_info().rss, psutil.virtual_memory().available
    assert free_host_memory() > free // 2
    for limit, most in ((taken + 300 * 2**20, 320 * 2**20), (taken // 2, LEAST_MEMORY)):
        monkeypatch.setenv(MEMORY_LIMIT, str(limit))
        assert LEAST_MEMORY <= free_host_memory() <= most
    # A limit that is beyond what is free says nothing.
    monkeypatch.setenv(MEMORY_LIMIT, str(2**60))
    monkeypatch.setenv(SHARED_BY, "4")
    assert free // 8 < free_host_memory() < free // 2
