"""Binomial checkpointing: which steps of a loop to run again, so that it can be reversed in memory for few carries.

With s checkpoints, *the carry before the first step among them*, the steps run again to reverse a loop of l steps are at
least t(l, s) = r·l − C(s+r, r−1), where r is the least number with C(s+r, s) ≥ l, and `actions` needs exactly so many
(Griewank, *Optim. Methods Softw.* 1 (1992); Griewank and Walther, Algorithm 799, *ACM TOMS* 26 (2000)). The step that is being
reversed is evaluated within its own reversal and not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

#: what to do: run steps `first` to `last` − 1; keep the carry before step `first`; go back to the last one kept (which is
#: that before `first`); reverse step `first`; forget the last carry kept
ADVANCE, KEEP, RETURN, REVERSE, FORGET = range(5)
#: (what, first, last)
Action = tuple[int, int, int]


def repetitions(length: int, checkpoints: int) -> int:
    """r, the most often that any step is run again: the least r with C(checkpoints + r, checkpoints) ≥ length."""
    if length <= 1:
        return 0
    low, high = 0, 1
    while comb(checkpoints + high, checkpoints) < length:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if comb(checkpoints + middle, checkpoints) >= length else (middle, high)
    return high


def recomputed(length: int, checkpoints: int) -> int:
    """The number of steps that `actions` runs again: r·l − C(s+r, r−1)."""
    r = repetitions(length, checkpoints)
    return r * length - comb(checkpoints + r, r - 1) if r else 0


def split(length: int, checkpoints: int) -> int:
    """How many steps to run before the next carry is kept, of `length` to be reversed with `checkpoints` (at least 2).

    The upper end of the interval of optimal choices in Griewank and Walther (2000), section 3.
    """
    r = repetitions(length, checkpoints)
    return min(comb(checkpoints + r - 1, checkpoints), length - comb(checkpoints + r - 2, checkpoints - 1))


def actions(length: int, checkpoints: int) -> Iterator[Action]:
    """What to do, in order, to reverse steps `length` − 1 to 0; begins with the carry before step 0 at hand.

    At most `checkpoints` (≥ 1) carries are kept at any time. Made one by one, in memory for `checkpoints` numbers.
    """
    if length == 0:
        return
    kept, end, at = [0], length, 0
    yield KEEP, 0, 0
    while True:
        base = kept[-1]
        if at != base:
            yield RETURN, base, base
        while end - base > 1 and len(kept) < checkpoints:
            start, base = base, base + split(end - base, checkpoints - len(kept) + 1)
            yield ADVANCE, start, base
            yield KEEP, base, base
            kept.append(base)
        at = end = end - 1
        if end > base:
            yield ADVANCE, base, end
        yield REVERSE, end, end
        at = -1  # the carry at hand is used up
        if end == base:
            yield FORGET, base, base
            kept.pop()
            if not kept:
                return
