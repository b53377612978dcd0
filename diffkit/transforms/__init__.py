"""Transforms: grad, value_and_grad, jacobian, hessian, jvp, vjp, hvp, vmap.

A transform takes an expression or text (`by_name.ExprCall`: arguments by name, loop dims, results as dicts by name) or a Python
function (`by_position.PythonCall`: arguments by position, nested structures, whole arrays). Both come down to a tape and the
positions of the inputs to differentiate by; an engine makes the program, a machine runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..engines import check_engine
from ..engines.engine import derivative_tape
from ..errors import ArgumentError
from ..expr.functions import broadcast_to
from ..expr.node import Expr, constant
from ..machines import check_machine
from ..machines.resident import is_on_device
from ..tape import Tape, expressions, record
from .arguments import bind_names, expression_of, is_text_or_expr, run_value
from .by_name import ExprCall
from .by_position import PythonCall
from .device import Placed, apply
from .mapping import Mapped, moved_first

__all__ = [
    "derivative",
    "evaluate",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "tape",
    "value_and_grad",
    "vjp",
    "vmap",
]


def evaluate(f: Expr, /, *args: Any, **kwargs: Any) -> Any:
    """The value of an expression; what `f(...)` calls. ``machine="numpy"`` runs it elsewhere than on the cpu machine."""
    machine = "cpu" if "machine" in f.variables else kwargs.pop("machine", "cpu")
    return run_value(f, args, kwargs, machine)


def _transform(
    f: Any, argnums: Any, wrt: Any, engine: Any, machine: Any, order: int, scalar: bool, value: bool, reduce: str | None
) -> Any:
    check_engine(engine)  # an unknown name is an error now, not at the first call
    check_machine(machine)
    options = {"engine": engine, "machine": machine, "order": order, "scalar": scalar, "value": value, "reduce": reduce}
    if isinstance(f, ExprCall):
        f = f.expression()  # the gradient of a gradient, still called by name
    if is_text_or_expr(f):
        if argnums is not None:
            raise ArgumentError("argnums belongs to Python functions; an expression is differentiated by name: wrt='x'")
        return ExprCall(expression_of(f), wrt, **options)
    if not callable(f):
        raise ArgumentError(f"a function, an expression or text is needed, not {type(f).__name__}")
    if wrt is not None:
        raise ArgumentError(
            "wrt belongs to expressions and text; a Python function is differentiated by position: argnums=0"
        )
    if reduce is not None:
        raise ArgumentError("reduce= is for expressions with loop dims; in a Python function write the sum")
    return PythonCall(f, 0 if argnums is None else argnums, **options)


def grad(
    f: Any,
    argnums: int | Sequence[int] | None = None,
    *,
    wrt: Any = None,
    engine: str = "reverse",
    machine: str = "cpu",
    reduce: str | None = None,
) -> Callable[..., Any]:
    """The gradient of a function with a scalar (core) result.

    Expression or text: ``grad("sin(x)*y")(x=0.3, y=2.0)`` is ``{"x": …, "y": …}``; `wrt` names one variable (the result is then
    one array) or several. Each result has the broadcast loop dims in front of the variable's core shape; nothing is
    summed over loop dims, unless ``reduce="sum"``, which sums over the loop dims that a variable was given without.
    Python function: by position (`argnums`, default 0), results structured like the arguments.

    Raises ShapeError for a result that is not scalar, DtypeError for an integer or boolean variable, UnsupportedError
    where the engine cannot do it, always with the reason.
    """
    return _transform(f, argnums, wrt, engine, machine, 1, True, False, reduce)


def value_and_grad(
    f: Any,
    argnums: int | Sequence[int] | None = None,
    *,
    wrt: Any = None,
    engine: str = "reverse",
    machine: str = "cpu",
    reduce: str | None = None,
) -> Callable[..., Any]:
    """As `grad`, giving (value, gradient)."""
    return _transform(f, argnums, wrt, engine, machine, 1, True, True, reduce)


def jacobian(
    f: Any,
    argnums: int | Sequence[int] | None = None,
    *,
    wrt: Any = None,
    engine: str | None = None,
    machine: str = "cpu",
    sparse: bool = False,
) -> Callable[..., Any]:
    """The derivative of every output element by every input element: loop dims, output core shape, input core shape.

    engine: by default forward or reverse, chosen by the shapes; the callable's `mode` says which.
    sparse: the callable gives a `scipy.sparse.csr_array` instead, of all outputs' elements by all inputs' elements
    (`transforms.sparse.SparseCall` says in which order), from as few directions as a colouring of its pattern allows: columns
    together in forward mode, or rows in reverse, whichever are fewer, unless `engine` names one. Pattern,
    colouring and tapes are made at the first call, or by ``.prepare(*arguments)``, and reused; ``.pattern``, ``.colours``,
    ``.lower_bound``, ``.mode`` and ``.colouring`` say what was found. ``out=`` takes a matrix of an earlier call. At one point: no
    loop dims. Raises ExceededError where a pattern has more than 200,000,000 entries.
    """
    if sparse:
        return _sparse(f, argnums, wrt, engine, machine, 1)
    return _transform(f, argnums, wrt, engine, machine, 1, False, False, None)


def hessian(
    f: Any,
    argnums: int | Sequence[int] | None = None,
    *,
    wrt: Any = None,
    engine: str = "reverse",
    machine: str = "cpu",
    sparse: bool = False,
) -> Callable[..., Any]:
    """Second derivatives of a scalar function: ``hessian("x**2*y")(x=1., y=2.)["x"]["y"]``.

    engine "reverse" goes forward over reverse; "forward" and "symbolic" apply themselves twice.
    sparse: as for `jacobian`; the Hessian, symmetric to the bit, has its two triangles share directions by a star colouring.
    """
    if sparse:
        return _sparse(f, argnums, wrt, engine, machine, 2)
    return _transform(f, argnums, wrt, engine, machine, 2, True, False, None)


def _sparse(f: Any, argnums: Any, wrt: Any, engine: Any, machine: Any, order: int) -> Callable[..., Any]:
    from .sparse import SparseExprCall, SparsePythonCall

    call = _transform(f, argnums, wrt, engine, machine, order, order == 2, False, None)
    return SparseExprCall(call) if isinstance(call, ExprCall) else SparsePythonCall(call)


# ---- products with vectors ------------------------------------------------------------------------------------------
def jvp(f: Any, primals: Any, tangents: Any, *, machine: str = "cpu") -> tuple[Any, Any]:
    """(f(primals), J · tangents) in one forward pass.

    Python function: `primals` and `tangents` are tuples of positional arguments. Expression: dicts by name (variables
    without a tangent are held fixed).
    """
    if is_text_or_expr(f):
        return ExprCall(expression_of(f), None, machine=machine).jvp(
            _by_name(primals, "primals"), _by_name(tangents, "tangents")
        )
    return PythonCall(f, 0, machine=machine).jvp(_positional(primals, "primals"), _positional(tangents, "tangents"))


def vjp(f: Any, *primals: Any, machine: str = "cpu") -> tuple[Any, Callable[[Any], Any]]:
    """(f(primals), pullback): pullback(cotangent) is cotangent · J.

    The cotangent has the output's full shape, results have the primals' shapes (so they are summed over dims that were broadcast).
    Python function: a tuple of results, one an argument. Expression: one dict of primals, a dict of results.
    """
    if is_text_or_expr(f):
        if len(primals) != 1:
            raise ArgumentError('vjp of an expression takes one dict of primals: vjp(f, {"x": 1.0, …})')
        return ExprCall(expression_of(f), None, machine=machine).vjp(_by_name(primals[0], "primals"))
    return PythonCall(f, 0, machine=machine).vjp(primals)


def hvp(f: Any, primals: Any, tangents: Any, *, machine: str = "cpu") -> Any:
    """The Hessian of a scalar function times a vector, without forming the Hessian (forward over reverse)."""
    if is_text_or_expr(f):
        return ExprCall(expression_of(f), None, machine=machine).hvp(
            _by_name(primals, "primals"), _by_name(tangents, "tangents")
        )
    return PythonCall(f, 0, machine=machine).hvp(_positional(primals, "primals"), _positional(tangents, "tangents"))


def _by_name(values: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ArgumentError(f"{what} of an expression are a dict by name, not {type(values).__name__}")
    return values


def _positional(values: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(values, (tuple, list)):
        raise ArgumentError(
            f"{what} of a Python function are a tuple of its positional arguments, not {type(values).__name__}"
        )
    return tuple(values)


def vmap(f: Callable, in_axes: Any = 0, out_axes: Any = 0, *, machine: str = "cpu") -> Callable[..., Any]:
    """`f` mapped over an axis of its arguments: on numbers the axis becomes a loop dim of the tape, within a trace a core axis.

    in_axes: an axis for all arguments, or one an argument (None: not mapped), or a nest of axes for an argument.
    out_axes: where the results have it: an axis for all, or a nest as the result (an expression has one axis).
    """
    if is_text_or_expr(f):
        return _mapped_expression(expression_of(f), in_axes, out_axes, machine)
    if not callable(f):
        raise ArgumentError(f"a function, an expression or text is needed, not {type(f).__name__}")
    return Mapped(f, in_axes, out_axes, machine=machine)


def _mapped_expression(f: Expr, in_axes: Any, out_axes: Any, machine: str) -> Callable[..., Any]:
    """An expression takes loop dims as it is: the mapped axes become the first."""
    if not isinstance(out_axes, int):
        raise ArgumentError(f"vmap: out_axes of an expression is one axis, not {out_axes!r}")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        given = bind_names(f.variables, args, kwargs)
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(given)
        if len(axes) != len(given):
            raise ArgumentError(f"vmap: in_axes has {len(axes)} entries for {len(given)} variables")
        moved = {
            n: given[n] if ax is None else moved_first(given[n], ax) for n, ax in zip(f.variables, axes, strict=True)
        }
        result = run_value(f, (moved,), {}, machine)
        if out_axes == 0:
            return result
        if is_on_device(result):
            return apply(machine, Placed(True, out_axes, len(result)), result)[0]
        return np.moveaxis(result, 0, out_axes)

    return mapped


# ---- expressions and tapes of derivatives -----------------------------------------------------------------------------
def derivative(f: Any, wrt: str | Expr, engine: str = "reverse") -> Expr:
    """The derivative of a scalar expression by one variable, as an expression (of the variable's core shape).

    By a variable (an Expr) that the expression does not have it is 0; a name that it does not have is an ArgumentError.
    """
    f = expression_of(f)
    if isinstance(wrt, Expr) and wrt.name not in f.variables:
        return broadcast_to(constant(0.0), wrt.shape)
    call = ExprCall(f, wrt if isinstance(wrt, str) else wrt.name, engine=engine, order=1, scalar=True)
    made = derivative_tape(call.program())
    return expressions(made)[1].reshape(made.kinds[made.outputs[1]].shape)


def tape(f: Any, wrt: Any = None, engine: str | None = None) -> Tape:
    """The tape of an expression's value, or (with `wrt` or `engine`) of its value and derivative by an engine."""
    f = expression_of(f)
    if wrt is None and engine is None:
        return record(f)
    return ExprCall(f, wrt, engine=engine or "reverse", order=1, scalar=False).program().tape
