"""Where batches come from. Which batch a step has is a function of the seed and the step alone, so a run goes on without a replay.

Arrays are shuffled by epochs (each example once, a new permutation every epoch, from seed and epoch) or drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import count, islice
from typing import Any, Protocol

import numpy as np

from ...errors import ArgumentError, DataError
from .draws import generator
from .examples import Examples

#: what numbers are drawn for, so that no two uses share a generator
SHUFFLE, REPLACEMENT, LOSS = 0, 1, 2
USED_UP = "data is an iterator, which is used up after one pass"


class Batches(Protocol):
    #: what a checkpoint must have been made with
    settings: dict[str, Any]

    @property
    def steps_per_epoch(self) -> int | None:
        """None: not known before a pass is over."""
        ...

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        """The batches of an epoch but for the first `skip`."""
        ...


class ArrayBatches:
    """Batches of a nest of arrays. shuffle: True, False or "replacement"."""

    def __init__(self, data: Any, batch_size: int, shuffle: Any, drop_last: bool, seed: int) -> None:
        if shuffle not in (True, False, "replacement"):
            raise ArgumentError(f'shuffle is True (by epochs), False or "replacement", not {shuffle!r}')
        self.examples = Examples(data)
        shuffle = shuffle if isinstance(shuffle, str) else bool(shuffle)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        n = self.examples.count
        self.steps_per_epoch = n // batch_size if drop_last else -(-n // batch_size)
        if not self.steps_per_epoch:
            raise DataError(f"drop_last leaves no batch: there are {n} examples, and batch_size is {batch_size}")
        self.settings = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": bool(drop_last), "examples": n}

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        n, size = self.examples.count, self.batch_size
        order = generator(self.seed, SHUFFLE, epoch).permutation(n) if self.shuffle is True else None
        for k in range(skip, self.steps_per_epoch):
            start, stop = k * size, min(n, (k + 1) * size)
            if order is not None:
                yield self.examples.rows(order[start:stop])
            elif self.shuffle:
                step = epoch * self.steps_per_epoch + k
                yield self.examples.rows(generator(self.seed, REPLACEMENT, step).integers(n, size=size))
            else:
                yield self.examples.between(start, stop)


class IterableBatches:
    """An iterable of batches, one pass an epoch. Going on from a checkpoint passes over what was done before."""

    def __init__(self, data: Iterable[Any]) -> None:
        self.data, self.passes = data, 0
        self.once = iter(data) is data
        self.steps_per_epoch: int | None = len(data) if isinstance(data, Sized) else None
        self.settings = {"batches": self.steps_per_epoch}
        if self.steps_per_epoch == 0:
            raise DataError("data has no batches")

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        while self.passes < epoch and not self.once:  # whose order may depend on how often it was gone through
            for _ in self.data:
                pass
            self.passes += 1
        if self.once and self.passes:
            raise DataError(
                f"{USED_UP}: give epochs=1, what begins anew each time that it is iterated (a list, an object with __iter__), or a "
                "function from the step to a batch"
            )
        given = skip
        for batch in islice(self.data, skip, None):
            given += 1
            yield batch
        self.passes += 1
        if not given:
            raise DataError("data has no batches")
        if self.steps_per_epoch is not None and given != self.steps_per_epoch:
            self.steps_per_epoch = None  # its length was an estimate


class FunctionBatches:
    """A function from the step to a batch: an epoch without end."""

    steps_per_epoch = None

    def __init__(self, data: Callable[[int], Any]) -> None:
        self.data = data
        self.settings: dict[str, Any] = {"batches": "a function of the step"}

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        return map(self.data, count(skip))


def batches(
    data: Any, batch_size: int, epochs: int | None, steps: int | None, shuffle: Any, drop_last: bool, seed: int
) -> Batches:
    """The batches of `data`: of arrays, tuples and dicts of arrays; else what it iterates over or, called with the step, gives."""
    if isinstance(data, (np.ndarray, tuple, dict)) or (hasattr(data, "shape") and hasattr(data, "__getitem__")):
        return ArrayBatches(data, batch_size, shuffle, drop_last, seed)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        source = IterableBatches(data)
        if source.once and steps is None and epochs != 1:
            raise DataError(
                f"{USED_UP}: give epochs=1 or steps=, or what begins anew each time that it is iterated (a list, an object with "
                "__iter__)"
            )
        return source
    if callable(data):
        if steps is None:
            raise ArgumentError("data is a function of the step and has no end: give steps=")
        return FunctionBatches(data)
    raise ArgumentError(
        f"data is {type(data).__name__}; give an array, a tuple or dict of arrays, an iterable of batches, or a function from the "
        "step to a batch"
    )
