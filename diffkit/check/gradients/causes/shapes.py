"""Gradients of a wrong shape or structure: what they would be right as."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np

from ..functions.function import Function
from ..numeric import Estimates
from ..suspects import Suspect

#: agreement of numbers that is looked for, beside the bars
CLOSE = 1e-4


def of_other_shapes(
    function: Function, given: Sequence[np.ndarray | None], found: Estimates | None, problem: str
) -> list[Suspect]:
    """given: arrays that could be read; found: derivatives of every entry, where there are few enough."""
    plain = Suspect("wrong-shape", problem)
    if found is None or len(given) != len(function.leaves) or any(g is None for g in given):
        return [plain]
    rows = function.out_shape
    expected, bars = [], []
    for leaf in function.leaves:
        expected.append(found.value[leaf.entries].T.reshape((*rows, *leaf.shape)))
        bars.append(found.bar[leaf.entries].T.reshape((*rows, *leaf.shape)))

    def same(array: np.ndarray, k: int, change: Callable[[np.ndarray], np.ndarray]) -> bool:
        ours, bound = change(expected[k]), change(bars[k])
        if array.shape != ours.shape:
            return False
        with np.errstate(invalid="ignore"):
            return bool((np.abs(array - ours) <= bound + CLOSE * np.abs(ours).max(initial=0.0)).all())

    for k, (array, leaf) in enumerate(zip(given, function.leaves, strict=True)):
        assert array is not None
        if array.shape == expected[k].shape:
            continue
        leaves = (leaf.name,)
        if array.size == expected[k].size and same(array.reshape(expected[k].shape), k, np.asarray):
            return [Suspect("wrong-shape", f"{problem}; its numbers are right, reshape them", leaves)]
        other = next((j for j in range(len(given)) if j != k and same(array, j, np.asarray)), None)
        if other is not None:
            words = f"the gradient at {leaf.name} is that by {function.leaves[other].name}: they are in another order"
            return [Suspect("permuted", words, leaves), plain]
        for code, words, change in _changes(expected[k].ndim):
            if same(array, k, change):
                cause = Suspect(code, words, leaves)
                return [plain, cause] if array.ndim == 0 else [cause, plain]
        for axis in range(array.ndim):
            if same(array.sum(axis), k, np.asarray):
                words = f"the gradient is not summed over axis {axis}, over which the argument is broadcast"
                return [Suspect("wrong-axis", words, leaves), plain]
    return [plain]


def _changes(axes: int) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """(code, in words, what makes it of the right gradient)."""
    if axes > 1:
        yield "transposed", "the gradient is transposed", np.transpose
    for a, b in combinations(range(axes), 2):
        yield "permuted", f"axes {a} and {b} of the gradient are exchanged", partial(np.swapaxes, axis1=a, axis2=b)
    for a, keep in product(range(axes), (False, True)):
        words = "the gradient is {} over axis {}, though it should not be"
        yield "wrong-axis", words.format("summed", a), partial(np.sum, axis=a, keepdims=keep)
        yield "wrong-axis", words.format("averaged", a), partial(np.mean, axis=a, keepdims=keep)
