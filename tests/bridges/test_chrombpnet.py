"""chrombpnet's HDF5 layout, in and out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from torch import nn

import attribution_bench as ab
from attribution_bench.bridges import read_chrombpnet, write_chrombpnet
from attribution_bench.conventions import PROJECTED
from attribution_bench.errors import InvalidInputError, OutputError, ResultError, TargetError


def _written(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"{name}/seq"] = array
    return path


def test_a_file_of_chrombpnet(tmp_path: Path, one_hot: np.ndarray) -> None:
    scores = np.random.default_rng(0).normal(size=one_hot.shape).astype(np.float16)
    letters = one_hot.astype(np.int8)
    path = _written(tmp_path / "scores.h5", raw=letters, shap=scores, projected_shap=scores * letters)
    result = read_chrombpnet(path, names=list("abcde"))
    np.testing.assert_array_equal(result.one_hot, one_hot)
    np.testing.assert_array_equal(result.scores, scores.astype(np.float32))
    assert (result.names, result.metadata["method"]) == (("a", "b", "c", "d", "e"), "chrombpnet")
    only = read_chrombpnet(_written(tmp_path / "only.h5", raw=letters, projected_shap=scores * letters))
    assert only.metadata[PROJECTED]
    np.testing.assert_array_equal(only.observed, result.observed)


def test_a_result_in_that_layout(tmp_path: Path, curved: nn.Module, one_hot: np.ndarray) -> None:
    result = ab.get_method("standard_ism")(curved).attribute(one_hot, target="all", positions=slice(3, 20))
    path = write_chrombpnet(result, tmp_path / "scores.h5", target=2)
    with h5py.File(path) as file:
        assert file["raw/seq"].dtype == np.int8
        np.testing.assert_array_equal(file["raw/seq"], one_hot[:, :, 3:20])
        np.testing.assert_array_equal(file["shap/seq"], result.scores[..., 2])
        np.testing.assert_array_equal(file["projected_shap/seq"], result.scores[..., 2] * one_hot[:, :, 3:20])
    np.testing.assert_array_equal(read_chrombpnet(path).scores, result.scores[..., 2])
    for other, target, error, message in (
        (result, None, TargetError, "several values"),
        (result.with_convention("l2"), None, InvalidInputError, "scores with a sign"),
        (replace(result, positions=result.positions[::-1]), 2, InvalidInputError, "without gaps"),
        (read_chrombpnet(_projected(path)), None, InvalidInputError, "reference letters only"),
    ):
        with pytest.raises(error, match=message):
            write_chrombpnet(other, tmp_path / "other.h5", target=target)
    assert not (tmp_path / "other.h5").exists()


def _projected(path: Path) -> Path:
    with h5py.File(path) as file:
        arrays = {"raw": file["raw/seq"][...], "projected_shap": file["projected_shap/seq"][...]}
    return _written(path.with_name("projected.h5"), **arrays)


def test_files_that_hold_something_else(tmp_path: Path, one_hot: np.ndarray) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("absent.h5", "text.h5", "empty.h5", "."):
        with pytest.raises(OutputError, match="cannot read"):
            read_chrombpnet(tmp_path / name)
    wrong: dict[str, dict[str, Any]] = {
        "holds no raw/seq": {"shap": one_hot},
        "with shap/seq or projected_shap/seq": {"raw": one_hot},
        "shapes": {"raw": one_hot, "shap": one_hot[:, :, 1:]},
        "not finite|finite": {"raw": one_hot, "shap": np.full(one_hot.shape, np.nan)},
        "0 and 1": {"raw": one_hot * 2, "shap": one_hot},
    }
    for index, (message, arrays) in enumerate(wrong.items()):
        with pytest.raises(ResultError, match=message):
            read_chrombpnet(_written(tmp_path / f"{index}.h5", **arrays))
    for strange in ({"raw": one_hot, "shap": "text"}, {"raw": [b"a"], "shap": one_hot}):
        with pytest.raises(OutputError):
            read_chrombpnet(_written(tmp_path / "strange.h5", **strange))
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        file.create_group("raw/seq")
        file.create_group("shap/seq")
    with pytest.raises(OutputError):
        read_chrombpnet(tmp_path / "groups.h5")
