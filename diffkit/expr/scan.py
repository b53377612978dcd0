"""Loops and calls that stay one operation: `scan`, `cond`, `checkpoint`.

Their functions are traced once, on symbols of their own. What they close over comes in as further arguments: the largest parts
of the expressions they make that do not depend on those symbols are computed outside, once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import optree

from ..errors import ArgumentError, DtypeError, Place, ShapeError, TracingError
from ..ops import CONSTANT, TABLE, VARIABLE
from ..ops.loops import pieces_of_call, pieces_of_scan, unpacked
from .calling import called
from .collector import paused
from .functions import RULES, apply
from .kind import WEAK, constant_value
from .node import Expr, make, topological, variable
from .operands import as_expr, whole_number
from .printing import shorten
from .trace import going_on, is_leaf, uids

if TYPE_CHECKING:
    from ..tape.body import Body

_F = TypeVar("_F", bound=Callable[..., Any])


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    checkpoints: int | None = None,
) -> tuple[Any, Any]:
    """A loop that stays one operation: `step(carry, x) -> (carry, y)` for every x of `xs`; gives (last carry, ys).

    `carry`, `xs` and what `step` returns are nests (dicts, lists, tuples, None) of arrays and numbers. Every array of `xs` has
    the steps along its first core axis; so do `ys`. Without `xs` give `length`, and x is None. The carry keeps its structure,
    shapes and dtypes (a Python number takes the dtype that the step gives it: `i + 1` of an int stays an integer). With
    `reverse` the loop starts at the last x.

    The step is traced once, however many steps there are. Reverse mode keeps of every step what its reversal needs; with
    `checkpoints=k` it keeps k carries, the first one among them, and runs steps again, as few as that allows (binomial
    checkpointing). `xs`, `ys` and their adjoints are whole in memory in any case, and so is memory for all
    carries where a reversal is itself reversed: a Hessian goes forward over reverse, and needs it not.

    Raises ShapeError, DtypeError or ArgumentError, naming the leaf, where lengths differ or the carry changes.
    """
    if not callable(step) or isinstance(step, Expr):
        raise ArgumentError(f"scan: the step is a function step(carry, x) -> (carry, y), not {_words(step)}")
    steps, rows, xs_structure = _rows(xs, length)
    started, carry_structure = _leaves(carry)
    given = [as_expr(c) for c in started]
    names = _names(carry, "carry")
    rows_given = [as_expr(x) for x in rows]
    dtypes, floats = _starting_dtypes(started, given, rows_given)
    with paused():
        for _ in range(len(dtypes) + 2):  # a weak number's dtype is what the step makes of it: it may take another look
            inputs = [
                *_symbols("carry", [(c.shape, d) for c, d in zip(given, dtypes, strict=True)]),
                *_symbols("x", [(x.shape[1:], x.dtype) for x in rows_given]),
            ]
            ends, ys, ys_structure = _stepped(step, inputs, carry_structure, xs_structure)
            weak = [floats if d == "int64" else d for d in dtypes]
            made = [e.kind.dtype if e.kind.dtype != WEAK else w for e, w in zip(ends, weak, strict=True)]
            settled = [m if c.kind.dtype == WEAK else d for m, d, c in zip(made, dtypes, given, strict=True)]
            if settled == dtypes:
                break
            dtypes = settled
        ends = [_kept(e, c.shape, d, n) for e, c, d, n in zip(ends, given, dtypes, names, strict=True)]
        body, constants = closed([*ends, *ys], inputs)
    args = [*(_as_dtype(c, d) for c, d in zip(given, dtypes, strict=True)), *rows_given, *constants]
    params = {
        "body": body, "carries": len(ends), "xs": len(rows), "length": steps, "reverse": bool(reverse),
        "checkpoints": _checkpoints(checkpoints),
    }  # fmt: skip
    numeric = not constants and not any(isinstance(leaf, Expr) for leaf in (*started, *rows))
    found = _applied("scan", args, params, body, pieces_of_scan(**params), numeric)
    return (
        optree.tree_unflatten(carry_structure, found[: len(ends)]),
        optree.tree_unflatten(ys_structure, found[len(ends) :]),
    )


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """`true_fun(*operands)` where `pred` is true, else `false_fun(*operands)`; nests of arrays of one structure.

    On a traced `pred` (a scalar; at every point of loop dims its own) **both** functions are computed, and `where` chooses. A
    NaN or infinity in the branch not taken touches neither the value nor the derivative. Python ints in both branches make an
    integer (an index). A `pred` that is known calls one of them.
    """
    if not isinstance(pred, Expr):
        if np.shape(pred) != ():
            raise ShapeError(
                f"cond: the condition has shape {np.shape(pred)}; it must be a scalar (where chooses by element)"
            )
        return (true_fun if pred else false_fun)(*operands)
    if pred.shape != ():
        raise ShapeError(
            f"cond: the condition has core shape {pred.shape}; it must be a scalar (dk.where chooses by element)"
        )
    chosen = pred if pred.dtype == "bool" else make(TABLE["not_equal"], (pred, as_expr(0)))
    for branch in (true_fun, false_fun):
        if not callable(branch) or isinstance(branch, Expr):
            raise ArgumentError(
                f"cond: a branch is a function, such as lambda: x, not {_words(branch)}; dk.where chooses between values"
            )
    how = f"cond calls both branches with {len(operands)} operand{'s' * (len(operands) != 1)}"
    one, other = (called(branch, operands, how=how) for branch in (true_fun, false_fun))
    (yes, structure), (no, other_structure) = _leaves(one), _leaves(other)
    if structure != other_structure:
        raise ArgumentError(
            f"cond: the branches must be structured alike; one returns {_words(one)}, the other {_words(other)}"
        )
    found = []
    for a, b, name in zip(yes, no, _names(one, "result"), strict=True):
        x, y = (
            whole_number(v) if a.__class__ is b.__class__ is int else _returned(v, f)
            for v, f in ((a, true_fun), (b, false_fun))
        )
        if x.shape != y.shape:
            raise ShapeError(
                f"cond: {name} has core shape {x.shape} in one branch and {y.shape} in the other; np.broadcast_to makes them alike"
            )
        found.append(RULES.where(chosen, a if x.kind.dtype == WEAK else x, b if y.kind.dtype == WEAK else y))
    return optree.tree_unflatten(structure, found)


def stop_gradient(x: Any) -> Any:
    """x, taken for a constant by every derivative; of a nest every leaf."""
    op = TABLE["stop_gradient"]
    return optree.tree_map(lambda leaf: apply(op, (leaf,), {}), x, is_leaf=is_leaf)


def checkpoint(f: _F) -> _F:
    """`f`, computed again in reverse mode instead of keeping what it computes inside. Also as a decorator.

    Arguments and results are nests; expressions among the arguments (and those that `f` closes over) are kept, all between them and
    the results is not. What `f` makes of numbers alone, without any expression among its arguments, is computed as it is.

    It pays where `f` makes much more than it is given and returns. A chain of elementwise work is run block by block on the cpu
    machine and keeps little as it is: there it costs.
    """

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = _leaves((args, kwargs))
        traced = [leaf for leaf in leaves if isinstance(leaf, Expr)]
        if not traced:
            return f(*args, **kwargs)
        given = [_as_dtype(t, t.dtype) for t in traced]
        inputs = _symbols("x", [(t.shape, t.dtype) for t in given])
        with paused(), going_on(inputs):
            symbols = iter(inputs)
            inner = [next(symbols) if isinstance(leaf, Expr) else leaf for leaf in leaves]
            positional, named = cast("tuple[tuple, dict]", optree.tree_unflatten(structure, inner))
            results, result_structure = _leaves(called(f, positional, named))
            body, constants = closed([_returned(r, f) for r in results], inputs)
        found = _applied("call", [*given, *constants], {"body": body}, body, pieces_of_call(body), False)
        return optree.tree_unflatten(result_structure, found)

    return call  # type: ignore[return-value]


# ---- nests --------------------------------------------------------------------------------------------------------
def _leaves(tree: Any) -> tuple[list[Any], Any]:
    """The leaves and the structure; None is an empty nest."""
    leaves, structure = optree.tree_flatten(tree, is_leaf=is_leaf)
    return list(leaves), structure


def _names(tree: Any, prefix: str) -> list[str]:
    """`carry`, `carry.h`, `carry[0]`."""
    paths, _, _ = optree.tree_flatten_with_path(tree, is_leaf=is_leaf)
    return [prefix + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path) for path in paths]


def _words(tree: Any) -> str:
    """A nest in words: `an array`, `(array, {'a': array})`, `None`; what is no array or number by its type."""

    def leaf(value: Any) -> str:
        return "array" if isinstance(value, (Expr, np.ndarray, float, int, np.generic)) else type(value).__name__

    leaves, structure = _leaves(tree)
    if structure.is_leaf():
        return f"{'an' if leaf(tree)[0] in 'aeiou' else 'a'} {leaf(tree)}"
    text, parts = str(structure).removeprefix("PyTreeSpec(").removesuffix(")"), map(leaf, leaves)
    return shorten(re.sub(r"\*", lambda found: next(parts, "…"), text), 120)


def _rows(xs: Any, length: int | None) -> tuple[int, list[Any], Any]:
    """The number of steps, and the leaves of xs."""
    rows, structure = _leaves(xs)
    lengths = {}
    for x, name in zip(rows, _names(xs, "xs"), strict=True):
        shape = as_expr(x).shape
        if not shape:
            raise ShapeError(f"scan: {name} is a scalar; every array of xs has the steps along its first core axis")
        lengths[name] = shape[0]
    if length is not None:
        try:
            length = operator.index(length)
        except TypeError:
            raise ArgumentError(f"scan: length is a whole number, not {length!r}") from None
        if length < 0:
            raise ArgumentError(f"scan: length is {length}; it cannot be negative")
        lengths["length"] = length
    if not lengths:
        raise ArgumentError(
            "scan: how many steps? Give xs, whose arrays have the steps along their first axis, or length="
        )
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name}: {n}" for name, n in lengths.items())
        raise ShapeError(
            f"scan: the number of steps is not clear ({shown}); arrays of xs have it along their first core axis"
        )
    return next(iter(lengths.values())), rows, structure


def _checkpoints(checkpoints: int | None) -> int:
    if checkpoints is None:
        return 0
    try:
        count = operator.index(checkpoints)
    except TypeError:
        count = 0
    if count < 1 or isinstance(checkpoints, bool):
        raise ArgumentError(f"scan: checkpoints is the number of carries to keep, at least 1, not {checkpoints!r}")
    return count


def _starting_dtypes(started: Sequence[Any], carry: Sequence[Expr], rows: Sequence[Expr]) -> tuple[list[str], str]:
    """What the carry is tried with, and the dtype of the floats beside it, which a Python number in the carry takes.

    A Python int is tried as an integer, but among float32: times an integer they would be float64.
    """
    beside = {e.kind.dtype for e in (*carry, *rows)} & {"float32", "float64"}
    floats = "float32" if beside == {"float32"} else "float64"
    tried = ["int64" if leaf.__class__ is int and "float32" not in beside else floats for leaf in started]
    return [t if c.kind.dtype == WEAK else c.kind.dtype for t, c in zip(tried, carry, strict=True)], floats


def _symbols(name: str, signature: Sequence[tuple[tuple[int, ...], str]]) -> list[Expr]:
    uid = next(uids)
    return [variable(f"{name}{k}", shape, dtype, uid) for k, (shape, dtype) in enumerate(signature)]


def _returned(leaf: Any, function: Callable) -> Expr:
    try:
        return as_expr(leaf)
    except (DtypeError, TypeError, ValueError):
        raise TracingError(
            f"{getattr(function, '__name__', 'the function')} returned a {type(leaf).__name__}; it must return numbers, arrays or "
            "nests of them",
            where=Place.definition(function),
        ) from None


def _stepped(
    step: Callable, inputs: list[Expr], carry_structure: Any, xs_structure: Any
) -> tuple[list[Expr], list[Expr], Any]:
    """The new carry, y and y's structure, of one step on symbols."""
    carries = carry_structure.num_leaves
    carry = optree.tree_unflatten(carry_structure, inputs[:carries])
    with going_on(inputs):
        x = optree.tree_unflatten(xs_structure, inputs[carries:])
        result = called(step, (carry, x), how="scan calls its step with two arguments, step(carry, x)")
    where = Place.definition(step)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise ArgumentError(
            f"scan: the step must return a pair (carry, y), where y may be None; it returns {_words(result)}",
            where=where,
        )
    ends, structure = _leaves(result[0])
    if structure != carry_structure:
        raise ArgumentError(
            f"scan: the step must return a carry of the structure that it gets; it gets {_words(carry)} and returns "
            f"{_words(result[0])}",
            where=where,
        )
    ys, ys_structure = _leaves(result[1])
    return [_returned(e, step) for e in ends], [_returned(y, step) for y in ys], ys_structure


