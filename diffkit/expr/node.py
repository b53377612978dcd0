"""Expr: an immutable, hash-consed node of a directed acyclic graph.

A node is a `Kind` (operation, parameters, core shape, dtype) and its arguments. Nodes with the same kind and the
same arguments are the same object, so common subexpressions are shared from birth and equality is identity.
`==` between expressions is, like `<`, an elementwise comparison; use `is` to ask whether two expressions are the same.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError, TracingError
from ..ops import CONSTANT, TABLE, VARIABLE, Op
from .kind import DTYPES, WEAK, Kind, infer, intern_kind
from .unknown import Unknown

#: more elements than these are not made an array of expressions, one node each
LARGEST_ARRAY = 1024


class Expr(Unknown):
    """An expression. Build it with `dk.symbols`, `dk.parse`, operators and functions; evaluate it by calling it.

    `f(x=1.0, y=2.0)`, `f(1.0, 2.0)` (in the order of `f.variables`) or `f({"x": 1.0, "y": 2.0})`. Every argument may
    carry leading loop dims, which broadcast; the result is an array of loop dims followed by the core shape.
    """

    __slots__ = ("__weakref__", "args", "kind")
    kind: Kind
    args: tuple[Expr, ...]

    # ---- what it is ----
    @property
    def op(self) -> Op:
        return self.kind.op

    @property
    def params(self) -> Mapping[str, Any]:
        return MappingProxyType(self.kind.kwargs)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.kind.shape

    @property
    def dtype(self) -> str:
        return "float64" if self.kind.dtype == WEAK else self.kind.dtype

    @property
    def ndim(self) -> int:
        return len(self.kind.shape)

    @property
    def size(self) -> int:
        n = 1
        for k in self.kind.shape:
            n *= k
        return n

    @property
    def name(self) -> Any:
        """A variable's name; None for any other node."""
        return self.kind.kwargs["name"] if self.kind.op is VARIABLE else None

    @property
    def number(self) -> float | None:
        """A constant scalar's value; None for any other node."""
        value = self.kind.kwargs.get("value") if self.kind.op is CONSTANT else None
        return value if isinstance(value, (int, float)) else None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in order of first appearance: the order of positional arguments."""
        return tuple(v.name for v in free_variables(self))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an expression cannot be changed; build another one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an expression cannot be changed; build another one")

    def __reduce__(self) -> tuple:
        order = topological(self)
        place = {id(n): i for i, n in enumerate(order)}
        return (
            _rebuild,
            ([(n.kind.op.name, n.kind.params, n.shape, n.kind.dtype, [place[id(a)] for a in n.args]) for n in order],),
        )

    def __copy__(self) -> Expr:
        return self

    def __deepcopy__(self, memo: dict) -> Expr:
        return self

    def __repr__(self) -> str:
        from .printing import brief

        return f"Expr({brief(self)})"

    def __str__(self) -> str:
        from .printing import to_text

        return to_text(self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.to_latex()}$"

    # ---- other forms ----
    def to_text(self) -> str:
        """The expression as text that `dk.parse` reads back to the same object (scalar, float64)."""
        from .printing import to_text

        return to_text(self)

    def to_latex(self) -> str:
        """LaTeX of the expression as it was written (no simplification)."""
        from .latex import to_latex

        return to_latex(self)

    def to_sympy(self) -> Any:
        """The expression in SymPy's own functions, with real symbols. An array becomes a SymPy array."""
        from .sympy_bridge import to_sympy

        return to_sympy(self)

    def to_source(self, target: str = "numpy", name: str = "f") -> str:
        """Runnable source of the function: target "numpy", "jax", "torch" or "c"."""
        from .source import to_source

        return to_source(self, target, name)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        from ..transforms import evaluate  # the one upward reference: calling an expression means running it

        return evaluate(self, *args, **kwargs)

    # ---- array protocol ----
    def __len__(self) -> int:
        if not self.shape:
            raise TracingError("a scalar expression has no length, and no elements to loop over or to unpack")
        return self.shape[0]

    def __iter__(self) -> Iterator[Expr]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Expr:
        from . import functions

        return functions.getitem(self, index)

    @property
    def T(self) -> Expr:
        from . import functions

        return functions.transpose(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """An array of the elements, as expressions: what `np.array([x, y])` is made of."""
        if dtype is not None and np.dtype(dtype) != object:
            raise self._no_number(
                f"An array of {np.dtype(dtype)}",
                "Leave np.asarray and the dtype out, and write nothing into arrays of numbers: NumPy's functions and dk's take "
                "expressions as they are, np.stack and np.concatenate join them, and dk.where, dk.scatter_add, dk.cond and dk.scan "
                "do the rest.",
            )
        if self.size > LARGEST_ARRAY:
            raise TracingError(
                f"np.array and np.asarray would take {self.size:,} elements of an expression of core shape {self.shape} apart. "
                "Leave them out: NumPy's functions and dk's take expressions as they are, np.stack and np.concatenate join "
                "them, dk.scan goes along an axis, dk.where and dk.cond choose."
            )
        array = np.empty(self.shape, dtype=object)
        for position in np.ndindex(self.shape):
            array[position] = self[position] if position else self
        return array

    __array_priority__ = 1000
    __hash__ = object.__hash__

    if TYPE_CHECKING:  # operators and methods are set in functions.py, from the op table

        def _binary(self, other: Any) -> Expr: ...
        def _unary(self) -> Expr: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _binary
        __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __lt__ = __le__ = __gt__ = __ge__ = __and__ = __or__ = _binary
        __neg__ = __pos__ = __invert__ = __abs__ = _unary


# ---- making nodes ----
class _Ref(weakref.ref):
    """A weak reference to a node, which knows the node's key (weakref.KeyedRef, in half the time)."""

    __slots__ = ("key",)
    key: tuple


_nodes: dict[tuple, _Ref] = {}
_keep = _nodes.setdefault  # one step, which no other thread comes between
#: the key of a reference that is not, or no longer, in the table
_NOWHERE = ()
_replacing = threading.RLock()


def _forget(ref: Any, pop: Any = _nodes.pop) -> None:
    pop(ref.key, None)  # one step too: read and popped without a chance for another thread


def _take_away(ref: _Ref, key: tuple) -> None:
    """Of a node that died, before its own thread came to do so: that thread is told to leave the key alone."""
    with _replacing:
        ref.key = _NOWHERE
        if _nodes.get(key) is ref:
            _nodes.pop(key, None)


_new = object.__new__
_set_kind, _set_args = Expr.__dict__["kind"].__set__, Expr.__dict__["args"].__set__


def node(kind: Kind, args: tuple[Expr, ...]) -> Expr:
    """The one node of this kind with these arguments."""
    count = len(args)
    number = kind.number  # a key of numbers alone is nothing that the garbage collector looks at
    key: tuple = (
        (number, id(args[0]), id(args[1]))
        if count == 2
        else (number, id(args[0]))
        if count == 1
        else (number, *[id(a) for a in args])
    )
    ref = _nodes.get(key)
    if ref is not None:
        found = ref()
        if found is not None:
            return found
    new = _new(Expr)
    _set_kind(new, kind)
    _set_args(new, args)
    fresh = _Ref(new, _forget)
    fresh.key = key
    while (ref := _keep(key, fresh)) is not fresh:  # another thread was faster, or that node is just dying
        found = ref()
        if found is not None:
            fresh.key = _NOWHERE
            return found
        _take_away(ref, key)
    return new


def _rebuild(rows: list[tuple]) -> Expr:
    """Unpickling: the nodes in topological order, made again."""
    made: list[Expr] = []
    for name, params, shape, dtype, args in rows:
        made.append(node(intern_kind(TABLE[name], params, shape, dtype), tuple(made[i] for i in args)))
    return made[-1]


_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})
#: (operation, signatures of its arguments) -> kind, where an operation is applied without parameters and spelled as it is
_plain: dict[tuple, Kind] = {}
#: (operation, signature, constants) -> kind, where these constants as further arguments make it another operation of the first
_respelled: dict[tuple, Kind] = {}


