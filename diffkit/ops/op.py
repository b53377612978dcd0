"""The record of an operation, and the table of all of them.

One record is everything diffkit knows about an operation. Engines, machines, the text language, SymPy, costs,
documentation and the generated tests read it; none of them names an operation of its own. This package imports
nothing of diffkit, so a rule is handed what it needs:

* a *rule* (`partials`, `jvp`, `vjp`, `lower`, `selects`) is plain Python over a namespace `o` of operations:
  ``o.exp(x)``, and ``+ - * / **`` on the values. It is called once with symbolic values, and what it writes becomes
  an instruction template.
* `sympy` receives a namespace `s` of SymPy functions instead.
* `numpy` is the definition of the operation. For an elementwise one it is a ufunc-like function. For the others the
  arrays have exactly one leading lane axis (size 1 or the number of points) before the core axes, and axes
  in the parameters count from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What an operation costs, from cheap to dear; `tape.counts()` counts by these.
COSTS = ("move", "add", "mul", "compare", "div", "sqrt", "elementary", "special", "reduce", "matmul")

#: elementwise: one number in each argument gives one out, core shapes broadcast.
#: movement: every element of the result is an element of an argument (so the NumPy function, run on row numbers,
#: yields the table of moves). reduction: elements are folded along axes. linear: anything else that is linear in
#: its argument. structured: the rest. leaf: inputs and constants.
FAMILIES = ("elementwise", "movement", "reduction", "linear", "structured", "leaf")


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """One operation. Only `name`, `arity`, `numpy` and a derivative are needed; the rest refines."""

    name: str
    #: number of arguments; None for any number
    arity: int | None
    doc: str
    numpy: Callable[..., Any]
    family: str = "elementwise"
    cost: str = "elementary"
    #: other names under which text and `dk.` know it
    aliases: tuple[str, ...] = ()
    #: static parameters and their defaults (hashable values)
    params: Mapping[str, Any] = field(default_factory=dict)
    #: infix or prefix spelling in text, with its binding strength (see expr/printing.py)
    infix: tuple[str, int] | None = None

    #: core shape of the result from the core shapes of the arguments; None: they broadcast
    shape: Callable[..., tuple[int, ...]] | None = None
    #: "float", "bool", "int" (int64; like a condition it has no derivative), or "same" (what is moved keeps its dtype)
    result: str = "float"
    #: among integers it stays an integer: int64 where every number is (see expr/kind.py)
    integers: bool = False
    #: how many of its first arguments are conditions
    conditions: int = 0
    #: from this argument on they are int64 indices, which have no derivative; None: no argument is
    indices: int | None = None

    #: elementwise: (o, out, *args, **params) -> one partial an argument. A partial may be a Python number (0, 1
    #: and -1 cost nothing) or None (no derivative by this argument).
    partials: Callable[..., tuple] | None = None
    #: (o, tangents, out, *args, **params) -> tangent; a tangent is None where the argument does not vary
    jvp: Callable[..., Any] | None = None
    #: (o, adjoint, out, *args, **params) -> one contribution an argument, each of the argument's core shape.
    vjp: Callable[..., tuple] | None = None
    #: its derivative is decreed, and not that of its value: whoever has the value alone cannot know it
    detached: bool = False
    #: (o, *args) -> one mask an argument (None: always): the points at which the argument can influence the result.
    #: Where it cannot, nothing of its derivative is used, not even a NaN.
    selects: Callable[..., tuple] | None = None
    #: (o, *args, **params) -> the same value written with other operations, for machines that have no kernel of it
    lower: Callable[..., Any] | None = None
    #: (k, *args) -> the value, as compiled machines compute it (see ops/kernels); None: by `lower`, or by `numpy` alone
    kernel: Callable[..., Any] | None = None
    #: (args, params) -> (name, args, params) | None: another spelling, taken when an argument is a constant
    canonical: Callable[..., Any] | None = None
    #: (numpy arrays: out, *args, **params) -> magnitude M such that rounding here is at most 8·u·M; None: |out|
    magnitude: Callable[..., Any] | None = None

    #: (s, *args, **params) -> SymPy form; None: not expressible, the symbolic engine says `unsupported`
    sympy: Callable[..., Any] | None = None
    #: spelling in generated source by target ("numpy", "jax", "torch", "c"); a format string over {0}, {1}, ...
    #: and parameter names, or a function name. Missing: the name for numpy, jax and torch; `lower` elsewhere.
    spelling: Mapping[str, str] = field(default_factory=dict)

    #: where it is defined, in words, and an interval an argument for tests to draw from
    domain: str = "all reals"
    intervals: tuple[tuple[float, float], ...] = ()
    #: (o, *args, **params) -> quantities whose sign change is a kink or a jump of the result
    kinks: Callable[..., tuple] | None = None
    #: the convention at kinks, in words
    convention: str = ""
    #: complex-analytic, and NumPy's function takes complex numbers (complex step)
    analytic: bool = False

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple:
        return (get, (self.name,))

    @property
    def differentiable(self) -> bool:
        return self.result not in ("bool", "int") and any((self.partials, self.jvp, self.vjp))

    def bind(self, params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """The parameters with defaults filled in, as a hashable tuple sorted by name."""
        if not self.params and not params:
            return ()
        unknown = set(params) - set(self.params)
        if unknown:
            raise TypeError(f"{self.name}: unknown parameter {sorted(unknown)[0]!r}; it has {sorted(self.params) or 'none'}")
        exact = {k: float(v) if isinstance(self.params[k], float) and isinstance(v, int) else v for k, v in params.items()}
        return tuple(sorted({**self.params, **exact}.items()))


class Table(Mapping[str, Op]):
    """All operations by name; aliases resolve too. Iterates over the canonical names in order of registration."""

    def __init__(self) -> None:
        self._ops: dict[str, Op] = {}
        self._aliases: dict[str, str] = {}

    def add(self, op: Op) -> Op:
        for name in (op.name, *op.aliases):
            if name in self._ops or name in self._aliases:
                raise KeyError(f"an operation named {name!r} exists already")
        self._ops[op.name] = op
        self._aliases.update(dict.fromkeys(op.aliases, op.name))
        return op

    def remove(self, name: str) -> None:
        """Forget a user's operation (tests and notebooks redefine them)."""
        op = self._ops.pop(name)
        for alias in op.aliases:
            del self._aliases[alias]

    def __getitem__(self, name: str) -> Op:
        op = self._ops.get(name)
        return op if op is not None else self._ops[self._aliases[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._ops or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)


TABLE = Table()


def get(name: str) -> Op:
    return TABLE[name]


def define(name: str, arity: int | None, doc: str, numpy: Callable[..., Any], **fields: Any) -> Op:
    """Make a record and enter it in the table."""
    return TABLE.add(Op(name=name, arity=arity, doc=doc, numpy=numpy, **fields))
