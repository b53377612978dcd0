"""Runnable source of expressions, for NumPy, JAX, PyTorch and C.

The expression is first *prepared* for the target: operations that the target cannot spell are written with others
(their record's `lower`), and the conversions that diffkit makes silently (booleans and integers in arithmetic) become
casts. Then every operation is spelled, and gets a line of its own if it is used more than once or is long.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..ops import CAST, CONSTANT, TABLE, Op
from .functions import RULES, as_expr
from .node import WEAK, Expr, constant, constant_value, free_variables, make, topological
from .printing import ATOM, COMPARISON, NEGATIVE, POWER, brief, sides

#: an operation that is used once and not longer than this is written where it is used
INLINE_CHARACTERS = 60

_C_MATH = frozenset(
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax fmin "
    "fmod hypot lgamma log log10 log1p log2 pow rint round sin sinh sqrt tan tanh tgamma trunc".split()
)
_C_WORDS = frozenset(
    "auto bool break case char const continue default do double else enum extern false float for goto if inline int isnan "
    "linux long main register restrict return short signed sizeof static struct switch true typedef typeof union unix unsigned "
    "void volatile while asm NAN INFINITY HUGE_VAL".split()
)

_REDUCE = "{module}.{name}({{0}}, axis={{axes}}, keepdims={{keepdims}})"
_REDUCE_TORCH = "torch.{name}({{0}}, dim={{axes}}, keepdim={{keepdims}})"


def _array_spellings(module: str) -> dict[str, str]:
    return {
        **{name: _REDUCE.format(module=module, name=name) for name in ("sum", "mean", "prod", "max", "min")},
        "reshape": "{0}.reshape({shape})",
        "transpose": f"{module}.transpose({{0}}, {{axes}})",
        "broadcast_to": f"{module}.broadcast_to({{0}}, {{shape}})",
        "getitem": "{0}[{index}]",
        "concatenate": f"{module}.concatenate([{{args}}], axis={{axis}})",
        "stack": f"{module}.stack([{{args}}], axis={{axis}})",
    }


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a language or library asks for, apart from the spellings in the operations' records."""

    #: a number or array made one of the target's own, of a given dtype
    convert: str
    #: the target's names for diffkit's dtypes
    dtypes: Mapping[str, str]
    #: whether a function of this name can be called, and under which name
    function: Callable[[str], str | None]
    #: spellings of operations whose record has none for this target
    spellings: Mapping[str, str] = field(default_factory=dict)
    #: functions that spellings use, by name
    helpers: Mapping[str, str] = field(default_factory=dict)
    #: names that a variable must not have
    reserved: frozenset[str] = frozenset()
    #: functions take no plain numbers
    tensors_only: bool = False


def _numpy_name(module: str) -> Callable[[str], str | None]:
    return lambda name: f"{module}.{name}" if hasattr(np, name) else None


_PYTHON_WORDS = frozenset({*keyword.kwlist, *dir(builtins), "numpy", "scipy", "jax", "torch"})
_DTYPES = {"float64": "float64", "float32": "float32", "int64": "int64", "bool": "bool_"}