def make(op: Op, args: tuple[Expr, ...], params: Mapping[str, Any] = _NO_PARAMETERS, *, canonical: bool = True) -> Expr:
    """`op` applied to expressions; takes the operation's canonical spelling where it has one."""
    if params or not canonical:
        return _make(op, args, params, canonical)
    if len(args) == 2:
        x, y = args
        key: tuple = (op, x.kind.signature, y.kind.signature)
    elif len(args) == 1:
        key = (op, args[0].kind.signature)
    else:
        key = (op, *[a.kind.signature for a in args])
    kind = _plain.get(key)
    if kind is not None:
        return node(kind, args)
    if op.canonical is not None and any(a.kind.op is CONSTANT for a in args):
        return _canonical(op, args)
    made = _make(op, args, params, canonical)
    _plain[key] = made.kind
    return made


def _canonical(op: Op, args: tuple[Expr, ...]) -> Expr:
    """With constants among the arguments, which may make another operation of it."""
    key = (op, args[0].kind.signature, *[a.kind for a in args[1:]])
    kind = _respelled.get(key)
    if kind is not None:
        return node(kind, args[:1])
    made = _make(op, args, _NO_PARAMETERS, True)
    if made.args == args[:1] and all(a.kind.op is CONSTANT for a in args[1:]):
        _respelled[key] = made.kind
    return made


def _make(op: Op, args: tuple[Expr, ...], params: Mapping[str, Any], canonical: bool) -> Expr:
    if op.arity is not None and len(args) != op.arity:
        raise ArgumentError(f"{op.name} takes {op.arity} argument{'s' * (op.arity != 1)}, {len(args)} given")
    if canonical and op.canonical is not None:
        spelling = op.canonical(args, params)
        if spelling is not None:
            return _respell(op, *spelling)
    try:
        bound = op.bind(params)
    except TypeError as problem:
        raise ArgumentError(str(problem)) from None
    try:
        return node(infer(op, bound, tuple([a.kind for a in args])), args)
    except ShapeError as problem:
        raise _misfit(op, args, problem) from None


