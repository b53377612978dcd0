"""What differentiates the bodies of loops and calls: the rule of such an operation needs the derivative of a whole tape.

A tangent is what forward mode makes of a tape, an adjoint what reverse mode does; `tape/body.py` is told here where to find
them. They load when first used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np

from ..expr.kind import Kind, constant_value
from ..ops import CONSTANT
from ..tape import Tape, templates
from ..tape.body import DIFFERENTIATORS
from ..tape.packed import LOOPS
from .rounding import evaluate_template


def _tangent(tape: Tape, wrt: Sequence[int]) -> Tape:
    from .forward import tangent_tape

    return tangent_tape(tape, wrt)


def _adjoint(tape: Tape, wrt: Sequence[int]) -> Tape:
    """An adjoint tape, guarded where partials may be infinite or NaN.

    What a body computes may be discarded outside, or by `where` in a later step: there its adjoint is exactly zero, and must not
    meet such a partial.
    """
    from .reverse import adjoint_tape

    return adjoint_tape(tape, wrt, guarded=any(_wild(tape, i) for i in tape.instructions()))


def _wild(tape: Tape, i: int) -> bool:
    """Whether a partial of an instruction is not finite somewhere at moderate arguments."""
    kind = tape.kinds[i]
    if kind.dtype in ("bool", "int64") or kind.op in LOOPS or not kind.op.differentiable:
        return False
    if kind.op.partials is None:
        return kind.op.family == "structured" and not kind.op.analytic
    arguments = tuple(tape.kinds[a] for a in tape.args[i])
    return _unbounded(kind, tuple(a if a.op is CONSTANT and a.shape == () else None for a in arguments), arguments)


@cache
def _unbounded(kind: Kind, constants: tuple[Kind | None, ...], arguments: tuple[Kind, ...]) -> bool:
    probes = [
        (True, False)
        if a.dtype == "bool"
        else (float(constant_value(c)),)
        if c is not None
        else (0.0, 0.5, 1.0, 1e3, -0.5, -1.0, -1e3)
        for a, c in zip(arguments, constants, strict=True)
    ]
    columns = [np.array(column) for column in zip(*product(*probes), strict=True)]
    with np.errstate(all="ignore"):
        out = np.asarray(kind.op.numpy(*columns, **kind.kwargs))
        found = evaluate_template(templates.partials(kind, arguments), [out, *columns])
    return not all(np.isfinite(p).all() for p in found if p is not None)


DIFFERENTIATORS.update(tangent=_tangent, adjoint=_adjoint)