TARGETS = {
    "numpy": Target(
        convert="numpy.asarray({0}, dtype=numpy.{dtype})", dtypes=_DTYPES, function=_numpy_name("numpy"), reserved=_PYTHON_WORDS,
        spellings={
            **_array_spellings("numpy"),
            "logsumexp": "scipy.special.logsumexp({0}, axis={axes}, keepdims={keepdims})",
            "scatter": "_scatter({0}, lambda a: a[{index}], {shape})",
        },
        helpers={"_scatter": '''
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    out = numpy.zeros(shape, x.dtype)
    numpy.add.at(out.reshape(-1), pick(numpy.arange(out.size).reshape(shape)), x)
    return out
'''},
    ),
    "jax": Target(
        convert="jax.numpy.asarray({0}, dtype=jax.numpy.{dtype})", dtypes=_DTYPES, function=_numpy_name("jax.numpy"), reserved=_PYTHON_WORDS,
        spellings={
            **_array_spellings("jax.numpy"),
            "logsumexp": "jax.scipy.special.logsumexp({0}, axis={axes}, keepdims={keepdims})",
            "scatter": "jax.numpy.zeros({shape}, {0}.dtype).at[{index}].add({0})",
        },
    ),
    "torch": Target(
        convert="torch.as_tensor({0}, dtype=torch.{dtype})", dtypes={**_DTYPES, "bool": "bool"}, function=_numpy_name("torch"),
        reserved=_PYTHON_WORDS, tensors_only=True,
        spellings={
            **{n: _REDUCE_TORCH.format(name=t) for n, t in (("sum", "sum"), ("mean", "mean"), ("max", "amax"), ("min", "amin"))},
            "logsumexp": _REDUCE_TORCH.format(name="logsumexp"),
            "prod": "_prod({0}, {axes}, {keepdims})",
            "reshape": "{0}.reshape({shape})",
            "transpose": "torch.permute({0}, {axes})",
            "broadcast_to": "torch.broadcast_to({0}, {shape})",
            "getitem": "{0}[{index}]",
            "concatenate": "torch.cat([{args}], dim={axis})",
            "stack": "torch.stack([{args}], dim={axis})",
            "scatter": "_scatter({0}, lambda a: a[{index}], {shape})",
        },
        helpers={"_scatter": '''
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    out = torch.zeros(shape, dtype=x.dtype)
    places = pick(torch.arange(out.numel()).reshape(shape))
    return out.reshape(-1).index_add(0, places.reshape(-1), x.reshape(-1)).reshape(shape)
''', "_prod": '''
def _prod(x, axes, keepdim):
    """Product over several axes; they count from the end and are ascending, so one gone moves none of the others."""
    for axis in axes:
        x = torch.prod(x, axis, keepdim)
    return x
'''},
    ),
    "c": Target(
        convert="({dtype}){0}", dtypes={"float64": "double", "float32": "float", "int64": "long long", "bool": "int"},
        function=lambda name: name if name in _C_MATH else None, reserved=_C_WORDS | _C_MATH,
    ),
}  # fmt: skip


def to_source(f: Expr | Sequence[Expr], target: str = "numpy", name: str = "f") -> str:
    """Source of a function `name` of the variables, in order of first appearance.

    A list of expressions gives a function that returns a tuple; in C one that writes through pointers given last.
    """
    if target not in TARGETS:
        raise ArgumentError(f"the target is one of {', '.join(TARGETS)}, not {target!r}")
    if not name.isidentifier() or name in TARGETS[target].reserved:
        raise ArgumentError(f"{name!r} cannot be the name of a function in this target; give another one as name=...")
    several = isinstance(f, (list, tuple))
    roots = tuple(f) if several else (f,)
    for root in roots:
        if not isinstance(root, Expr):
            raise ArgumentError(f"to_source() writes expressions, not {type(root).__name__}")
    writer = _Writer(target, roots)
    return writer.c(name, several) if target == "c" else writer.python(name, several)


# ---- preparing --------------------------------------------------------------------------------------------------
def _prepare(roots: Sequence[Expr], target: str) -> list[Expr]:
    """The same functions with operations that the target can spell, and with every cast written out."""
    while True:
        new: dict[int, Expr] = {}
        lowered = False
        for n in topological(*roots):
            args = tuple(new[id(a)] for a in n.args)
            if not args or _spelling(n.op, target) is not None:
                new[id(n)] = make(n.op, _cast_arguments(n, args), n.params, canonical=False) if args else n
            elif n.op.lower is not None:
                new[id(n)] = as_expr(n.op.lower(RULES, *args, **n.params))
                lowered = True
            else:
                raise UnsupportedError(
                    f"{n.op.name} cannot be written for the target {target!r}: its record has neither a spelling for it nor a "
                    f"`lower`. Add spelling={{{target!r}: ...}} to the record."
                )
        roots = [new[id(r)] for r in roots]
        if not lowered:
            return list(roots)


def _cast_arguments(n: Expr, args: tuple[Expr, ...]) -> tuple[Expr, ...]:
    if n.op.name == "where":
        return (_cast(args[0], "bool"), *(_to_float(a, n.dtype) for a in args[1:]))
    return tuple(_to_float(a, n.dtype) for a in args) if n.op.result == "float" and n.op is not CAST else args