def _kept(end: Expr, shape: tuple[int, ...], dtype: str, name: str) -> Expr:
    """The new value of a leaf of the carry, if it has the old one's shape and dtype."""
    if end.shape != shape:
        raise ShapeError(
            f"scan: the step turns {name} of core shape {shape} into core shape {end.shape}; a carry keeps its shape: begin with "
            "an array of the shape it ends with (np.broadcast_to)"
        )
    if end.kind.dtype == WEAK:
        return _as_dtype(end, dtype)
    if end.kind.dtype != dtype:
        raise DtypeError(
            f"scan: the step turns {name} of dtype {dtype} into dtype {end.kind.dtype}; a carry keeps its dtype: begin with a "
            f"{end.kind.dtype}, or end the step with dk.cast(…, dtype={dtype!r})"
        )
    return end


def _as_dtype(x: Expr, dtype: str) -> Expr:
    return x if x.kind.dtype == dtype else RULES.cast(x, dtype=dtype)


# ---- bodies -------------------------------------------------------------------------------------------------------
def closed(outputs: Sequence[Expr], inputs: Sequence[Expr]) -> tuple[Body, list[Expr]]:
    """The body that computes `outputs` from `inputs`, and what it closes over, which are further arguments."""
    from ..tape import Builder
    from ..tape.body import Body

    order = topological(*outputs)
    own = set(inputs)
    inside: set[Expr] = set()
    varying: set[Expr] = set()
    for n in order:
        if n in own or any(a in inside for a in n.args):
            inside.add(n)
        if n.kind.op is VARIABLE or any(a in varying for a in n.args):
            varying.add(n)
    builder = Builder()
    place = {v: builder.leaf(v.kind) for v in inputs}
    used = [a for n in order if n in inside for a in n.args] + list(outputs)
    constants = list(dict.fromkeys(a for a in used if a in varying and a not in inside))
    for k, c in enumerate(constants):
        place[c] = builder.input(f"constant{k}", c.shape, c.dtype, next(uids))
    taken = list(place.values())
    for n in order:
        if n not in place and (n in inside or n not in varying):
            place[n] = builder.again(n.kind, tuple([place[a] for a in n.args])) if n.args else builder.leaf(n.kind)
    return Body.of(builder.finish(taken, [place[o] for o in outputs])), constants


