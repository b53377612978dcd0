"""diffkit: write a function once, differentiate it four ways, and know which answer to trust.

Names are loaded when first used, so that importing diffkit costs little more than importing NumPy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: public name -> module that holds it
_PLACES = {
    "symbol": ".expr.symbols",
    "symbols": ".expr.symbols",
    "parse": ".expr.text",
    "from_sympy": ".expr.sympy_bridge",
    "trace": ".expr.trace",
    "Expr": ".expr.node",
    "constant": ".expr.node",
    "Dual": ".engines.forward",
    "Tape": ".tape",
    "load_tape": ".tape",
    "linalg": ".expr.functions",
    "register_op": ".expr.registration",
    "kinks": ".ops",
    "set_threads": ".machines.cpu.threads",
    **dict.fromkeys(
        ("derivative", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp", "vmap"), ".transforms"
    ),
    "trace_table": ".explain",
    "check_gradient": ".check",
    "check_op": ".check",
    "lint": ".check",
    **dict.fromkeys(
        (
            "DiffkitError", "ParseError", "ShapeError", "DtypeError", "ArgumentError", "TracingError", "UnsupportedError",
            "ExceededError", "OpError", "DataError", "NotFiniteError", "DivergedError", "CheckpointError",
        ),
        ".errors",
    ),
}  # fmt: skip


#: packages that are reached as attributes: dk.optim.Adam
_PACKAGES = ("data", "nn", "optim")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name in _PLACES:
        value = getattr(import_module(_PLACES[name], __name__), name)
    elif name.startswith("__"):
        raise AttributeError(name)
    else:
        if name not in _functions():
            raise AttributeError(f"diffkit has no name {name!r}")
        value = getattr(import_module(".expr.functions", __name__), name)
    globals()[name] = value
    return value


def _functions() -> set[str]:
    """Names of the functions on arrays and expressions, users' own operations among them."""
    from .expr.linalg import LINALG
    from .expr.publishing import COMPOSITIONS
    from .ops import TABLE

    elementwise = [n for op in TABLE.values() if op.family == "elementwise" for n in (op.name, *op.aliases)]
    return (
        {*elementwise, *COMPOSITIONS, *LINALG}
        | {"astype", "as_expr", "checkpoint", "cond", "scan"}
        | {"sum", "mean", "prod", "max", "min", "amax", "amin", "logsumexp", "matmul", "dot", "shape", "ndim", "size"}
        | {"reshape", "ravel", "transpose", "swapaxes", "moveaxis", "squeeze", "expand_dims", "broadcast_to"}
        | {"concatenate", "stack", "zeros_like", "ones_like", "empty_like", "mod", "conj", "trapz", "permute_dims"}
    )


def __dir__() -> list[str]:
    return sorted({*_PLACES, *_PACKAGES, *_functions(), "compare", "explain", "tape", "__doc__", "__version__"})


if TYPE_CHECKING:  # which takes them for the folders of these names
    compare: Any
    explain: Any
    tape: Any


class _Package(ModuleType):
    """`dk.tape`, `dk.compare` and `dk.explain` are functions, though folders of these names hold their code.

    Importing a submodule sets it as an attribute of its package; a property with a deaf setter keeps the function.
    """

    tape = property(lambda self: import_module(".transforms", __name__).tape, lambda self, module: None)
    compare = property(lambda self: import_module(".compare", __name__).compare, lambda self, module: None)
    explain = property(lambda self: import_module(".explain", __name__).explain, lambda self, module: None)


sys.modules[__name__].__class__ = _Package
