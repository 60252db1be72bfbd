"""Blocks side by side on the cores that PyTorch may use: one small operation at a time does not fill several."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads for all groups of a call: threads that start anew do not reuse the memory that earlier ones freed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def __enter__(self) -> "Workers":
        """Return the workers; their threads start with their first items."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def in_order(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield a function of each item in their order, computed several at a time, in inference mode.

        The cores that PyTorch may use are shared among the workers. At most one result of each is kept until it is
        yielded.
        """
        pool = self._pool
        if pool is None:
            yield from map(function, items)
            return
        threads = torch.get_num_threads()
        share = max(1, threads // self.count)

        def infer(item: Item) -> Result:
            torch.set_num_threads(share)
            with torch.inference_mode():
                return function(item)

        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(infer, item))
                if len(pending) > self.count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            for future in pending:
                if not future.cancelled():
                    future.exception()  # blocks until it has ended: nothing may run beside what follows
            # Threads that start later begin with the number that was set last.
            torch.set_num_threads(threads)
