"""The files of a store that holds no shard yet: the description of its arrays, and the coordinates of their axes."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import MissingDependencyError
from attribution_bench.storage.sink import ArraySpec


def layout_files(
    specs: Sequence[ArraySpec],
    sequences: int,
    shard_size: int,
    coordinates: Mapping[str, tuple[str, NDArray[Any]]],
    attributes: Mapping[str, Any],
) -> dict[str, bytes]:
    """Return the files by their names in the store; the parameters are those of `ZarrStore.create`.

    Their bytes depend on the parameters alone, so that several processes may write the same ones.
    """
    zarr = import_zarr()
    files: dict[str, Any] = {}
    place = zarr.storage.MemoryStore(files)
    with warnings.catch_warnings():
        # Consolidated metadata, which spare readers the listing of a folder that holds more than arrays, are an
        # extension of Zarr 3.
        warnings.filterwarnings("ignore", "Consolidated metadata|Object at", UserWarning)
        group = zarr.open_group(place, mode="w", zarr_format=3)
        group.attrs.put(dict(attributes))
        for name, (dimension, values) in coordinates.items():
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=(max(1, len(values)),),
                dtype=_dtype(values.dtype),
                dimension_names=(dimension,),
            )
            array[:] = values
        for spec in specs:
            group.create_array(
                spec.name,
                shape=(sequences, *spec.shape),
                chunks=(shard_size, *(max(1, size) for size in spec.chunks or spec.shape)),
                dtype=_dtype(spec.dtype),
                fill_value=spec.fill,
                dimension_names=("sequence", *spec.dimensions),
                attributes=dict(spec.attributes),
            )
        zarr.consolidate_metadata(place, zarr_format=3)
    return {name: buffer.to_bytes() for name, buffer in files.items()}


def import_zarr() -> Any:
    """Return zarr; raises MissingDependencyError where it is not installed."""
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError.of("zarr", "genomics", "a store of attributions") from error
    return zarr


def _dtype(dtype: Any) -> Any:
    return str if dtype == "str" or np.dtype(dtype).kind in "UT" else dtype
