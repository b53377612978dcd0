"""All guesses in order: what was seen directly first, then what explains every number, then what explains most."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..evidence import Evidence, Part
from ..functions.function import Function
from ..numeric import STEP
from ..suspects import Suspect, merged
from . import constants, entrywise, rearranged, sums, terms, values


def diagnose(
    function: Function, evidence: Evidence, given: np.ndarray, weights: np.ndarray | None, alone: list[Suspect]
) -> list[Suspect]:
    """Of a gradient that is off, suspects, the likeliest first. alone: entries of large arguments that are known to be the only
    ones off."""
    bad = evidence.bad_parts
    if not bad:
        return []
    broken = values.nonfinite(function, evidence)
    if broken:
        return broken
    stepped = [p.leaf.name for p in bad if (p.state[p.off] == STEP).any()]
    if stepped:
        words = "the function is constant but for jumps, so its derivative is zero where it has one"
        return [Suspect("step-function", words, tuple(stepped))]
    moved = rearranged.exchanged(evidence.parts)
    if moved:
        return moved
    sizes = extents(function)
    explained = {p.number: _whole(p, sizes) for p in bad}
    if all(explained.values()):
        found = [s for group in explained.values() for s in group]
        if all(s.code == "zero" for s in found):
            found += values.cancellation(function, evidence, given, weights)
        return merged(found)
    lost = values.cancellation(function, evidence, given, weights)
    if lost:
        return lost
    through = terms.paths(function, evidence)
    points = {leaf.name: function.point[leaf.entries].reshape(leaf.shape) for leaf in function.leaves}
    found = list(through)
    one = evidence.wrong_rows == 1 and function.size * function.outputs > 1
    for p in bad:
        own = explained[p.number]
        if not own and not through:
            own = terms.penalties(p, function, points[p.leaf.name], points)
        if not own and through:
            continue
        own = own or entrywise.zeros(p) or _combined(p, sizes)
        single = entrywise.single(p, one) or [s for s in alone if p.leaf.name in s.leaves]
        if single and [s.code for s in own] == ["zero"]:
            own = single + own
        own = (
            own
            or single
            or entrywise.factor_of_some(p)
            or sums.wrong_axes(p, points[p.leaf.name])
            or terms.unexplained(p)
        )
        found += own
    if through:
        for p in bad:
            found += entrywise.single(p, one) or [s for s in alone if p.leaf.name in s.leaves]
    return merged(found)


def _whole(part: Part, sizes: set[int]) -> list[Suspect]:
    """What makes all of a leaf's gradient right, or is exact."""
    if not np.any(part.given):
        return entrywise.zeros(part)
    moved = rearranged.within(part) if int(part.off.sum()) > 1 or part.given.size == 1 else []
    constant = constants.factors(part, sizes)
    if moved and moved[0].code == "sign":
        return [moved[0], *(s for s in constant if s.code != "sign")]
    return moved + constant


def _combined(part: Part, sizes: set[int]) -> list[Suspect]:
    """Numbers in wrong places, and a factor besides."""
    for code, words, undone in rearranged.candidates(part.given):
        if code == "sign":
            continue
        ratio = constants.fitted(part, undone)
        factor = constants.named(part, undone, 1 / ratio, sizes, (part.leaf.name,)) if ratio else []
        if factor:
            return [Suspect(code, words, (part.leaf.name,)), *factor]
    return []


def extents(function: Function) -> set[int]:
    """Numbers that a sum may have been divided by: extents of arguments, outputs, arrays that the function closes over."""
    shapes = [leaf.shape for leaf in function.leaves] + list(function.out_shapes)
    shapes += [tuple(v.shape) for v in _held(function)]
    found = {n for shape in shapes for n in (*shape, math.prod(shape))}
    return {n for n in found if n > 1}


def _held(function: Function) -> Iterable[Any]:
    """Arrays among the arguments that are not differentiated by, and what the function closes over."""
    arguments = getattr(function, "arguments", None)
    originals = getattr(arguments, "originals", ())
    yield from (v for v in originals if _is_array(v))
    f = getattr(function, "fun", None)
    f = getattr(f, "__func__", f)
    for cell in getattr(f, "__closure__", None) or ():
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        if _is_array(value):
            yield value
    code = getattr(f, "__code__", None)
    for name in code.co_names if code is not None else ():
        value = getattr(f, "__globals__", {}).get(name)
        if _is_array(value):
            yield value


def _is_array(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")