def _applied(
    name: str, args: list[Expr], params: dict[str, Any], body: Body, shapes: list[tuple[int, ...]], numeric: bool
) -> list[Any]:
    """The pieces of the result, of the body's dtypes: arrays if `numeric`, else expressions."""
    if not args:  # something has to say that there is one lane
        args = [as_expr(np.zeros(()))]
        tape = body.tape
        params["body"] = body = _with_input(tape)
    if all(a.dtype == "float32" for a in args) and any(dtype != "float32" for _, dtype in body.outputs):
        args[0] = _as_dtype(args[0], "float64")  # one vector holds all results
    if numeric and all(a.kind.op is CONSTANT or a.args for a in args):
        return _computed(name, args, params, body, shapes)
    flat = make(TABLE[name], tuple(args), params)
    pieces = unpacked(RULES, flat, shapes)
    return [_as_dtype(p, dtype) for p, (_, dtype) in zip(pieces, body.outputs, strict=True)]


def _with_input(tape: Any) -> Body:
    from ..tape import Builder
    from ..tape.body import Body

    builder = Builder.copy_of(tape)
    return Body.of(builder.finish((*tape.inputs, builder.input("nothing", (), "float64", next(uids))), tape.outputs))


def _computed(
    name: str, args: list[Expr], params: dict[str, Any], body: Body, shapes: list[tuple[int, ...]]
) -> list[Any]:
    values = [_number(a)[None] for a in args]
    flat = TABLE[name].numpy(*values, **params)[0]
    found, start = [], 0
    for shape, (_, dtype) in zip(shapes, body.outputs, strict=True):
        size = int(np.prod(shape))
        found.append(flat[start : start + size].reshape(shape).astype(dtype)[()])
        start += size
    return found


def _number(e: Expr) -> np.ndarray:
    """The value of a constant, or of a constant brought to another dtype."""
    return constant_value(e.kind) if not e.args else constant_value(e.args[0].kind).astype(e.dtype)
