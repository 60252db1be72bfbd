"""The pause of Python's collector: it ends with the block, and leaves a collector that was off as it was."""

import gc
from collections.abc import Iterator

import pytest

from attribution_bench.garbage import collection_paused


@pytest.fixture(autouse=True)
def _running() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_the_collector_runs_again_after_the_block_and_after_an_error() -> None:
    with collection_paused():
        assert not gc.isenabled()
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="in the block"), collection_paused():
        raise ValueError("in the block")
    assert gc.isenabled()


def test_blocks_that_overlap_as_those_of_threads_do_leave_it_running() -> None:
    first, second = collection_paused(), collection_paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with collection_paused():
        pass
    assert not gc.isenabled()
