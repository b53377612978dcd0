"""Runnable source of expressions, for NumPy, JAX, PyTorch and C.

The expression is first *prepared* for the target: operations that the target cannot spell are written with others
(their record's `lower`), and the conversions that diffkit makes silently (booleans and integers in arithmetic) become
casts. Then every operation is spelled, and gets a line of its own if it is used more than once or is long. The body of a loop or
of a checkpointed function becomes a function of its own, in front of the one asked for. How targets spell: source_targets.py.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..ops import CAST, CONSTANT, TABLE, Op
from .functions import RULES, as_expr
from .kind import WEAK, constant_value, intern_kind
from .node import Expr, free_variables, make, node, topological, variable
from .printing import ATOM, NEGATIVE, brief, sides, value_text
from .source_targets import MODULES, TARGETS

#: an operation that is used once and not longer than this is written where it is used
INLINE_CHARACTERS = 60
#: constants of more elements are written as one number, if they are one
SPELLED = 4

FLOATS = ("float64", "float32")
#: names of functions made of bodies
STEP = re.compile(r"_step\d+")


def to_source(f: Expr | Sequence[Expr], target: str = "numpy", name: str = "f") -> str:
    """Source of a function `name` of the variables, in order of first appearance, each of its core shape.

    A list of expressions gives a function that returns a tuple; in C one that writes through pointers given last. A loop stays one;
    its reversal keeps all carries, whatever `checkpoints` says.

    target: "numpy", "jax", "torch" or "c" (scalars only).

    Raises UnsupportedError, which names the operation, for one that the target cannot spell; ArgumentError for another target.
    """
    if target not in TARGETS:
        raise ArgumentError(f"the target is one of {', '.join(TARGETS)}, not {target!r}")
    if not name.isidentifier() or name in TARGETS[target].reserved or STEP.fullmatch(name):
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
            spelling = _spelling(n.op, target)
            rule = spelling if callable(spelling) else n.op.lower
            if not args:
                new[id(n)] = n
            elif isinstance(spelling, str):
                new[id(n)] = _with_casts(n, args)
            elif rule is not None:
                written = as_expr(rule(RULES, *args, **n.params))
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


def _with_casts(n: Expr, args: tuple[Expr, ...]) -> Expr:
    """The operation applied to arguments that are brought to the dtypes which it computes in."""
    if "body" in n.params:
        return node(n.kind, tuple(_cast(a, dtype) for a, (_, dtype) in zip(args, n.params["body"].inputs, strict=True)))
    if n.op.name == "where":
        args = (_cast(args[0], "bool"), *(_to_float(a, n.dtype) for a in args[1:]))
    elif n.op.result == "float" and n.op is not CAST:
        args = tuple(_to_float(a, n.dtype) for a in args)
    return make(n.op, args, n.params, canonical=False)


def _to_float(a: Expr, dtype: str) -> Expr:
    return _cast(a, dtype) if a.dtype in ("bool", "int64") else a


def _cast(a: Expr, dtype: str) -> Expr:
    if a.dtype == dtype:
        return a
    if a.number is not None:
        value = {"bool": bool, "int64": int}.get(dtype, float)(a.number)
        return node(intern_kind(CONSTANT, (("value", value),), (), dtype), ())
    return make(CAST, (a,), {"dtype": dtype})


@cache
def _spelling(op: Op, target: str) -> Any:
    """What a target has for an operation, or None: a template, a function's name, an infix symbol (see source_targets.py).

    A record's own spelling may also be a rule (o, *args, **params) that writes it with operations which the target can spell.
    """
    rules = TARGETS[target]
    if op is CAST:
        return rules.convert
    if op.infix and not (target == "c" and op.infix[0] in ("**", "@")):
        return op.infix[0]
    own: Any = rules.spellings.get(op.name, op.spelling.get(target))
    return own if own is not None or op.family != "elementwise" else rules.function(op.name)


# ---- writing ----------------------------------------------------------------------------------------------------
class _Body:
    """The statements of a function; `text` has for every node how its users write it, and how strongly that binds.

    `inner`: the inputs of a body, whose function is given values of the right dtypes. `functions`: those of all bodies.
    """

    def __init__(
        self,
        target: str,
        roots: Sequence[Expr],
        inner: Sequence[Expr] | None = None,
        functions: dict[Any, str] | None = None,
    ) -> None:
        self.target, self.rules = target, TARGETS[target]
        self.variables = free_variables(*roots) if inner is None else tuple(inner)
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
        #: the source of every body met, in the order in which they can be defined
        self.functions: dict[Any, str] = {} if functions is None else functions
        self._write(order)
        self.results = [_bare(self.text[id(r)][0]) for r in roots]
        if inner is not None:
            self.results = [
                text if r.number is None else self._convert(text, r.dtype)
                for r, text in zip(roots, self.results, strict=True)
            ]

    def _write(self, order: Sequence[Expr]) -> None:
        uses = Counter(id(r) for r in self.roots)
        for n in order:
            template = str(_spelling(n.op, self.target)) if n.args else ""
            for i, a in enumerate(n.args):
                uses[id(a)] += max(1, template.count(f"{{{i}}}"))
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
        params = {k: self._literal(v) for k, v in n.kind.params if k not in ("index", "body")}
        if n.op is CAST:
            params["dtype"] = self.rules.dtypes[n.dtype]
        if "index" in n.params:
            params |= self._index(n.params["index"], n.params.get("shape", n.args[0].shape))
        if "body" in n.params:
            params["body"] = self._function(n.params["body"])
        fenced = (_fenced(a, 0 if _delimited(spelling, i) else ATOM) for i, a in enumerate(args))
        text = spelling.format(*fenced, args=listed, **params)
        if "body" in n.params and {dtype for _, dtype in n.params["body"].outputs} != {n.dtype}:
            text = self._convert(text, n.dtype)
        return text, ATOM

    def _function(self, body: Any) -> str:
        """The name of the function that a body is."""
        if body not in self.functions:
            inputs = [variable(f"x{k}", *signature) for k, signature in enumerate(body.inputs)]
            inside = _Body(self.target, body(*inputs), inputs, self.functions)
            self.temporaries |= inside.temporaries | set(inside.names)
            name = f"_step{len(self.functions) + 1}"
            self.functions[body] = _definition(name, inside.names, [*inside.lines, f"return {_tuple(inside.results)}"])
        return re.match(r"def (\w+)", self.functions[body])[1]  # type: ignore[index]

    def _arguments(self, n: Expr, infix: bool = False, call: bool = False) -> list[tuple[str, int]]:
        """The arguments as text; numbers converted where a function takes none or Python's own arithmetic would act."""
        plain = [a.number is not None for a in n.args]
        if "body" in n.params:
            converted = plain
        elif self.target == "c" or n.op is CAST:
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
        value = constant_value(n.kind)
        if value.size > SPELLED and len({x.tobytes() for x in value.flat}) == 1:
            one = self._convert(self._literal(value.flat[0].item()), n.dtype)
            return str(_spelling(TABLE["broadcast_to"], self.target)).format(one, shape=value.shape)
        return self._convert(self._literal(value.tolist()), n.dtype)

    def _literal(self, value: Any) -> str:
        if isinstance(value, list):
            return f"[{', '.join(map(self._literal, value))}]"
        if isinstance(value, float) and not math.isfinite(value):
            in_c = "NAN" if value != value else "INFINITY" if value > 0 else "-INFINITY"
            return in_c if self.target == "c" else f"float('{value}')"
        return str(int(value)) if self.target == "c" and isinstance(value, bool) else repr(value)

    def _index(self, index: tuple, shape: tuple[int, ...]) -> dict[str, str]:
        """What stands in the brackets of an indexing of this shape, from its hashable form (see functions.getitem).

        `flip` is what stands before them where slices cannot run backwards: the axes are turned round first.
        """
        flipped: list[int] = []
        if not self.rules.numpy_indexing:
            index, flipped = _forwards(index, shape)
        parts = []
        for part in index:
            if isinstance(part, tuple) and part[0] == "array":
                places = np.frombuffer(part[2], dtype=np.int64).reshape(part[1])
                parts.append(self._convert(repr(places.tolist()), "int64"))
            else:
                parts.append(value_text(part))
        return {"index": ", ".join(parts), "flip": f".flip({value_text(tuple(flipped))})" if flipped else ""}


