"""Rules of the op table, compiled once to instruction templates.

A rule is run on symbolic values; the expression it writes is flattened to steps. Sweeps and lowering then expand
steps onto a tape by number, without building an expression for every instruction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UnsupportedError
from ..expr.functions import RULES, as_expr
from ..expr.kind import Kind
from ..expr.node import Expr, topological, variable
from ..ops import VARIABLE, Op
from ..ops.kinks import current as kink_policy
from .tape import Builder


@dataclass(frozen=True)
class Ref:
    """Value number within a template: inputs first, then one a step."""

    index: int


@dataclass(frozen=True, eq=False)
class Template:
    """Steps over `count` inputs. A step is (kind, args) with args numbering inputs and earlier steps."""

    count: int
    steps: tuple[tuple[Kind, tuple[int, ...]], ...]
    outputs: tuple[Any, ...]

    def expand(self, builder: Builder, inputs: Sequence[int]) -> list[Any]:
        """Write the steps onto a tape; the outputs as value numbers wrapped in Ref, plain numbers, or None."""
        values = list(inputs)
        for kind, args in self.steps:
            values.append(builder.again(kind, tuple([values[a] for a in args])) if args else builder.leaf(kind))
        return [Ref(values[o.index]) if isinstance(o, Ref) else o for o in self.outputs]


def compile_rule(inputs: Sequence[Expr], outputs: Sequence[Any]) -> Template:
    """The template of what a rule wrote. Plain numbers and None stay what they are."""
    roots = [o for o in outputs if isinstance(o, Expr)]
    place = {id(x): i for i, x in enumerate(inputs)}
    steps: list[tuple[Kind, tuple[int, ...]]] = []
    for n in topological(*roots):
        if id(n) in place:
            continue
        if n.kind.op is VARIABLE:
            raise UnsupportedError(f"a rule used the foreign variable {n.name!r}")
        place[id(n)] = len(inputs) + len(steps)
        steps.append((n.kind, tuple(place[id(a)] for a in n.args)))
    return Template(len(inputs), tuple(steps), tuple(Ref(place[id(o)]) if isinstance(o, Expr) else o for o in outputs))


_cache: dict[tuple, Template] = {}

#: symbols handed to rules carry this uid, so that no user's variable can be mistaken for one
_RULE_UID = -1


def _symbols(op: Op, kinds: Sequence[Kind], prefix: str) -> list[Expr]:
    """Symbols for arguments. An elementwise rule is shape-blind: scalars serve every core shape."""
    return [
        variable(
            f"{prefix}{i}",
            () if op.family == "elementwise" else k.shape,
            "float64" if k.dtype == "weak" else k.dtype,
            _RULE_UID,
        )
        for i, k in enumerate(kinds)
    ]


def _cached(what: str, kind: Kind, arguments: Sequence[Kind], extra: tuple, make: Callable[[], Template]) -> Template:
    if kind.op.family == "elementwise":
        key: tuple = (
            what,
            kind.op,
            kind.params and kind,
            extra,
            kink_policy(),
            *(a.dtype == "bool" for a in arguments),
        )
    else:
        key = (what, kind, extra, kink_policy(), *((a.shape, a.dtype) for a in arguments))
    template = _cache.get(key)
    if template is None:
        template = make()
        if not kind.large:
            _cache[key] = template
    return template


def partials(kind: Kind, arguments: Sequence[Kind]) -> Template:
    """Elementwise: (out, *args) -> one partial an argument."""
    op = kind.op

    def make() -> Template:
        args = _symbols(op, arguments, "x")
        (out,) = _symbols(op, [kind], "out")
        assert op.partials is not None
        return compile_rule([out, *args], [_plain(p) for p in op.partials(RULES, out, *args, **kind.kwargs)])

    return _cached("partials", kind, arguments, (), make)


def _plain(p: Any) -> Any:
    """A partial as an expression, a Python float, or None."""
    if isinstance(p, Expr):
        return p if p.number is None else float(p.number)
    return None if p is None else float(p)


def selects(kind: Kind, arguments: Sequence[Kind]) -> Template | None:
    """(*args) -> one mask an argument; None where every argument always counts."""
    op = kind.op
    if op.selects is None:
        return None

    def make() -> Template:
        args = _symbols(op, arguments, "x")
        return compile_rule(args, op.selects(RULES, *args))  # type: ignore[misc]

    return _cached("selects", kind, arguments, (), make)


def jvp(kind: Kind, arguments: Sequence[Kind], active: tuple[bool, ...]) -> Template:
    """(tangents of the active arguments, out, *args) -> tangent."""
    op = kind.op

    def make() -> Template:
        args = _symbols(op, arguments, "x")
        (out,) = _symbols(op, [kind], "out")
        given = _symbols(op, [a for a, on in zip(arguments, active, strict=True) if on], "t")
        source = iter(given)
        tangents = [next(source) if on else None for on in active]
        assert op.jvp is not None
        return compile_rule([*given, out, *args], [as_expr(op.jvp(RULES, tangents, out, *args, **kind.kwargs))])

    return _cached("jvp", kind, arguments, active, make)


def vjp(kind: Kind, arguments: Sequence[Kind]) -> Template:
    """(adjoint, out, *args) -> one contribution an argument."""
    op = kind.op

    def make() -> Template:
        args = _symbols(op, arguments, "x")
        adjoint, out = _symbols(op, [kind], "adjoint")[0], _symbols(op, [kind], "out")[0]
        assert op.vjp is not None
        return compile_rule([adjoint, out, *args], op.vjp(RULES, adjoint, out, *args, **kind.kwargs))

    return _cached("vjp", kind, arguments, (), make)


def lower(kind: Kind, arguments: Sequence[Kind]) -> Template | None:
    """(*args) -> the same value in primitives; None where the operation is one itself."""
    op = kind.op
    if op.lower is None:
        return None

    def make() -> Template:
        args = _symbols(op, arguments, "x")
        return compile_rule(args, [as_expr(op.lower(RULES, *args, **kind.kwargs))])  # type: ignore[misc]

    return _cached("lower", kind, arguments, (), make)


def kinks(kind: Kind, arguments: Sequence[Kind]) -> Template | None:
    """(*args) -> the switching quantities of an operation that has a kink or jump."""
    op = kind.op
    if op.kinks is None:
        return None

    def make() -> Template:
        args = _symbols(op, arguments, "x")
        return compile_rule(args, [as_expr(k) for k in op.kinks(RULES, *args, **kind.kwargs)])  # type: ignore[misc]

    return _cached("kinks", kind, arguments, (), make)


def forget(op: Op) -> None:
    """Drop what was compiled for an operation that is being taken out of the table."""
    for key in [k for k in _cache if k[1] is op or getattr(k[1], "op", None) is op]:
        del _cache[key]
