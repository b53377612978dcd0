"""Gradients of a wrong shape or structure: what they would be right as."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..function import Function
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
        name, leaves = leaf.name, (leaf.name,)
        if array.size == expected[k].size and same(array.reshape(expected[k].shape), k, lambda e: e):
            return [Suspect("wrong-shape", f"{problem}; its numbers are right, reshape them", leaves)]
        others = [j for j in range(len(given)) if j != k and same(array, j, lambda e: e)]
        if others:
            other = function.leaves[others[0]].name
            return [
                Suspect("permuted", f"the gradient at {name} is that by {other}: they are in another order", leaves),
                plain,
            ]
        if expected[k].ndim > 1 and same(array, k, np.transpose):
            return [Suspect("transposed", "the gradient is transposed", leaves), plain]
        axes = range(expected[k].ndim)
        first = (lambda cause: [plain, cause]) if array.ndim == 0 else (lambda cause: [cause, plain])
        for a in axes:
            for b in range(a + 1, expected[k].ndim):
                if same(array, k, lambda e, a=a, b=b: np.swapaxes(e, a, b)):
                    return [Suspect("permuted", f"axes {a} and {b} of the gradient are exchanged", leaves), plain]
        for a in axes:
            for keep in (False, True):
                if same(array, k, lambda e, a=a, keep=keep: e.sum(a, keepdims=keep)):
                    return first(
                        Suspect("wrong-axis", f"the gradient is summed over axis {a}, though it should not be", leaves)
                    )
                if same(array, k, lambda e, a=a, keep=keep: e.mean(a, keepdims=keep)):
                    return first(
                        Suspect(
                            "wrong-axis", f"the gradient is averaged over axis {a}, though it should not be", leaves
                        )
                    )
        for a in range(array.ndim):
            if array.shape[:a] + array.shape[a + 1 :] == expected[k].shape and same(array.sum(a), k, lambda e: e):
                return [
                    Suspect(
                        "wrong-axis",
                        f"the gradient is not summed over axis {a}, over which the argument is broadcast",
                        leaves,
                    ),
                    plain,
                ]
    return [plain]
