"""Which framework a function under check was written with."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optree

from ....errors import ArgumentError
from ....expr.node import Expr
from .arguments import Arguments
from .expressions import ExprFunction
from .function import Function
from .numpy_functions import NumpyFunction, own_kind


def function_of(fun: Any, at: Any, grad: Any = None, *, engine: str = "reverse") -> Function:
    """A function as the checker sees it, by what it is, else by what it is to be checked at, else by what a call gives back.

    fun:  an Expr or text; a torch.nn.Module, torch.autograd.Function or its `apply`; a function of JAX's (jit, custom_vjp,
          custom_jvp); any other callable; or a pair (fun, jac) as SciPy takes them.
    at:   a tuple is the positional arguments, a dict those by name, anything else the single argument.
    grad: a callable giving the gradient; True where fun returns (value, gradient); None for the framework's own.

    Neither torch nor JAX is imported where the user has not done so. Raises ArgumentError for what none of them is.
    """
    if isinstance(fun, (Expr, str)):
        if grad is True:
            raise ArgumentError(
                "grad=True is for a callable that returns (value, gradient); an expression has its value alone"
            )
        return ExprFunction(fun, at, grad, engine)
    if isinstance(fun, tuple):
        fun, grad = _pair(fun, grad)
    if grad is True:
        fun, grad = _part(fun, 0), _part(fun, 1)
    if not callable(fun):
        raise ArgumentError(
            f"a {type(fun).__name__} cannot be checked: give an expression, its text, a callable, or a pair (fun, jac) of callables"
        )
    if grad is not None and not callable(grad):
        raise ArgumentError(
            f"grad= is a {type(grad).__name__}; it is a callable that takes what {_name(fun)} takes, True where {_name(fun)} "
            "returns (value, gradient), or None for the framework's own gradient. For one given as numbers: grad=lambda *_: numbers"
        )
    made = _of_framework(fun, at)
    if made == "torch":
        from .torch_functions import TorchFunction

        return TorchFunction(fun, at, grad)
    if made == "jax":
        from .jax_functions import JaxFunction

        return JaxFunction(fun, at, grad)
    return NumpyFunction(fun, at, grad)


def _pair(pair: tuple, grad: Any) -> tuple[Any, Any]:
    if len(pair) != 2 or not all(map(callable, pair)):
        kinds = ", ".join(type(f).__name__ for f in pair)
        raise ArgumentError(f"a tuple of ({kinds}) cannot be checked: a pair is (fun, jac), two callables")
    if grad is not None:
        raise ArgumentError("the pair (fun, jac) brings its gradient with it: leave grad= out")
    return pair


def _part(fun: Any, k: int) -> Any:
    """The value (0) or the gradient (1) of a function that returns both."""
    if not callable(fun):
        return fun

    @functools.wraps(fun, updated=())
    def part(*args: Any, **kwargs: Any) -> Any:
        both = fun(*args, **kwargs)
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise ArgumentError(
                f"grad=True says that {_name(fun)} returns (value, gradient); it returned {type(both).__name__}"
            )
        return both[k]

    return part


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", type(fun).__name__)


# ---- by what it is, and by its arguments ----
def _of_framework(fun: Any, at: Any) -> str:
    """ "torch", "jax" or "numpy"."""
    loaded: list[str] = [name for name in ("torch", "jax") if name in sys.modules]
    if not loaded:
        return "numpy"
    for part in _unwrapped(fun):
        if "torch" in loaded and _is_torch(part):
            return "torch"
        if "jax" in loaded and _is_jax(part):
            return "jax"
    leaves = optree.tree_leaves(at, none_is_leaf=True)  # type: ignore[arg-type]
    if "jax" in loaded:  # its own nodes too, which optree knows nothing of
        leaves = sys.modules["jax"].tree_util.tree_leaves(leaves)
    found = {_leaf_of(leaf, loaded) for leaf in leaves} - {None}
    if len(found) > 1:
        raise ArgumentError(
            f"the arguments of {_name(fun)} are arrays of both torch and JAX; give those of one of them"
        )
    return found.pop() or "numpy" if found else _by_result(fun, at, loaded)


def _unwrapped(fun: Any) -> Iterator[Any]:
    """A function, and those that it stands for: of functools.partial, of torch.compile."""
    for _ in range(20):
        yield fun
        inner = fun.func if isinstance(fun, functools.partial) else getattr(fun, "_torchdynamo_orig_callable", None)
        if inner is None:
            return
        fun = inner


def _is_torch(fun: Any) -> bool:
    torch = sys.modules["torch"]
    owner = fun if isinstance(fun, type) else getattr(fun, "__self__", None)
    return (
        isinstance(fun, (torch.nn.Module, torch.jit.ScriptFunction))
        or (isinstance(owner, type) and issubclass(owner, torch.autograd.Function))
        or isinstance(owner, torch.nn.Module)
        or hasattr(fun, "_torchdynamo_orig_callable")
    )


def _is_jax(fun: Any) -> bool:
    jax = sys.modules["jax"]
    return isinstance(fun, (jax.custom_vjp, jax.custom_jvp, jax.stages.Wrapped))


def _leaf_of(leaf: Any, loaded: list[str]) -> str | None:
    if "torch" in loaded and isinstance(leaf, sys.modules["torch"].Tensor):
        return "torch"
    return "jax" if "jax" in loaded and isinstance(leaf, sys.modules["jax"].Array) else None


# ---- by a call ----
def _by_result(fun: Callable, at: Any, loaded: list[str]) -> str:
    """What a call with NumPy's arrays tells: torch's functions return tensors or ask for some, JAX's return its arrays.

    Of operators alone, a custom_vjp returns NumPy's arrays for them: it is known by being called.
    """
    if "jax" in loaded and any(map(_is_jax, _named(fun))):
        return "jax"
    try:
        arguments = Arguments(at, fun)
    except Exception:  # which the function's own class tells better
        return "numpy"
    try:
        with np.errstate(all="ignore"):
            result = arguments.call(fun, [np.array(a) for a in arguments.arrays], own_kind)
    except Exception as problem:
        return _of_problem(problem, loaded)
    leaves = optree.tree_leaves(result, none_is_leaf=True)
    if "jax" in loaded:
        leaves = sys.modules["jax"].tree_util.tree_leaves(leaves)
    found = {_leaf_of(leaf, loaded) for leaf in leaves} - {None}
    return found.pop() or "numpy" if found else "numpy"


def _named(fun: Any) -> Iterator[Any]:
    """What a function's code names: in its closure and globals."""
    code = getattr(fun, "__code__", None)
    if code is None:
        return
    for name in code.co_names:
        yield getattr(fun, "__globals__", {}).get(name)
    for cell in getattr(fun, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # not filled yet
            yield cell.cell_contents


def _of_problem(problem: BaseException, loaded: list[str]) -> str:
    """The framework that raised it: whose code it came from, or, of torch's built-in functions, what it asks for."""
    trace, modules = problem.__traceback__, []
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    last = next((m for m in reversed(modules) if m in loaded), "")
    if not last and "torch" in loaded and isinstance(problem, (TypeError, AttributeError)):
        asks = "Tensor" in str(problem) or _tensor_method(problem)
        last = "torch" if asks else ""
    return last or "numpy"


def _tensor_method(problem: BaseException) -> bool:
    """`'numpy.ndarray' object has no attribute 'exp'`, where a tensor has one."""
    name = getattr(problem, "name", None)
    owner = getattr(problem, "obj", None)
    return isinstance(owner, (np.ndarray, np.floating, float)) and hasattr(sys.modules["torch"].Tensor, name or "")