def _forwards(index: tuple, shape: tuple[int, ...]) -> tuple[tuple, list[int]]:
    """The index for an array of which some axes were turned round, without slices backwards; and these axes.

    Integers beside arrays become arrays: NumPy counts them as such when it places the axes of the result.
    """
    parts, flipped, axis = [], [], 0
    several = any(isinstance(p, tuple) and p[0] == "array" and p[1] for p in index)
    for part in index:
        if part is Ellipsis:
            axis += len(shape) - sum(p is not None and p is not Ellipsis for p in index)
        elif isinstance(part, tuple) and part[0] == "slice" and (part[3] or 1) < 0:
            n, taken = shape[axis], range(shape[axis])[slice(*part[1:])]
            flipped.append(axis)
            part = ("slice", n - 1 - taken[0], n - taken[-1], -part[3]) if taken else ("slice", 0, 0, None)
        elif several and isinstance(part, int):
            part = ("array", (1,), np.int64(part).tobytes())
        elif several and isinstance(part, tuple) and part[:2] == ("array", ()):
            part = ("array", (1,), part[2])
        axis += part is not None and part is not Ellipsis
        parts.append(part)
    return tuple(parts), flipped


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
        while name in reserved or name in taken or STEP.fullmatch(name):
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
    returned = _tuple(body.results) if several else body.results[0]
    function = _definition(name, body.names, [*arguments, *body.lines, f"return {returned}"])
    functions = [*body.functions.values(), function]
    helpers = _helpers_for(functions, rules.helpers)

    local = {*body.names, *body.temporaries}
    local |= {
        w for text in functions for names in re.findall(r"lambda ([^:]*):", text) for w in re.findall(r"\w+", names)
    }
    modules = {m for text in functions for m in _called(text) if m.split(".")[0] not in local}
    modules |= {m for text in helpers for m in _called(text) if m.split(".")[0] in MODULES}
    settings = ""
    if target == "jax" and any(f"jax.numpy.{word}" in text for text in functions for word in ("float64", "int64")):
        modules.add("jax")
        settings = '\njax.config.update("jax_enable_x64", True)  # as it stands JAX computes in float32\n'
    imports = "".join(f"import {m}\n" for m in sorted(modules))
    return "\n\n".join(part for part in (imports + settings, *helpers, *functions) if part)


def _called(text: str) -> list[str]:
    """What stands before the last dot of a function that is called: modules, and local names."""
    return re.findall(r"(?<![\w.)\]])([^\W\d][\w.]*)\.\w+\(", text)


def _helpers_for(functions: Sequence[str], helpers: Mapping[str, str]) -> list[str]:
    """The helpers that functions call, and those that these call, which stand before them."""
    wanted: list[str] = []
    for helper, text in reversed(list(helpers.items())):
        if any(f"{helper}(" in user for user in (*functions, *wanted)):
            wanted.append(text)
    return wanted[::-1]


def _definition(name: str, arguments: Sequence[str], statements: Sequence[str]) -> str:
    return f"def {name}({', '.join(arguments)}):\n" + "".join(f"    {line}\n" for line in statements)


def _tuple(results: Sequence[str]) -> str:
    return f"({', '.join(results)}{',' * (len(results) == 1)})"


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
