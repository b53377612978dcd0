"""Suspected causes of a wrong gradient, by a closed list of codes."""

from __future__ import annotations

from dataclasses import dataclass

#: what each means, in a few words
CODES = {
    "factor": "the gradient is a constant times the right one",
    "sign": "the gradient has the wrong sign",
    "transposed": "the gradient is transposed",
    "permuted": "axes, entries or whole gradients are in another order",
    "shifted": "the gradient is shifted along an axis",
    "missing-term": "a term of the gradient is missing",
    "extra-term": "the gradient has a term too many",
    "wrong-axis": "something is summed over the wrong axis, or not summed, or summed though it should not be",
    "mean-or-sum": "a sum where a mean was meant, or the reverse",
    "single-entry": "one entry alone is wrong",
    "zero": "the gradient is zero where it should not be: a detached path",
    "nan-origin": "the gradient, or the function, is not a number",
    "stale": "the gradient depends on what was called before: a cache or buffer that is not renewed",
    "nondeterministic": "two calls at one point give different results",
    "in-place": "an argument is written into",
    "kink": "the function has a kink at this point",
    "step-function": "the function is constant but for jumps",
    "overflow": "something overflowed on the way",
    "cancellation": "digits are lost in a difference of nearly equal numbers",
    "wrong-shape": "the gradient has another shape or structure than the arguments",
    "dropout-active": "dropout is active",
}


@dataclass(frozen=True)
class Suspect:
    """A cause that explains what was seen. `str()` is a sentence; `code` is one of CODES."""

    code: str
    message: str
    #: names of the arguments whose gradient it explains; empty: all
    leaves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"no such code: {self.code}")

    def __str__(self) -> str:
        return self.message


def merged(found: list[Suspect]) -> list[Suspect]:
    """Each said once: the same sentence about several arguments names them together."""
    kept: dict[tuple[str, str], Suspect] = {}
    for s in found:
        key = (s.code, s.message)
        if key in kept:
            leaves = dict.fromkeys([*kept[key].leaves, *s.leaves])
            kept[key] = Suspect(s.code, s.message, tuple(leaves))
        else:
            kept[key] = s
    return list(kept.values())
