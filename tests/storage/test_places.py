"""Places of stores, as they are given."""

from pathlib import Path

import pytest

from attribution_bench.errors import InvalidInputError
from attribution_bench.storage.places import store_path


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("scores.zarr", Path("scores.zarr")),
        ("folder/scores.zarr", Path("folder/scores.zarr")),
        ("a:b.zarr", Path("a:b.zarr")),
        ("c:/scores.zarr", Path("c:/scores.zarr")),
        ("file:///data/scores.zarr", Path("/data/scores.zarr")),
        ("file:/data/scores.zarr", Path("/data/scores.zarr")),
    ],
)
def test_a_place_on_this_machine_is_a_path(place: str, expected: Path) -> None:
    assert store_path(place) == expected


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3:/bucket/scores.zarr", "give s3://bucket/scores.zarr, or ./s3:/bucket/scores.zarr for the folder"),
        ("gs:/bucket/scores.zarr", "give gs://bucket/scores.zarr"),
        ("file://scores.zarr", r"give the path alone, or file:///.*/scores\.zarr"),
    ],
)
def test_an_address_with_a_slash_too_few_is_refused(place: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        store_path(place)


def test_a_folder_whose_name_looks_like_an_address_is_one_where_it_is_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert store_path("s3:/bucket") == Path("s3:/bucket")
    assert store_path("./s3:/other") == Path("s3:/other")
