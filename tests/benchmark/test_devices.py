import pytest

from attribution_bench.benchmark import devices
from attribution_bench.benchmark.devices import check_framework, default_batch_sizes, resolve_device
from attribution_bench.errors import DeviceError, InvalidInputError, MissingDependencyError


def test_an_unknown_framework_or_device_is_named() -> None:
    with pytest.raises(InvalidInputError, match="unknown framework 'jax'"):
        resolve_device("jax", None)
    with pytest.raises(DeviceError, match=r"'cuda:99'.*finds cpu"):
        resolve_device("torch", "cuda:99")
    assert resolve_device("torch", "cpu") == "cpu"


def test_a_missing_framework_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"'\.\[torch\]'"):
        check_framework("torch")
    with pytest.raises(MissingDependencyError, match=r"'\.\[tensorflow\]'"):
        check_framework("keras")


def test_batch_sizes_suit_the_device() -> None:
    assert default_batch_sizes("cuda:1")[-1] > default_batch_sizes("cpu")[-1]  # type: ignore[operator]
    assert default_batch_sizes("gpu:0") == default_batch_sizes("cuda")
