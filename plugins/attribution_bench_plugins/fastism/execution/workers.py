"""Blocks side by side on the cores that PyTorch may use: small products and single passes do not fill several."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads for a whole call: those that are started anew keep memory that the ones before them let go."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def __enter__(self) -> "Workers":
        """Return the workers; their threads start when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def in_order(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield what a function makes of each item, in their order, several at a time, in inference mode.

        The cores that PyTorch may use are shared among the workers, and no more than one result of each is kept
        waiting.
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
                    future.exception()  # it is waited for: nothing may run beside what follows
            # A thread's own number is what threads that start later begin with.
            torch.set_num_threads(threads)
