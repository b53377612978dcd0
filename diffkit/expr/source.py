"""Runnable source of expressions, for NumPy, JAX, PyTorch and C.

The expression is first *prepared* for the target: operations that the target cannot spell are written with others
(their record's `lower`), and the conversions that diffkit makes silently (booleans and integers in arithmetic) become
casts. Then every operation is spelled, and gets a line of its own if it is used more than once or is long.
"""

from __future__ import annotations

import builtins
import itertools
import keyword
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..ops import CAST, CONSTANT, Op
from .functions import RULES, as_expr
from .kind import WEAK, constant_value, intern_kind
from .node import Expr, free_variables, make, node, topological
from .printing import ATOM, NEGATIVE, brief, sides, value_text

#: an operation that is used once and not longer than this is written where it is used
INLINE_CHARACTERS = 60

FLOATS = ("float64", "float32")

_C_MATH = frozenset(
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma "  # noqa: SIM905
    "fmax fmin fmod hypot lgamma log log10 log1p log2 pow rint round sin sinh sqrt tan tanh tgamma trunc".split()
)
_C_WORDS = frozenset(
    "asm auto bool break case char const continue default do double else enum extern false float for goto if inline "  # noqa: SIM905
    "int isnan linux long main register restrict return short signed sizeof static struct switch true typedef typeof "
    "union unix unsigned void volatile while NAN INFINITY HUGE_VAL".split()
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
        convert="numpy.asarray({0}, dtype=numpy.{dtype})", dtypes=_DTYPES, function=_numpy_name("numpy"),
        reserved=_PYTHON_WORDS,
        spellings={
            **_array_spellings("numpy"),
            "logsumexp": "scipy.special.logsumexp({0}, axis={axes}, keepdims={keepdims})",
            "scatter": "_scatter({0}, lambda a: a[{index}], {shape})",
        },
        helpers={"_scatter": '''\
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    out = numpy.zeros(shape, x.dtype)
    numpy.add.at(out.reshape(-1), pick(numpy.arange(out.size).reshape(shape)), x)
    return out
'''},
    ),
    "jax": Target(
        convert="jax.numpy.asarray({0}, dtype=jax.numpy.{dtype})", dtypes=_DTYPES,
        function=_numpy_name("jax.numpy"), reserved=_PYTHON_WORDS,
        spellings={
            **_array_spellings("jax.numpy"),
            "logsumexp": "jax.scipy.special.logsumexp({0}, axis={axes}, keepdims={keepdims})",
            "scatter": "jax.numpy.zeros({shape}, {0}.dtype).at[{index}].add({0})",
        },
    ),
    "torch": Target(
        convert="torch.as_tensor({0}, dtype=torch.{dtype})", dtypes={**_DTYPES, "bool": "bool"},
        function=_numpy_name("torch"), reserved=_PYTHON_WORDS, tensors_only=True,
        spellings={
            **{name: _REDUCE_TORCH.format(name=name) for name in ("sum", "mean", "logsumexp")},
            "max": _REDUCE_TORCH.format(name="amax"),
            "min": _REDUCE_TORCH.format(name="amin"),
            "prod": "_prod({0}, {axes}, {keepdims})",
            "reshape": "{0}.reshape({shape})",
            "transpose": "torch.permute({0}, {axes})",
            "broadcast_to": "torch.broadcast_to({0}, {shape})",
            "getitem": "{0}[{index}]",
            "concatenate": "torch.cat([{args}], dim={axis})",
            "stack": "torch.stack([{args}], dim={axis})",
            "scatter": "_scatter({0}, lambda a: a[{index}], {shape})",
        },
        helpers={"_scatter": '''\
def _scatter(x, pick, shape):
    """Zeros of this shape, with x added at the places that `pick` takes."""
    out = torch.zeros(shape, dtype=x.dtype)
    places = pick(torch.arange(out.numel()).reshape(shape))
    return out.reshape(-1).index_add(0, places.reshape(-1), x.reshape(-1)).reshape(shape)
''', "_prod": '''\
def _prod(x, axes, keepdim):
    """Product over axes that count from the end and ascend, so that one gone moves none of the others."""
    for axis in axes:
        x = torch.prod(x, axis, keepdim)
    return x
'''},
    ),
    "c": Target(
        convert="({dtype}){0}", dtypes={"float64": "double", "float32": "float", "int64": "long long", "bool": "_Bool"},
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
    roots: list[Any] = list(f) if several else [f]  # type: ignore[arg-type]
    if not roots or not all(isinstance(r, Expr) for r in roots):
        raise ArgumentError("to_source() writes an expression or a list of them")
    return (_c if target == "c" else _python)(_Body(target, roots), name, several)


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
                written = as_expr(n.op.lower(RULES, *args, **n.params))
                if written.op is n.op:
                    raise UnsupportedError(f"{n.op.name} is too long to be written out for the target {target!r}")
                new[id(n)], lowered = written, True
            else:
                raise UnsupportedError(
                    f"{n.op.name} cannot be written for the target {target!r}: its record has neither a spelling for "
                    f"it nor a `lower`. Add spelling={{{target!r}: ...}} to the record."
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
        value = bool(a.number) if dtype == "bool" else float(a.number)
        return node(intern_kind(CONSTANT, (("value", value),), (), dtype), ())
    return make(CAST, (a,), {"dtype": dtype})


@cache
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
class _Body:
    """The statements of the function; `text` has for every node how its users write it, and how strongly that binds."""

    def __init__(self, target: str, roots: Sequence[Expr]) -> None:
        self.target, self.rules = target, TARGETS[target]
        self.variables = free_variables(*roots)
        if target == "c":
            _only_scalars(topological(*roots))
        roots = _prepare(roots, target)
        order = topological(*roots)
        self.dtypes = {n.kind.dtype for n in (*self.variables, *order)}
        self.roots = roots
        self.names = _distinct([str(v.name) for v in self.variables], self.rules.reserved)
        self.text = {id(v): (s, ATOM) for v, s in zip(self.variables, self.names, strict=True)}
        self.lines: list[str] = []
        self.temporaries: set[str] = set()
        self._write(order)
        self.results = [_bare(self.text[id(r)][0]) for r in roots]

    def _write(self, order: Sequence[Expr]) -> None:
        uses = Counter(id(r) for r in self.roots)
        for n in order:
            template = _spelling(n.op, self.target) if n.args else None
            for i, a in enumerate(n.args):
                uses[id(a)] += max(1, template.count(f"{{{i}}}"))  # type: ignore[union-attr]
        outputs = {id(r) for r in self.roots}
        fresh = (t for t in map("t{}".format, itertools.count(1)) if t not in self.names)
        for n in order:
            if id(n) in self.text:
                continue
            text, binding = self._spell(n)
            if n.args and (uses[id(n)] > 1 or (len(text) > INLINE_CHARACTERS and id(n) not in outputs)):
                name = next(fresh)
                self.temporaries.add(name)
                declared = f"{self.rules.dtypes[n.dtype]} {name}" if self.target == "c" else name
                self.lines.append(f"{declared} = {_bare(text)}{';' * (self.target == 'c')}")
                text, binding = name, ATOM
            self.text[id(n)] = text, binding

    def _spell(self, n: Expr) -> tuple[str, int]:
        if n.op is CONSTANT:
            text = self._constant(n)
            return text, NEGATIVE if text.startswith("-") else ATOM
        spelling = str(_spelling(n.op, self.target))
        if n.op.infix and spelling == n.op.infix[0]:
            strength = n.op.infix[1]
            return _infix(spelling, strength, self._arguments(n, infix=True)), strength
        call = "{" not in spelling
        args = self._arguments(n, call=call)
        listed = ", ".join(text for text, _ in args)
        if call:
            return f"{spelling}({listed})", ATOM
        params = {k: self._index(v) if k == "index" else self._literal(v) for k, v in n.kind.params}
        if n.op is CAST:
            params["dtype"] = self.rules.dtypes[n.dtype]
        fenced = (_fenced(a, 0 if _delimited(spelling, i) else ATOM) for i, a in enumerate(args))
        return spelling.format(*fenced, args=listed, **params), ATOM

    def _arguments(self, n: Expr, infix: bool = False, call: bool = False) -> list[tuple[str, int]]:
        """The arguments as text; numbers converted where a function takes none or Python's own arithmetic would act."""
        plain = [a.number is not None for a in n.args]
        if self.target == "c" or n.op is CAST:
            converted = [False] * len(plain)
        elif self.rules.tensors_only and not infix:
            converted = plain
        elif all(plain) and not call:
            converted = [True, *[False] * (len(plain) - 1)]
        else:  # among float32, a constant that is not weak decides the dtype
            mixed = "float32" in self.dtypes
            converted = [mixed and p and a.kind.dtype in FLOATS for p, a in zip(plain, n.args, strict=True)]
        weak = n.dtype if n.dtype in FLOATS else "float64"
        args = []
        for a, c in zip(n.args, converted, strict=True):
            text, binding = self.text[id(a)]
            dtype = weak if a.kind.dtype == WEAK else a.kind.dtype
            args.append((self._convert(text, dtype), ATOM) if c else (text, binding))
        return args

    def _convert(self, text: str, dtype: str) -> str:
        return self.rules.convert.format(text, dtype=self.rules.dtypes[dtype])

    def _constant(self, n: Expr) -> str:
        if n.number is not None:
            return self._literal(n.number)
        return self._convert(self._literal(constant_value(n.kind).tolist()), n.dtype)

    def _literal(self, value: Any) -> str:
        if isinstance(value, list):
            return f"[{', '.join(map(self._literal, value))}]"
        if isinstance(value, float) and not math.isfinite(value):
            in_c = "NAN" if value != value else "INFINITY" if value > 0 else "-INFINITY"
            return in_c if self.target == "c" else f"float('{value}')"
        return str(int(value)) if self.target == "c" and isinstance(value, bool) else repr(value)

    def _index(self, index: tuple) -> str:
        """What stands in the brackets of an indexing, from its hashable form (see functions.getitem)."""
        parts = []
        for part in index:
            if isinstance(part, tuple) and part[0] == "slice":
                if self.target == "torch" and (part[3] or 1) < 0:
                    raise UnsupportedError("PyTorch has no slices with a negative step; index with integers instead")
                parts.append(value_text(part))
            elif isinstance(part, tuple):
                places = np.frombuffer(part[2], dtype=np.int64).reshape(part[1])
                parts.append(self._convert(repr(places.tolist()), "int64"))
            else:
                parts.append(value_text(part))
        return ", ".join(parts)


@cache
def _delimited(template: str, i: int) -> bool:
    """Whether the template has the argument once, between parentheses or commas of its own."""
    return template.count(f"{{{i}}}") == 1 and re.search(rf"[(,]\s*\{{{i}\}}[,)]", template) is not None


def _infix(symbol: str, strength: int, args: list[tuple[str, int]]) -> str:
    if len(args) == 1:
        text = _fenced(args[0], strength)
        return f"{symbol}({text})" if text.startswith("-") else f"{symbol}{text}"  # C reads -- as another operator
    left, right = sides(strength)
    return f"{_fenced(args[0], left)} {symbol} {_fenced(args[1], right)}"


def _fenced(written: tuple[str, int], least: int) -> str:
    text, strength = written
    return f"({text})" if strength < least else text


def _bare(text: str) -> str:
    """Without parentheses around the whole."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return text[1:-1] if text.startswith("(") and i == len(text) - 1 else text
    return text


def _distinct(names: Sequence[str], reserved: frozenset[str]) -> list[str]:
    """The names as identifiers that differ from each other and from words that mean something."""
    taken: list[str] = []
    for name in names:
        name = re.sub(r"\W", "_", name)
        name = name if name.isidentifier() else f"_{name}"
        while name in reserved or name in taken:
            name += "_"
        taken.append(name)
    return taken


def _only_scalars(order: Sequence[Expr]) -> None:
    for n in order:
        if n.shape != ():
            shown = f"{brief(n, 40)} has core shape {n.shape}"
            raise UnsupportedError(f"C source is written for scalars only, and {shown}; use another target")


# ---- the function around the body -------------------------------------------------------------------------------
def _python(body: _Body, name: str, several: bool) -> str:
    rules, target = body.rules, body.target
    arguments = [f"{s} = {body._convert(s, v.dtype)}" for s, v in zip(body.names, body.variables, strict=True)]
    returned = f"({', '.join(body.results)}{',' * (len(body.results) == 1)})" if several else body.results[0]
    statements = [*arguments, *body.lines, f"return {returned}"]

    calls = {m for line in statements for m in re.findall(r"(?<![\w.)\]])([^\W\d][\w.]*)\.\w+\(", line)}
    modules = sorted(m for m in calls if m not in body.names and m not in body.temporaries)
    helpers = [text for helper, text in rules.helpers.items() if any(f"{helper}(" in line for line in statements)]
    settings = ""
    if target == "jax" and body.dtypes & {"float64", "int64"}:
        modules = sorted({*modules, "jax"})
        settings = '\njax.config.update("jax_enable_x64", True)  # as it stands JAX computes in float32\n'
    imports = "".join(f"import {m}\n" for m in modules)
    function = f"def {name}({', '.join(body.names)}):\n" + "".join(f"    {line}\n" for line in statements)
    return "\n\n".join(part for part in (imports + settings, *helpers, function) if part)


def _c(body: _Body, name: str, several: bool) -> str:
    dtypes = body.rules.dtypes
    parameters = [f"{dtypes[v.dtype]} {s}" for s, v in zip(body.names, body.variables, strict=True)]
    if several:
        outputs = _distinct([f"out{i}" for i in range(len(body.roots))], frozenset({*body.names, *body.temporaries}))
        parameters += [f"{dtypes[r.dtype]} *{o}" for r, o in zip(body.roots, outputs, strict=True)]
        statements = [*body.lines, *(f"*{o} = {text};" for o, text in zip(outputs, body.results, strict=True))]
    else:
        statements = [*body.lines, f"return {body.results[0]};"]
    returned = "void" if several else dtypes[body.roots[0].dtype]
    lines = "".join(f"    {line}\n" for line in statements)
    return f"#include <math.h>\n\n{returned} {name}({', '.join(parameters) or 'void'})\n{{\n{lines}}}\n"
