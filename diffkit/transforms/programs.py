"""From a tape to a derivative program of first or second order, and what may be differentiated."""

from __future__ import annotations

from collections.abc import Sequence

from ..engines import Program
from ..engines import engine as find_engine
from ..engines.engine import gradient_only
from ..errors import DtypeError, ShapeError
from ..expr.node import Expr
from ..tape import Tape


def check_differentiable(variables: Sequence[Expr]) -> None:
    for v in variables:
        if v.dtype in ("int64", "bool"):
            raise DtypeError(
                f"{v.name!r} is {v.dtype}; a derivative needs a floating-point variable (write 3.0 rather than 3)"
            )


def check_scalar(shape: tuple[int, ...], what: str) -> None:
    if shape != ():
        raise ShapeError(
            f"grad needs a scalar result, but {what} has core shape {shape}; use jacobian, or reduce it, for example with .sum()"
        )


def make_program(tape: Tape, wrt: Sequence[int], engine: str, order: int) -> Program:
    """First or second derivatives of a tape's outputs."""
    if order == 1:
        return find_engine(engine).program(tape, wrt)
    if engine == "finite":
        from ..engines.finite import second_program

        return second_program(tape, wrt)
    first = gradient_only(find_engine(engine).program(tape, wrt))
    return find_engine("forward" if engine == "reverse" else engine).program(first, wrt)
