"""ADBench's objectives (Srajer, Kukelova and Fitzgibbon 2018), which GradBench carries on: the field's standard
workloads.

`gmm`: the log posterior of a Gaussian mixture, a dense gradient. `ba`: bundle adjustment, a sparse Jacobian. `lstm`:
a recurrent network, a gradient through a loop. Each module holds the objective, written once over the array functions
of any tool (`array_peers.functions`), a reader of ADBench's files, a generator of inputs of any size, and what else
is known about the answer.

ADBench accepts |x − y| / max(1, |x| + |y|) ≤ 1e-8, which is absolute below 1: most of a small gradient could be zero
and pass. Here the 2-norm of the error of every parameter block must also be small relative to the block's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from diffkit.errors import DataError

from ..harness import Bench, Run, Table

#: of `block_error` and of `adbench_error`
BLOCK_TOLERANCE, ADBENCH_TOLERANCE = 1e-12, 1e-8


def block_error(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest |found − expected|₂ / |expected|₂ of a block; infinite for another shape, a NaN, or a number where
    all is zero.
    """
    if len(found) != len(expected):
        return math.inf
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a, float), np.asarray(b, float)
        if a.shape != b.shape:
            return math.inf
        # scaled, so that no square overflows or underflows
        scale = max(float(np.max(np.abs(v), initial=0.0)) for v in (a, b)) or 1.0
        with np.errstate(invalid="ignore"):
            off, size = float(np.linalg.norm((a - b) / scale)), float(np.linalg.norm(b / scale))
        error = 0.0 if off == 0 else math.inf if size == 0 or math.isnan(off) else off / size
        worst = max(worst, error)
    return worst


def adbench_error(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest |x − y| / max(1, |x| + |y|): ADBench's measure; infinite for another shape or a NaN."""
    if [np.shape(a) for a in found] != [np.shape(b) for b in expected]:
        return math.inf
    errors = [
        float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(a) + np.abs(b)), initial=0.0))
        for a, b in zip(map(np.asarray, found), map(np.asarray, expected), strict=True)
    ]
    return math.inf if any(map(math.isnan, errors)) else max(errors, default=0.0)


class Numbers:
    """The numbers of a file, taken from its beginning on. DataError where there are too few, too many, or something
    else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._words = self.path.read_text(encoding="utf-8").split()
        except OSError as problem:
            raise DataError(f"{self.path} cannot be read: {problem.strerror}") from None
        self._next = 0

    def take(self, *shape: int) -> np.ndarray:
        """So many float64 numbers in an array of this shape."""
        count = math.prod(shape)
        words = self._words[self._next : self._next + count]
        if len(words) < count:
            raise DataError(f"{self.path} ends after {len(self._words)} numbers; {self._next + count} are needed")
        self._next += count
        try:
            return np.array(words, dtype=float).reshape(shape)
        except ValueError as problem:
            raise DataError(f"{self.path}: {problem}") from None

    def sizes(self, count: int) -> list[int]:
        """So many whole numbers, none negative."""
        found = self.take(count)
        if not (np.isfinite(found).all() and (found >= 0).all() and (found == np.floor(found)).all()):
            raise DataError(f"{self.path}: {found.tolist()} are not {count} sizes")
        return [int(v) for v in found]

    def end(self) -> None:
        if self._next != len(self._words):
            raise DataError(f"{self.path} has {len(self._words)} numbers; {self._next} are expected")


def claim_accuracy(
    bench: Bench, table: Table, name: str, what: str, run: Callable[[], Run], expected: Sequence[np.ndarray]
) -> None:
    """That the answer of a contestant that was measured meets both tolerances."""
    answer = None if table.figure(name) is None else [np.array(a) for a in run()()]
    for measure, limit, words in (
        (block_error, BLOCK_TOLERANCE, "|error|₂ ÷ |block|₂"),
        (adbench_error, ADBENCH_TOLERANCE, "ADBench's error"),
    ):
        bench.claim(f"{what}: {words}", None if answer is None else measure(answer, expected), limit)
