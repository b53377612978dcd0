"""Mistakes in some entries only: one alone, zeros, a factor on a few."""

from __future__ import annotations

import numpy as np

from ..evidence import Part
from ..suspects import Suspect


def zeros(part: Part) -> list[Suspect]:
    """Exact zeros wherever the gradient is off."""
    off = part.off & part.known
    if not part.whole:
        off = off[: part.single]
    own = part.own[: len(off)]
    if not off.any() or (own[off] != 0).any():
        return []
    all_zero = not np.any(part.given)
    words = (
        "the gradient is exactly zero" if all_zero else f"{int(off.sum())} entries are exactly zero that should not be"
    )
    return [Suspect("zero", f"{words}: a detached path", (part.leaf.name,))]


def single(part: Part, alone: bool) -> list[Suspect]:
    """alone: there are other entries, and all of them are right."""
    wrong = part.wrong
    if wrong is None or not alone or int(wrong.sum()) != 1:
        return []
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{part.leaf.name}[{', '.join(map(str, at))}]" if at else part.leaf.name
    expected = part.expected[int(np.flatnonzero(part.off)[0])]
    words = f"only the entry {place} is wrong: {part.given[at]:.6g} instead of {expected:.6g}"
    return [Suspect("single-entry", words, (part.leaf.name,))]


#: constants that a few entries may be off by
FEW = {2.0: "2", 0.5: "1/2", -1.0: "-1"}


def factor_of_some(part: Part) -> list[Suspect]:
    """One factor on all entries that are off, of which there are several."""
    wrong, target = part.wrong, part.target
    if wrong is None or target is None or not 2 <= int(wrong.sum()) < wrong.size:
        return []
    theirs, ours = part.given[wrong], target[wrong]
    bound = part.tolerance.reshape(wrong.shape)[wrong]
    with np.errstate(all="ignore"):
        ratio = float(np.median(theirs / ours))
        if not np.isfinite(ratio) or ratio in (0.0, 1.0):
            return []
        for constant, text in {**FEW, ratio: f"{ratio:.6g}"}.items():
            same = np.abs(theirs - constant * ours) <= 3 * bound * max(1.0, abs(constant))
            if same.all() and (constant in FEW or wrong.sum() >= 4):
                some = f"{int(wrong.sum())} of {wrong.size} entries{_which(wrong)}"
                if constant == -1.0:
                    return [Suspect("sign", f"{some} have the wrong sign", (part.leaf.name,))]
                return [Suspect("factor", f"{some} are {text} times the right ones", (part.leaf.name,))]
    return []


def _which(wrong: np.ndarray) -> str:
    if wrong.ndim == 2 and wrong.shape[0] == wrong.shape[1]:
        diagonal = np.eye(len(wrong), dtype=bool)
        if (wrong == diagonal).all():
            return " (the diagonal)"
        if (wrong == ~diagonal).all():
            return " (all but the diagonal)"
    for axis in range(wrong.ndim):
        others = tuple(a for a in range(wrong.ndim) if a != axis)
        line = wrong.any(axis=others)
        if line.sum() == 1 and wrong.ndim > 1 and wrong.sum() == wrong.size // wrong.shape[axis]:
            return f" (index {int(np.argmax(line))} of axis {axis})"
    return ""