def _to_float(a: Expr, dtype: str) -> Expr:
    return _cast(a, dtype) if a.dtype in ("bool", "int64") else a


def _cast(a: Expr, dtype: str) -> Expr:
    if a.dtype == dtype:
        return a
    if a.number is not None:
        return constant(np.dtype(dtype).type(a.number))
    return make(CAST, (a,), {"dtype": dtype})


def _spelling(op: Op, target: str) -> str | None:
    """A template if it has braces, else a function's name or an infix symbol; None if the target has nothing."""
    rules = TARGETS[target]
    if op is CAST:
        return rules.convert
    if op.infix and not (target == "c" and op.infix[0] in ("**", "@")):
        return op.infix[0]
    own = op.spelling.get(target, rules.spellings.get(op.name))
    return own if own is not None or op.family != "elementwise" else rules.function(op.name)


# ---- writing ----------------------------------------------------------------------------------------------------
class _Writer:
    """The body: `text` has for every node seen how users write it, and how strongly that binds."""

    def __init__(self, target: str, roots: Sequence[Expr]) -> None:
        self.target, self.rules = target, TARGETS[target]
        self.variables = free_variables(*roots)
        roots = _prepare(roots, target)
        order = topological(*roots)
        if target == "c":
            _only_scalars(order)
        self.dtypes = {n.kind.dtype for n in order}
        self.used: list[str] = [self.rules.convert] if self.variables else []
        self.names = _distinct([v.name for v in self.variables], self.rules.reserved)  # type: ignore[misc]
        self.text: dict[int, tuple[str, int]] = {id(v): (s, ATOM) for v, s in zip(self.variables, self.names, strict=True)}
        self.lines: list[str] = []
        self._body(order, roots)
        self.results = [_without_parentheses(self.text[id(r)][0]) for r in roots]

    def _body(self, order: Sequence[Expr], roots: Sequence[Expr]) -> None:
        uses = Counter(id(r) for r in roots)
        for n in order:
            for i, a in enumerate(n.args):
                uses[id(a)] += max(1, len(re.findall(rf"\{{{i}\}}", _spelling(n.op, self.target) or "")))
        outputs, taken, count = {id(r) for r in roots}, set(self.names), 0
        for n in order:
            if id(n) in self.text:
                continue
            text, binding = self._spell(n)
            if n.args and (uses[id(n)] > 1 or (len(text) > INLINE_CHARACTERS and id(n) not in outputs)):
                count += 1
                while f"t{count}" in taken:
                    count += 1
                self.lines.append(self._assign(n, f"t{count}", _without_parentheses(text)))
                text, binding = f"t{count}", ATOM
            self.text[id(n)] = text, binding

    def _assign(self, n: Expr, name: str, text: str) -> str:
        return f"{self.rules.dtypes[n.dtype]} {name} = {text};" if self.target == "c" else f"{name} = {text}"

    def _spell(self, n: Expr) -> tuple[str, int]:
        if n.op is CONSTANT:
            text = self._constant(n)
            return text, NEGATIVE if text.startswith("-") else ATOM
        spelling = _spelling(n.op, self.target)
        assert spelling is not None, "prepared expressions have only operations that can be spelled"
        infix = bool(n.op.infix) and spelling == n.op.infix[0]  # type: ignore[index]
        args = self._arguments(n, infix, call="{" not in spelling)
        if infix:
            return _infix(spelling, args, n.op.infix[1]), n.op.infix[1]  # type: ignore[index]
        self.used.append(template := spelling if "{" in spelling else f"{spelling}({{args}})")
        params = {k: self._index(v) if k == "index" else self._literal(v) for k, v in n.kind.params}
        if n.op is CAST:
            params["dtype"] = self.rules.dtypes[n.dtype]
        return template.format(*(_fenced(a, ATOM) for a in args), args=", ".join(text for text, _ in args), **params), ATOM

    def _arguments(self, n: Expr, infix: bool, call: bool) -> list[tuple[str, int]]:
        """The arguments as text. Plain numbers are converted where Python's own arithmetic would see nothing else."""
        args = [self.text[id(a)] for a in n.args]
        plain = [a.number is not None for a in n.args]
        if self.target == "c":
            return args
        if self.rules.tensors_only and not infix:
            wrapped = plain
        elif all(plain) and not call:
            wrapped = [True, *[False] * (len(args) - 1)]
        else:  # a strong constant may decide the dtype
            wrapped = [p and "float32" in self.dtypes and a.kind.dtype in ("float64", "float32") for p, a in zip(plain, n.args, strict=True)]
        return [(self._converted(a, n), ATOM) if w else t for a, t, w in zip(n.args, args, wrapped, strict=True)]

    def _converted(self, a: Expr, user: Expr) -> str:
        dtype = a.kind.dtype if a.kind.dtype != WEAK else user.dtype if user.dtype in ("float64", "float32") else "float64"
        self.used.append(self.rules.convert)
        return self.rules.convert.format(self.text[id(a)][0], dtype=self.rules.dtypes[dtype])

    # ---- constants and parameters ----
    def _constant(self, n: Expr) -> str:
        if n.number is not None:
            return self._literal(n.number)
        self.used.append(self.rules.convert)
        return self.rules.convert.format(self._literal(constant_value(n.kind).tolist()), dtype=self.rules.dtypes[n.dtype])

    def _literal(self, value: Any) -> str:
        if isinstance(value, float) and not math.isfinite(value):
            if self.target == "c":
                return "NAN" if value != value else "INFINITY" if value > 0 else "-INFINITY"
            return f"float('{value}')"
        if self.target == "c" and isinstance(value, bool):
            return str(int(value))
        if isinstance(value, list):
            return f"[{', '.join(map(self._literal, value))}]"
        return repr(value)

    def _index(self, index: tuple) -> str:
        """What stands in the brackets of an indexing, from its hashable form (see functions.getitem)."""
        parts = []
        for part in index:
            if isinstance(part, tuple) and part[0] == "slice":
                _, start, stop, step = part
                if self.target == "torch" and step is not None and step < 0:
                    raise UnsupportedError("PyTorch has no slices with a negative step; index with an integer array instead")
                parts.append(":".join("" if v is None else str(v) for v in ((start, stop) if step is None else (start, stop, step))))
            elif isinstance(part, tuple):
                places = np.frombuffer(part[2], dtype=np.int64).reshape(part[1]).tolist()
                self.used.append(self.rules.convert)
                parts.append(self.rules.convert.format(repr(places), dtype="int64"))
            else:
                parts.append("..." if part is Ellipsis else repr(part))
        return ", ".join(parts)

    # ---- the whole ----
    def python(self, name: str, several: bool) -> str:
        arguments = [
            f"{s} = {self.rules.convert.format(s, dtype=self.rules.dtypes[v.dtype])}"
            for s, v in zip(self.names, self.variables, strict=True)
        ]
        results = f"({', '.join(self.results)}{',' * (len(self.results) == 1)})" if several else self.results[0]
        helpers = [source for helper, source in self.rules.helpers.items() if any(u.startswith(f"{helper}(") for u in self.used)]
        modules = {m for u in (*self.used, *helpers) for m in re.findall(r"(?<![\w.}])((?:[a-z_]\w*\.)*[a-z_]\w*)\.\w+\(", u)}
        head = [f"import {m}" for m in sorted(m for m in modules if m.split(".")[0] not in _LOCALS)]
        if self.target == "jax" and self.dtypes & {"float64", "int64"}:
            head += ["", 'jax.config.update("jax_enable_x64", True)  # JAX computes in float32 unless told otherwise']
            head = head if "import jax" in head else ["import jax", *head]
        body = [*arguments, *self.lines, f"return {results}"]
        definition = [f"def {name}({', '.join(self.names)}):", *(f"    {line}" for line in body)]
        return "\n".join([*head, *(["", *h.rstrip("\n").split("\n")] if (h := "".join(helpers)) else []), *(["", ""] if head else []), *definition, ""])

    def c(self, name: str, several: bool) -> str:
        parameters = [f"{self.rules.dtypes[v.dtype]} {s}" for s, v in zip(self.names, self.variables, strict=True)]
        # TODO results
        return ""
