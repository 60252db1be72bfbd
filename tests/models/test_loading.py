import ast
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attribution_bench import DNA, get_method
from attribution_bench.errors import ModelError
from attribution_bench.models.loading import KNOWN, ModelSource, model_source
from attribution_bench.models.model_files import read_exported
from attribution_bench.models.untrusted.expressions import size_expression
from attribution_bench.models.untrusted.refused import Refused

SEQUENCES = ["ACGT" * 5, "TTTTACGCAC" * 2]


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv1d(4, 3, 5, padding=2)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(torch.relu(self.convolution(x)).mean(2)[:, :1])


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Small, Path]:
    model = Small().eval()
    shapes = ({0: torch.export.Dim("batch", max=4096), 2: torch.export.Dim("length", min=8, max=512)},)
    program = torch.export.export(model, (torch.zeros(2, 4, 20),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "small.pt2")
    return model, tmp_path / "small.pt2"


def test_a_file_of_torch_export_predicts_as_the_model_did(exported: tuple[Small, Path]) -> None:
    model, path = exported
    opened = model_source(str(path)).open(device="cpu")
    x = DNA.one_hot(SEQUENCES)
    with torch.no_grad():
        expected = model(torch.as_tensor(x)).numpy()
    assert opened.predict(x)["output"] == pytest.approx(expected, abs=1e-6)
    assert opened.predict(x[:, :, :9])["output"].shape == (2, 1)
    standard = get_method("standard_ism")
    ours, theirs = (standard(m).attribute(x).predictions["output"] for m in (opened, model))
    assert np.allclose(ours, theirs, atol=1e-6)


def rewritten(path: Path, change: Any) -> Path:
    """Copy an archive, passing every member through a function of (name, content)."""
    out = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            for new_name, content in change(name, source.read(name)):
                target.writestr(new_name, content)
    return out


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_pickled_weights_and_inputs_of_an_exported_file_are_not_unpickled(
    exported: tuple[Small, Path], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    torch.save({"trap": Trap(mark)}, tmp_path / "trap.pt")
    trap = (tmp_path / "trap.pt").read_bytes()
    path = rewritten(
        exported[1],
        lambda name, content: [(name, trap if "sample_inputs" in name and name.endswith(".pt") else content)],
    )
    with zipfile.ZipFile(path) as archive:
        assert any(archive.read(name) == trap for name in archive.namelist())
    with pytest.raises(ModelError, match=r"cannot be read as a torch\.export file"):
        read_exported(path)
    assert not mark.exists()


def test_pickled_objects_and_compiled_code_are_refused(exported: tuple[Small, Path], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for member in ("small/data/constants/opaque_obj_0", "small/data/aotinductor/model/model.so"):
        content = pickle.dumps(Trap(mark))
        path = rewritten(
            exported[1],
            lambda n, c, m=member, new=content: [(n, c), *([(m, new)] if n.endswith("archive_version") else [])],
        )
        with pytest.raises(ModelError, match="code or a pickled object"):
            read_exported(path)
    assert not mark.exists()


def test_expressions_that_are_no_sizes_are_not_evaluated(exported: tuple[Small, Path], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    replaced = []

    def change(name: str, content: bytes) -> list[tuple[str, bytes]]:
        if "/models/" not in name or not name.endswith(".json"):
            return [(name, content)]

        def walk(value: Any) -> Any:
            if isinstance(value, dict):
                if "expr_str" in value:
                    replaced.append(value["expr_str"])
                    return {**value, "expr_str": f"__import__('pathlib').Path({str(mark)!r}).touch()"}
                return {key: walk(inner) for key, inner in value.items()}
            return [walk(inner) for inner in value] if isinstance(value, list) else value

        return [(name, json.dumps(walk(json.loads(content))).encode())]

    path = rewritten(exported[1], change)
    assert replaced
    with pytest.raises(ModelError, match="is no size"):
        read_exported(path)
    assert not mark.exists()


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("a.pt2", "a.keras", "a.h5"):
        with pytest.raises(ModelError, match="there is no model file"):
            model_source(str(tmp_path / name))
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ModelError, match="cannot be read as"):
            model_source(str(tmp_path / name)).open()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.ckpt"])
def test_files_that_would_be_unpickled_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match="unpickled"):
        model_source(str(tmp_path / name))


@pytest.mark.parametrize("name", KNOWN)
def test_a_missing_file_is_told_whatever_its_suffix(name: str, tmp_path: Path) -> None:
    for suffix in (name, name.upper()):
        with pytest.raises(ModelError, match=r"there is no model file .*nosuch"):
            model_source(str(tmp_path / f"nosuch{suffix}"))


def test_suffixes_are_read_in_either_case(exported: tuple[Small, Path], keras_model: Any, tmp_path: Path) -> None:
    x = DNA.one_hot(SEQUENCES)
    upper = exported[1].rename(tmp_path / "small.PT2")
    source = model_source(str(upper))
    source.prepare("torch")
    with torch.no_grad():
        expected = exported[0](torch.as_tensor(x)).numpy()
    assert source.open(device="cpu").predict(x)["output"] == pytest.approx(expected, abs=1e-6)
    keras_model.save(tmp_path / "small.keras")
    (tmp_path / "small.keras").rename(tmp_path / "small.KERAS")
    assert model_source(str(tmp_path / "small.KERAS")).open().stated_length == 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_code.py:build", r"my_code\.py is Python code.*: my_code:build$"),
        ("my_code.py:build?length=9", r"my_code\.py is Python code.*: my_code:build$"),
        ("elsewhere/my_code.py:make.it", r"my_code\.py is Python code.*: my_code:make\.it, in the folder elsewhere$"),
        ("my_code.py", r"my_code\.py is Python code.*: my_code:build$"),
    ],
)
def test_a_file_of_code_is_told_apart_from_its_module(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_code.py").write_text("raise AssertionError('it was run')\n")
    with pytest.raises(ModelError, match=said):
        model_source(name)


@pytest.mark.parametrize("name", ["builtins:dict", "builtins:print", "math:sqrt", "itertools:count"])
def test_what_python_has_itself_fails_in_one_error(name: str) -> None:
    source = model_source(name)
    assert len(source.identity) in (0, 64)
    with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module|failed: TypeError"):
        source.open(length=5)


@pytest.mark.parametrize("place", ["model.json", "weights.safetensors", "other.zip", "folder"])
def test_what_may_not_be_read_is_named(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / place
    path.mkdir() if place == "folder" else path.write_bytes(b"x")

    def refused(way: Any) -> Any:
        def read(self: Path, *arguments: Any, **keywords: Any) -> Any:
            if self == path:
                raise PermissionError(13, "Permission denied", str(self))
            return way(self, *arguments, **keywords)

        return read

    for name in ("open", "read_bytes", "iterdir"):
        monkeypatch.setattr(Path, name, refused(getattr(Path, name)))
    with pytest.raises(ModelError, match=f"cannot read .*{place}: Permission denied"):
        model_source(str(path))
    with pytest.raises(ModelError, match=f"cannot read .*{place}: Permission denied"):
        _ = ModelSource("file", str(path)).identity


def test_a_text_that_is_too_long_for_a_name_names_no_model() -> None:
    with pytest.raises(ModelError, match=r"cannot read|names no model"):
        model_source("a" * 5000)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="no file, but a pipe"):
        model_source(str(tmp_path / "pipe"))


@pytest.fixture
def keras_model() -> Any:
    import keras

    inputs = keras.Input((20, 4))
    x = keras.layers.Conv1D(3, 5, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_a_keras_file_predicts_as_the_model_did(suffix: str, keras_model: Any, tmp_path: Path) -> None:
    path = tmp_path / f"small{suffix}"
    keras_model.save(path)
    opened = model_source(str(path)).open()
    x = DNA.one_hot(SEQUENCES)
    expected = np.asarray(keras_model(x.transpose(0, 2, 1), training=False))
    assert next(iter(opened.predict(x).values())) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_a_keras_file_with_python_code_is_refused(suffix: str, tmp_path: Path) -> None:
    import keras

    inner = keras.Sequential([keras.Input((20, 4)), keras.layers.Lambda(lambda x: x * 2)])
    model = keras.Sequential([keras.Input((20, 4)), inner])
    path = tmp_path / f"lambda{suffix}"
    model.save(path)
    with pytest.raises(ModelError, match=r"Lambda.*safe_mode=False"):
        model_source(str(path)).open()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_models_for_a_test.py").write_text(
        "import torch\n"
        "number = 3\n"
        "def build(length=7):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * length, 2))\n"
        "def late():\n"
        "    import another_for_a_test\n"
        "    return build()\n"
        "def fails():\n"
        "    raise ValueError('not today')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "my_models_for_a_test"  # type: ignore[misc]
    sys.modules.pop("my_models_for_a_test", None)


def test_a_callable_of_the_current_folder_builds_a_model(module: str) -> None:
    source = model_source(f"{module}:build")
    assert source.open(device="cpu").outputs(7)[0].shape == (2,)
    assert source.open(device="cpu", length=9).outputs(9)[0].shape == (2,)
    assert len(source.identity) == 64
    assert source.label == f"{module}:build"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:absent", "no callable 'absent'"),
        ("{}:number", "no callable 'number'"),
        ("{}:fails", "ValueError: not today"),
        ("no_such_module_here:build", "cannot be imported"),
    ],
)
def test_a_callable_that_fails_is_named(module: str, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model_source(name.format(module)).open()


def test_an_architecture_takes_options() -> None:
    source = model_source("basset?length=600&outputs=2")
    assert source == ModelSource("built-in", "basset", (("length", 600), ("outputs", 2)))
    assert source.length == 600
    assert source.label == "basset?outputs=2"
    assert source.open(device="cpu").outputs(600)[0].shape == (2,)
    with pytest.raises(ModelError, match=r"colour.*it takes length"):
        model_source("basset?colour=red").open()


@pytest.mark.parametrize("text", ["", "bassett", "basset.txt", "a:b:c", "?length=3"])
def test_a_text_that_names_no_model_lists_what_would(text: str) -> None:
    with pytest.raises(ModelError, match=r"names no model; give a \.pt2"):
        model_source(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("Symbol('s77', positive=True, integer=True)", True),
        ("Add(Mul(Integer(2), Symbol('s0')), Integer(-1))", True),
        ("s0 + 3*s1", True),
        ("__import__('os').system('true')", False),
        ("Add('__import__(\\'os\\')', Integer(1))", False),
        ("lambdify(1, 2)", False),
        ("open('x')", False),
        ("Integer.mro()", False),
        ("[1 for _ in range(9)]", False),
        ("Symbol('open')", False),
        ("Symbol('s0', real='1')", False),
        ("Integer('9')", False),
        ("L['x'].size()[0]", False),
        ("s0 if s1 else s2", False),
        ("", False),
    ],
)
def test_only_sizes_count_as_sizes(text: str, size: bool) -> None:
    if size:
        assert ast.dump(ast.parse(size_expression(text))) == ast.dump(ast.parse(text))
    else:
        with pytest.raises(Refused, match="no size"):
            size_expression(text)


def test_what_a_callable_imports_is_found_in_the_current_folder(module: str, tmp_path: Path) -> None:
    (tmp_path / "another_for_a_test.py").write_text("")
    assert model_source(f"{module}:late").open().weight_count == 58
    assert "another_for_a_test" in sys.modules
    del sys.modules["another_for_a_test"]


def test_the_identity_of_what_builds_a_model_holds_its_name_and_options(module: str, tmp_path: Path) -> None:
    texts = ["{}:build", "{}:late", "{}:build?length=8", "{}:build?a=1&b=2", "{}:build?a=2&b=1", "basset", "bpnet"]
    found = [model_source(text.format(module)).identity for text in texts]
    assert len(set(found)) == len(texts)
    assert model_source(f"{module}:build?b=2&a=1").identity == found[3]
    # Records have these by themselves, and sequences tell an architecture its length.
    assert model_source("basset?length=600&framework=torch").identity == found[5]
    for name in ("a.keras", "b.keras"):
        (tmp_path / name).write_bytes(b"model")
    assert model_source(str(tmp_path / "a.keras")).identity == model_source(str(tmp_path / "b.keras")).identity
