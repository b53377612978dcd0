"""When a run goes wrong: the state that it goes back to, and what is to blame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import optree

from ...expr.trace import flatten, is_traced, names_of
from ...machines.resident import is_on_device
from .flat import Flat

#: bytes that a step may copy, on average: little beside a gradient, and it stays in a processor's cache
COPIED = 2**19
#: the most steps between two copies
KEPT = 64
#: examples that are told by number
TOLD = 8


def state_leaves(state: Any) -> tuple[list[Any], Any]:
    """The arrays and numbers of an optimiser's state, and its structure."""
    return optree.tree_flatten(state, none_is_leaf=True, namespace="diffkit")


class LastGood:
    """A copy of parameters and the optimiser's state at a step whose loss and gradient were finite.

    Of up to `COPIED` bytes one is made every step, of n times as much every n steps, `KEPT` at most.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self._items: list[Any] = []
        self._structure: Any = None
        self._params = 0
        self._every = 1

    def due(self, step: int) -> bool:
        return self.step is None or step - self.step >= self._every

    def keep(self, step: int, params: Iterable[np.ndarray], state: Any) -> None:
        arrays = list(params)
        items, self._structure = state_leaves(state)
        sources = [*arrays, *items]
        held = self._items if len(self._items) == len(sources) else [None] * len(sources)
        self._items = [_copied_over(old, new) for old, new in zip(held, sources, strict=True)]
        if self.step is None:
            total = sum(item.nbytes for item in self._items if isinstance(item, np.ndarray))
            self._every = min(KEPT, max(1, -(-total // COPIED)))
        self.step, self._params = step, len(arrays)

    def restored(self, params: Iterable[np.ndarray]) -> Any:
        """Write the parameters back, and give the state."""
        for target, source in zip(params, self._items[: self._params], strict=True):
            target[...] = source
        return optree.tree_unflatten(self._structure, self._items[self._params :])


def _copied_over(old: Any, new: Any) -> Any:
    if not isinstance(new, np.ndarray):
        return new
    if isinstance(old, np.ndarray) and (old.shape, old.dtype) == (new.shape, new.dtype):
        np.copyto(old, new)
        return old
    return new.copy()


# ---- what is to blame -----------------------------------------------------------------------------------------------
def nonfinite_data(batch: Any, rows: np.ndarray | None) -> str | None:
    """Which leaf of a batch is not finite, and in which example: "data[0] has a NaN in example 17"."""
    for name, leaf in _arrays(batch, rows):
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            place = np.unravel_index(int(np.argmin(np.isfinite(leaf))), leaf.shape)
            what = "a NaN" if np.isnan(leaf[place]) else "an infinity"
            return f"{name} has {what}" + (f" in {_example(int(place[0]), rows)}" if place else "")
    return None


def largest_gradient(gradients: Flat, names: Sequence[str]) -> str:
    """Where the largest entry of the gradient is: "params.w (1.2e+200)"."""
    largest = [float(np.abs(g).max(initial=0.0)) for g in gradients.leaves]
    k = int(np.argmax(largest))
    return f"{names[k]} ({largest[k]:.3g})"


def batch_told(batch: Any, rows: np.ndarray | None) -> Iterator[str]:
    """What helps to find an example that a loss cannot do with: the rows, and what integers lie between."""
    if rows is not None:
        more = f", … ({len(rows)} in all)" if len(rows) > TOLD else ""
        yield f"Its batch has the examples {', '.join(str(int(r)) for r in rows[:TOLD])}{more} of data."
    for name, leaf in _arrays(batch, rows):
        if leaf.dtype.kind in "iu" and leaf.size and leaf.ndim:
            low, high = (np.unravel_index(int(at), leaf.shape) for at in (np.argmin(leaf), np.argmax(leaf)))
            ends = [f"{leaf[at]} ({_example(int(at[0]), rows)})" for at in (low, high)]
            yield f"{name} has integers from {ends[0]} to {ends[1]}."


def _arrays(batch: Any, rows: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a batch by name: of `data` where it is rows of that."""
    names = names_of(batch, "batch" if rows is None else "data")
    for name, leaf in zip(names, flatten(batch)[0], strict=True):
        if is_traced(leaf) and not is_on_device(leaf):
            yield name, np.asarray(leaf)


def _example(k: int, rows: np.ndarray | None) -> str:
    return f"example {k} of the batch" if rows is None else f"example {int(rows[k])}"
