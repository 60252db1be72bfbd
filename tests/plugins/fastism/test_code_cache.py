"""The cache of machine code: what is read is whole, the user's own, and of this code, compiler and processor."""

import ctypes
import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from attribution_bench_plugins.fastism.kernels import code_cache as caching
from attribution_bench_plugins.fastism.kernels import compiling, machine
from attribution_bench_plugins.fastism.kernels.code_cache import OFF, PREFIX, VARIABLE, CodeCache, code_cache
from attribution_bench_plugins.fastism.kernels.compiling import source_digest
from attribution_bench_plugins.fastism.kernels.epilogue import Epilogue, EpilogueStep
from attribution_bench_plugins.fastism.kernels.machine import FUNCTION, Compiled, packed
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile

llvmlite = pytest.importorskip("llvmlite")

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners' numbers here")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the cache, which is not there yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "some" / "kernels"))
    return tmp_path / "some" / "kernels"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts that were compiled since."""
    texts, compile_text = [], machine._object_code

    def counted(text: str, target: Any) -> bytes:
        texts.append(text)
        return compile_text(text, target)

    monkeypatch.setattr(machine, "_object_code", counted)
    return texts


def adding(number: int) -> Any:
    """Return a module whose function adds a number to its first argument."""
    from llvmlite import ir

    integer = ir.IntType(64)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [integer.as_pointer()]), FUNCTION)
    builder = ir.IRBuilder(function.append_basic_block())
    place = function.args[0]
    builder.store(builder.add(builder.load(place), ir.Constant(integer, number)), place)
    builder.ret_void()
    return module


def result(number: int) -> int:
    """Return 40 plus a number, as a function does that is compiled or read."""
    arguments: ctypes.Array[ctypes.c_int64] = packed([40])
    Compiled(f"add {number}", lambda: adding(number))(arguments)
    return arguments[0]


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_code_is_compiled_once(folder: Path, compilations: list[str]) -> None:
    assert [result(2), result(2), result(3), result(2)] == [42, 42, 43, 42]
    assert len(compilations) == 2
    assert len(list(folder.iterdir())) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}


def test_code_that_is_found_is_not_written_again(folder: Path) -> None:
    result(2)
    arguments: ctypes.Array[ctypes.c_int64] = packed([40])
    Compiled("add 2", lambda: pytest.fail("its module was made"))(arguments)
    assert arguments[0] == 42


def test_other_versions_of_what_writes_code_share_none(tmp_path: Path) -> None:
    def digest(**texts: str) -> str:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)
        (folder / "__pycache__").mkdir()
        return source_digest(folder)

    known = digest(loops="a = 1", pool="b = 2")
    assert digest(loops="a = 1", pool="b = 2") == known
    others = [digest(loops="a = 1", pool="b = 3"), digest(loops="a = 1"), digest(loop="a = 1", pool="b = 2"), digest()]
    assert len({known, *others}) == 1 + len(others)


@pytest.mark.parametrize("steps", [("rectify",), ("rectify", "add"), ("add", "rectify")])
def test_kernels_of_other_settings_share_no_code(folder: Path, steps: tuple[EpilogueStep, ...]) -> None:
    tile = RegisterTile(4, 1, 2)
    for count, settings in enumerate([(tile, Epilogue(steps)), (tile, Epilogue(steps, value=True))], 1):
        compiling._compile.__wrapped__("direct", "float", *settings)
        assert len(list(folder.iterdir())) == count
    compiling._compile.__wrapped__("direct", "double", tile, Epilogue(steps))
    compiling._compile.__wrapped__("direct", "float", RegisterTile(4, 1, 3), Epilogue(steps))
    assert len(list(folder.iterdir())) == 4


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in the digest": lambda content: content[:7],
    "cut in the code": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "a bit in the digest": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "a bit in the code": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    "something else": lambda content: b"\x7fELF" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_replaced(folder: Path, compilations: list[str], damage: Callable[[bytes], bytes]) -> None:
    result(2)
    whole = only_file(folder).read_bytes()
    only_file(folder).write_bytes(damage(whole))
    assert result(2) == 42
    assert len(compilations) == 2
    assert only_file(folder).read_bytes() == whole


def test_the_file_of_other_code_is_not_run(folder: Path, compilations: list[str]) -> None:
    result(2)
    other = only_file(folder)
    result(3)
    (third,) = set(folder.iterdir()) - {other}
    third.write_bytes(other.read_bytes())
    assert result(3) == 43
    assert len(compilations) == 3


def test_another_compiler_or_processor_has_code_of_its_own(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    without = type(features)({**features, **dict.fromkeys([next(iter(features), "none")], False)})
    changes: list[tuple[Any, str, Any]] = [
        (machine, "version", lambda package: "0.99.0"),
        (machine, "OPTIMISATION", 2),
        (llvm, "llvm_version_info", (99, 0, 0)),
        (llvm, "get_host_cpu_name", lambda: "generic"),
        (llvm, "get_host_cpu_features", lambda: without),
    ]
    result(2)
    for count, (owner, name, value) in enumerate(changes, 2):
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, value)
            assert result(2) == 42
        assert len(compilations) == count, name
    result(2)
    assert len(compilations) == 1 + len(changes)


@pytest.mark.parametrize("value", [OFF, "OFF", " off "])
def test_the_variable_turns_it_off(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert [result(2), result(2)] == [42, 42]
    assert len(compilations) == 2
    assert not folder.exists()
    assert code_cache() == CodeCache(None)


@pytest.mark.parametrize("value", [None, "", " "])
def test_it_is_in_the_users_cache_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert code_cache().folder == tmp_path / "attribution-bench" / "kernels"


def test_a_folder_that_cannot_be_made_or_written_costs_time_only(
    tmp_path: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "kernels", tmp_path / ("long" * 100)):
        monkeypatch.setenv(VARIABLE, str(folder))
        assert result(2) == 42

    def full(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv(VARIABLE, str(tmp_path / "kernels"))
    monkeypatch.setattr(os, "replace", full)
    assert result(2) == 42
    assert len(compilations) == 4
    assert not list((tmp_path / "kernels").iterdir())


def with_mode(path: Path, mode: int) -> None:
    path.chmod(mode)


def behind_a_link(file: Path) -> None:
    file.rename(file.parent / "elsewhere")
    file.symlink_to(file.parent / "elsewhere")


UNSAFE: dict[str, Callable[[Path], None]] = {
    "others write the file": lambda file: with_mode(file, 0o602),
    "the group writes the file": lambda file: with_mode(file, 0o660),
    "others write the folder": lambda file: with_mode(file.parent, 0o707),
    "others write the sticky folder": lambda file: with_mode(file.parent, 0o1777),
    "the group writes the folder": lambda file: with_mode(file.parent, 0o770),
    "others replace the folder": lambda file: with_mode(file.parent.parent, 0o777),
    "the file is a link": behind_a_link,
}


@pytest.mark.parametrize("make", UNSAFE.values(), ids=UNSAFE)
def test_what_others_can_have_written_is_not_run(
    folder: Path, compilations: list[str], make: Callable[[Path], None]
) -> None:
    result(2)
    make(only_file(folder))
    assert result(2) == 42
    assert len(compilations) == 2


def test_what_belongs_to_another_user_is_neither_run_nor_written(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result(2)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert [result(2), result(3)] == [42, 43]
    assert len(compilations) == 3
    assert len(list(folder.iterdir())) == 1


def test_a_sticky_folder_above_and_a_link_to_the_folder_are_safe(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result(2)
    folder.parent.chmod(0o1777)
    (folder.parent.parent / "link").symlink_to(folder)
    monkeypatch.setenv(VARIABLE, str(folder.parent.parent / "link"))
    assert result(2) == 42
    assert len(compilations) == 1


def test_writers_at_once_leave_whole_files(folder: Path) -> None:
    codes = [bytes([i]) * 50_000 for i in range(4)]
    cache = CodeCache(folder)
    cache.write("key", codes[0])

    def write(code: bytes) -> None:
        for _ in range(20):
            cache.write("key", code)

    def read(_: int) -> set[bytes | None]:
        return {cache.read("key") for _ in range(60)}

    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write, code) for code in codes]
        seen = set().union(*pool.map(read, range(2)))
        for writer in writers:
            writer.result()
    assert seen <= set(codes)
    assert len(list(folder.iterdir())) == 1


def test_old_files_go_and_those_of_others_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "MOST_FILES", 3)
    cache = CodeCache(folder)
    cache.write("0", b"code")
    (folder / "notes.txt").write_text("mine")
    os.utime(folder / "notes.txt", (0, 0))
    (folder / f"{PREFIX}left").write_text("by a process that was stopped")
    os.utime(folder / f"{PREFIX}left", (0, 0))
    for age, key in enumerate("1234"):
        cache.write(key, b"code")
        os.utime(max(folder.glob(f"{PREFIX}*"), key=lambda file: file.stat().st_mtime), (age + 1, age + 1))
    assert [cache.read(key) is not None for key in "01234"] == [True, False, False, True, True]
    assert (folder / "notes.txt").exists()
    assert not (folder / f"{PREFIX}left").exists()
