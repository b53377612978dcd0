"""A user's own operation: one record, and every engine and machine knows it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import OpError
from ..ops import COSTS, TABLE, Op
from . import functions
from .functions import RULES, elementwise, publish
from .node import Expr, variable

#: a kernel takes at most so many
KERNEL_ARGUMENTS = 3


def register_op(
    name: str,
    *,
    numpy: Callable | None = None,
    lower: Callable | None = None,
    partials: Callable | None = None,
    replace: bool = False,
    **fields: Any,
) -> Callable[..., Any]:
    """Register an elementwise operation and return its function, also `dk.<name>` and a name in text.

    numpy:    the operation on arrays. Left out where `lower` is given.
    lower:    ``lambda o, x, …: …``, the operation written with others (`o.exp(x)`, `+ - * /`). It is what the cpu and cuda machines
              run, and what derivatives, SymPy form and NumPy function come from where they are not given.
    partials: ``lambda o, out, x, …: (∂/∂x, …)`` in inputs and output, where a better formula than `lower`'s is known.
    Others:   any field of `diffkit.ops.Op`: sympy, domain, intervals, kinks, selects, cost, aliases, doc, ...

        dk.register_op("swish", lower=lambda o, x: x * o.sigmoid(x))
        dk.grad("swish(x)")(x=1.0)

    Raises OpError where the record is incomplete, does not run on symbols, or clashes with another name.
    """
    if not name.isidentifier():
        raise OpError(f"an operation's name is an identifier, not {name!r}")
    if lower is None and numpy is None:
        raise OpError(f"{name}: give lower= (the operation written with others) or numpy= (a function on arrays)")
    if lower is None and partials is None and "jvp" not in fields:
        raise OpError(f"{name}: give partials=, or lower= from which derivatives can be made")
    _check_name(name, replace)
    _check_fields(name, fields)
    fields.setdefault("arity", _arity(name, lower, numpy, fields.get("params", {})))
    fields.setdefault("doc", f"{name} (registered)")
    numpy = numpy or _numpy_from(lower)  # type: ignore[arg-type]
    op = Op(name=name, numpy=numpy, lower=lower, partials=partials, **fields)
    if op.kernel is not None and (not callable(op.kernel) or (op.arity or 0) > KERNEL_ARGUMENTS):
        raise OpError(
            f"{name}: kernel is a function (k, x, …) of at most {KERNEL_ARGUMENTS} arguments; lower= may have more"
        )
    _try(op)
    if name in TABLE:
        _forget(name)
    try:
        TABLE.add(op)
    except KeyError as clash:
        raise OpError(str(clash.args[0])) from None
    publish(op)
    return elementwise(op)


def public_names() -> frozenset[str]:
    """Names of the package itself, which an operation may not take."""
    import diffkit

    return frozenset(diffkit._PLACES) | {"tape", "compare", "explain"}


def _check_name(name: str, replace: bool) -> None:
    if name in TABLE:
        if TABLE[name].name != name:
            raise OpError(f"an operation named {name!r} exists already: it is another name of {TABLE[name].name!r}")
        if not replace:
            raise OpError(f"an operation named {name!r} exists already; replace=True takes its place")
    elif (
        hasattr(functions, name) and not getattr(getattr(functions, name), "elementwise", False)
    ) or name in public_names():
        raise OpError(f"{name!r} is a name of diffkit's own; choose another")


def _check_fields(name: str, fields: dict[str, Any]) -> None:
    known = {f.name for f in dataclasses.fields(Op)}
    for field in fields:
        if field not in known:
            raise OpError(f"{name}: a record has no field {field!r}; it has {', '.join(sorted(known))}")
    if fields.get("family", "elementwise") != "elementwise":
        raise OpError(f"{name}: family {fields['family']!r} cannot be registered, only elementwise operations")
    if fields.get("cost", "elementary") not in COSTS:
        raise OpError(f"{name}: cost is one of {', '.join(COSTS)}, not {fields['cost']!r}")


def _arity(name: str, lower: Callable | None, numpy: Callable | None, params: Any) -> int:
    """From the rule's own signature: `lower` has the namespace first."""
    rule, leading = (lower, 1) if lower is not None else (numpy, 0)
    if isinstance(rule, np.ufunc):
        return rule.nin
    try:
        parameters = inspect.signature(rule).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise OpError(f"{name}: state arity=, the number of arguments") from None
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in params
    ]
    return len(positional) - leading


def _numpy_from(lower: Callable) -> Callable:
    """The composition evaluated with NumPy."""

    def function(*args: Any, **params: Any) -> Any:
        with np.errstate(all="ignore"):
            return lower(RULES, *(np.asarray(a) if not isinstance(a, np.ndarray) else a for a in args), **params)

    return function


def _try(op: Op) -> None:
    """Run the rules once on symbols, so that a slip shows here and not in the middle of a sweep."""
    args = [variable(f"x{i}", uid=-1) for i in range(op.arity or 0)]
    for what, rule in (("lower", op.lower), ("partials", op.partials)):
        if rule is None:
            continue
        try:
            written = (
                rule(RULES, *args, **op.params)
                if what == "lower"
                else rule(RULES, variable("out", uid=-1), *args, **op.params)
            )
        except Exception as problem:
            raise OpError(f"{op.name}: {what} fails on symbols: {type(problem).__name__}: {problem}") from problem
        if what == "lower" and not isinstance(written, (Expr, int, float)):
            raise OpError(f"{op.name}: lower must return one expression, not {type(written).__name__}")
        if what == "partials" and (not isinstance(written, (tuple, list)) or len(written) != op.arity):
            raise OpError(f"{op.name}: partials must return a tuple of {op.arity}, one partial an argument")


def _forget(name: str) -> None:
    from ..tape.templates import forget

    forget(TABLE[name])
    TABLE.remove(name)
