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
    #: what data may have been meant to be, should the loss fail; ""
    hint: str

    @property
    def steps_per_epoch(self) -> int | None:
        """None: not known before a pass is over."""
        ...

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        """The batches of an epoch but for the first `skip`."""
        ...

    def rows(self, epoch: int, k: int) -> np.ndarray | None:
        """Which examples batch k of an epoch has; None: not known."""
        ...

    def example(self) -> Any:
        """A batch of the shapes of the first, where one can be had without taking it from the run; else None."""
        ...


class ArrayBatches:
    """Batches of a nest of arrays. shuffle: True, False or "replacement"."""

    hint = ""

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
        order = self._order(epoch)
        for k in range(skip, self.steps_per_epoch):
            if self.shuffle:
                yield self.examples.rows(self._rows(order, epoch, k))
            else:
                yield self.examples.between(*self._range(k))

    def rows(self, epoch: int, k: int) -> np.ndarray:
        return self._rows(self._order(epoch), epoch, k)

    def example(self) -> Any:
        return self.examples.between(*self._range(0))

    def _range(self, k: int) -> tuple[int, int]:
        return k * self.batch_size, min(self.examples.count, (k + 1) * self.batch_size)

    def _order(self, epoch: int) -> np.ndarray | None:
        """That of all examples in an epoch; None where they are drawn, or stay in order."""
        return generator(self.seed, SHUFFLE, epoch).permutation(self.examples.count) if self.shuffle is True else None

    def _rows(self, order: np.ndarray | None, epoch: int, k: int) -> np.ndarray:
        if order is not None:
            return order[slice(*self._range(k))]
        if self.shuffle:
            source = generator(self.seed, REPLACEMENT, epoch * self.steps_per_epoch + k)
            return source.integers(self.examples.count, size=self.batch_size)
        return np.arange(*self._range(k))


class IterableBatches:
    """An iterable of batches, one pass an epoch. Going on from a checkpoint passes over what was done before."""

    def __init__(self, data: Iterable[Any]) -> None:
        self.data, self.passes = data, 0
        self.once = iter(data) is data
        self.steps_per_epoch: int | None = len(data) if isinstance(data, Sized) else None
        self.settings = {"batches": self.steps_per_epoch}
        if self.steps_per_epoch == 0:
            raise DataError("data has no batches")
        self.hint = _list_hint(data)

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

    def rows(self, epoch: int, k: int) -> None:
        return None

    def example(self) -> Any:
        return self.data[0] if isinstance(self.data, (list, tuple)) else None


def _list_hint(data: Any) -> str:
    """What to say of a list of arrays with as many examples each, which may be (x, y). Raises ArgumentError where it must be."""
    if not isinstance(data, list) or len(data) < 2 or not all(isinstance(a, np.ndarray) and a.ndim for a in data):
        return ""
    if len({len(a) for a in data}) > 1:
        return ""
    hint = (
        f"a list is a list of batches, here {len(data)} of one array each; for arrays whose rows belong together give a tuple, "
        "(x, y)"
    )
    if len({(a.ndim, a.dtype.kind == "f") for a in data}) > 1:
        raise ArgumentError(f"data is a list of {len(data)} arrays that are not alike: {hint}")
    return f"data is a list of {len(data)} arrays: {hint}"


class FunctionBatches:
    """A function from the step to a batch: an epoch without end."""

    steps_per_epoch = None
    hint = ""

    def __init__(self, data: Callable[[int], Any]) -> None:
        self.data = data
        self.settings: dict[str, Any] = {"batches": "a function of the step"}

    def epoch(self, epoch: int, skip: int) -> Iterator[Any]:
        return map(self.data, count(skip))

    def rows(self, epoch: int, k: int) -> None:
        return None

    def example(self) -> None:
        return None


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