def _misfit(op: Op, args: tuple[Expr, ...], problem: ShapeError) -> ShapeError:
    """What did not fit, in terms of what the user wrote."""
    from .printing import brief

    operands = ", ".join(brief(a, 60) for a in args[:4]) + (", …" if len(args) > 4 else "")
    if op.shape is not None:
        return ShapeError(f"{problem.args[0]}. The operands are {operands}")
    shapes = " and ".join(str(a.shape) for a in args)
    rank = max(a.ndim for a in args)
    for axis in range(-1, -rank - 1, -1):
        lengths = [a.shape[axis] for a in args if a.ndim >= -axis]
        if len({n for n in lengths if n != 1}) > 1:
            break
    return ShapeError(
        f"{op.name}: core shapes {shapes} do not fit: axis {axis} has lengths {' and '.join(map(str, lengths))}. Axes are matched "
        f"from the last one and only a length of 1 is stretched: x[:, None] adds an axis, x.T and x.reshape(…) rearrange them. "
        f"The operands are {operands}"
    )


def _respell(op: Op, name: str, args: tuple[Expr, ...], params: dict[str, Any]) -> Expr:
    if name == "negated constant":
        number = args[0].number
        if number is None or isinstance(number, bool):
            return make(op, args, params, canonical=False)
        return constant_like(-number, args[0])
    return make(TABLE[name], args, params)


def constant_like(value: float, like: Expr) -> Expr:
    return node(intern_kind(CONSTANT, (("value", value),), (), like.kind.dtype), ())


#: numbers of Python -> their kinds
_numbers: dict[Any, Kind] = {}


def constant(value: Any) -> Expr:
    """A constant from a number or an array. Python numbers are weak: they take on the other operand's dtype."""
    if isinstance(value, Expr):
        return value
    if value.__class__ in (float, int) and value:  # not 0: it has two signs
        kind = _numbers.get(value)
        if kind is not None:
            return node(kind, ())
    if isinstance(value, (bool, np.bool_)):
        return node(intern_kind(CONSTANT, (("value", bool(value)),), (), "bool"), ())
    if isinstance(value, Real) and not isinstance(value, np.generic):
        try:
            number = float(value)
        except OverflowError:
            raise DtypeError(f"the integer {str(value)[:20]}… is too large for float64") from None
        kind = intern_kind(CONSTANT, (("value", number),), (), WEAK)
        if value.__class__ in (float, int):
            _numbers[value] = kind
        return node(kind, ())
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind not in "fiub":
        raise DtypeError(f"a {type(value).__name__} (dtype {array.dtype}) cannot enter an expression; use real numbers")
    dtype = {"b": "bool", "i": "int64", "u": "int64"}.get(array.dtype.kind) or (
        "float32" if array.dtype.itemsize < 8 else "float64"
    )
    array = np.asarray(array, dtype=dtype, order="C")
    if array.shape == ():
        return node(intern_kind(CONSTANT, (("value", array.item()),), (), dtype), ())
    packed = ("array", array.shape, array.tobytes())
    return node(intern_kind(CONSTANT, (("value", packed),), array.shape, dtype), ())


def variable(name: str, shape: tuple[int, ...] = (), dtype: str = "float64", uid: int = 0) -> Expr:
    """An input. The user's variables have uid 0; a trace gives each of its own another one."""
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"a variable's name is a non-empty string, not {name!r}")
    dtype = str(np.dtype(dtype))
    if dtype not in DTYPES:
        raise DtypeError(f"a variable's dtype is one of {', '.join(DTYPES)}, not {dtype}")
    shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in shape):
        raise ShapeError(f"the core shape {shape} of {name!r} has a negative length")
    return node(intern_kind(VARIABLE, (("name", name), ("uid", uid)), shape, dtype), ())


# ---- walking without recursion ----
def topological(*roots: Expr) -> list[Expr]:
    """Every node below the roots, arguments before users, first argument first; each once."""
    seen: set[Expr] = set()
    order: list[Expr] = []
    # below a None lies a node all of whose arguments are done; nothing here is made that the garbage collector would track
    stack: list[Expr | None] = [*reversed(roots)]
    while stack:
        current = stack.pop()
        if current is None:
            order.append(stack.pop())  # type: ignore[arg-type]
        elif current not in seen:
            seen.add(current)
            args = current.args
            if not args:
                order.append(current)
                continue
            stack.append(current)
            stack.append(None)
            for a in reversed(args) if len(args) > 1 else args:
                if a not in seen:
                    stack.append(a)
    return order


def free_variables(*roots: Expr) -> tuple[Expr, ...]:
    """The variables below the roots, in order of first appearance when read from left to right."""
    return tuple(n for n in topological(*roots) if n.kind.op is VARIABLE)


def depth(root: Expr) -> int:
    """Longest chain of operations."""
    level: dict[int, int] = {}
    for n in topological(root):
        level[id(n)] = 1 + max((level[id(a)] for a in n.args), default=-1)
    return level[id(root)]
