"""Blocks side by side on the cores that PyTorch may use: small products and single passes do not fill several."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MOST_WORKERS = 8
"""Beyond this, workers wait for the interpreter; further cores go to the operations of each."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Yield what a function makes of each item, in their order, several at a time, in inference mode.

    The cores that PyTorch may use are shared among the workers, and no more than one result of each is kept waiting.
    """
    if workers == 1:
        yield from map(function, items)
        return

    def infer(item: Item) -> Result:
        with torch.inference_mode():
            return function(item)

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(max(1, threads // workers),))
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(infer, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        # A thread's own number is what threads that start later begin with.
        torch.set_num_threads(threads)
