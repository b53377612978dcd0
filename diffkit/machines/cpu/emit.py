"""The kernels of the cpu machine as LLVM IR: one loop a primitive and dtype.

Every kernel has the signature ``void(dst, a, b, c, n)`` and runs ``dst[i] = op(a[i], b[i], c[i])``; a fold kernel runs
``dst[i] = dst[i] op a[i]``. No fast-math flag is set and nothing is contracted, so a kernel's answer does not depend on
the lane a point happens to sit in. Elementary functions call the C library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llvmlite import ir

I1, I8, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(64)
POINTER = ir.PointerType(I8)
SIGNATURE = ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [I64])

#: element types of registers: a condition is a byte
TYPES: dict[str, ir.Type] = {"d": ir.DoubleType(), "f": ir.FloatType(), "b": I8}

Body = Callable[[ir.IRBuilder, list[ir.Value]], ir.Value]


def _instruction(name: str) -> Body:
    return lambda b, v: getattr(b, name)(*v)


def _compare(symbol: str) -> Body:
    # "not equal" is true for NaN, the others are false
    def body(b: ir.IRBuilder, v: list[ir.Value]) -> ir.Value:
        test = b.fcmp_unordered if symbol == "!=" else b.fcmp_ordered
        return test(symbol, v[0], v[1])

    return body


def _extreme(symbol: str) -> Body:
    """NumPy's maximum and minimum: a NaN on either side wins."""

    def body(b: ir.IRBuilder, v: list[ir.Value]) -> ir.Value:
        first = b.or_(b.fcmp_ordered(symbol, v[0], v[1]), b.fcmp_unordered("uno", v[0], v[0]))
        return b.select(first, v[0], v[1])

    return body


def _intrinsic(name: str) -> Body:
    def body(b: ir.IRBuilder, v: list[ir.Value]) -> ir.Value:
        return b.call(b.module.declare_intrinsic(f"llvm.{name}", [v[0].type]), v)

    return body


def _library(name: str) -> Body:
    """A function of the C library, in double or (suffix f) single precision."""

    def body(b: ir.IRBuilder, v: list[ir.Value]) -> ir.Value:
        kind = v[0].type
        symbol = name if isinstance(kind, ir.DoubleType) else name + "f"
        function = b.module.globals.get(symbol)
        if function is None:
            function = ir.Function(b.module, ir.FunctionType(kind, [kind] * len(v)), symbol)
        return b.call(function, v)

    return body


def _bits(name: str) -> Body:
    return lambda b, v: getattr(b, name)(*v)


def _reciprocal(b: ir.IRBuilder, v: list[ir.Value]) -> ir.Value:
    return b.fdiv(ir.Constant(v[0].type, 1.0), v[0])


#: elementwise primitives on numbers: name -> (number of operands, body)
NUMERIC: dict[str, tuple[int, Body]] = {
    "add": (2, _instruction("fadd")),
    "subtract": (2, _instruction("fsub")),
    "multiply": (2, _instruction("fmul")),
    "divide": (2, _instruction("fdiv")),
    "negative": (1, _instruction("fneg")),
    "reciprocal": (1, _reciprocal),
    "square": (1, lambda b, v: b.fmul(v[0], v[0])),
    "maximum": (2, _extreme(">")),
    "minimum": (2, _extreme("<")),
    "sqrt": (1, _intrinsic("sqrt")),
    "abs": (1, _intrinsic("fabs")),
    "floor": (1, _intrinsic("floor")),
    "ceil": (1, _intrinsic("ceil")),
    "trunc": (1, _intrinsic("trunc")),
    "round": (1, _intrinsic("rint")),
    "arctan2": (2, _library("atan2")),
    "power": (2, _library("pow")),
    "hypot": (2, _library("hypot")),
    "lgamma": (1, _library("lgamma")),
    **{name: (1, _library(name)) for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "cbrt", "erf", "erfc",
    )},
    **{f"arc{name}": (1, _library(f"a{name}")) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}  # fmt: skip

COMPARISONS = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!="}
LOGIC: dict[str, tuple[int, Body]] = {
    "logical_and": (2, _bits("and_")),
    "logical_or": (2, _bits("or_")),
    "logical_not": (1, lambda b, v: b.xor(v[0], ir.Constant(I8, 1))),
}
FOLDS = ("add", "multiply", "maximum", "minimum")


def kernels() -> Iterator[tuple[str, str, list[str], Body, bool]]:
    """(symbol, type of the result, types of the operands, body, fold) of every kernel."""
    for t in "df":
        for name, (count, body) in NUMERIC.items():
            yield f"{name}_{t}", t, [t] * count, body, False
        for name, symbol in COMPARISONS.items():
            yield f"{name}_{t}", "b", [t, t], _compare(symbol), False
        yield f"where_{t}", t, ["b", t, t], _where, False
        for name in FOLDS:
            yield f"fold_{name}_{t}", t, [t], NUMERIC[name][1], True
        yield f"fold_product_{t}", t, [t, t], lambda b, v: b.fadd(v[0], b.fmul(v[1], v[2])), True
        yield f"cast_b_{t}", t, ["b"], lambda b, v, t=t: b.uitofp(v[0], TYPES[t]), False  # type: ignore[misc]
        yield f"cast_{t}_b", "b", [t], lambda b, v: b.fcmp_unordered("!=", v[0], ir.Constant(v[0].type, 0.0)), False
    yield "fold_wide_f", "d", ["f"], lambda b, v: b.fadd(v[0], b.fpext(v[1], TYPES["d"])), True
    yield "cast_d_f", "f", ["d"], lambda b, v: b.fptrunc(v[0], TYPES["f"]), False
    yield "cast_f_d", "d", ["f"], lambda b, v: b.fpext(v[0], TYPES["d"]), False
    for name, (count, body) in LOGIC.items():
        yield f"{name}_b", "b", ["b"] * count, body, False


def _where(b: ir.IRBuilder, v: list[ir.Value]) -> ir.Value:
    return b.select(b.icmp_unsigned("!=", v[0], ir.Constant(I8, 0)), v[1], v[2])


def module() -> ir.Module:
    """All kernels in one module."""
    made = ir.Module("diffkit_kernels")
    for symbol, result, operands, body, fold in kernels():
        _emit(made, symbol, result, operands, body, fold)
    return made


def _emit(made: ir.Module, symbol: str, result: str, operands: list[str], body: Body, fold: bool) -> None:
    function = ir.Function(made, SIGNATURE, symbol)
    function.args[0].add_attribute("noalias")
    entry, loop, done = (function.append_basic_block(n) for n in ("entry", "loop", "done"))
    b = ir.IRBuilder(entry)
    n = function.args[4]
    types = [result, *operands] if fold else operands
    sources = function.args[: len(types)] if fold else function.args[1 : 1 + len(types)]
    pointers = [b.bitcast(p, ir.PointerType(TYPES[t])) for p, t in zip(sources, types, strict=True)]
    target = b.bitcast(function.args[0], ir.PointerType(TYPES[result]))
    b.cbranch(b.icmp_signed(">", n, ir.Constant(I64, 0)), loop, done)
    b.position_at_end(loop)
    i = b.phi(I64)
    i.add_incoming(ir.Constant(I64, 0), entry)
    value = body(
        b, [b.load(b.gep(p, [i], source_etype=TYPES[t]), typ=TYPES[t]) for p, t in zip(pointers, types, strict=True)]
    )
    if value.type == I1:
        value = b.zext(value, I8)
    b.store(value, b.gep(target, [i], source_etype=TYPES[result]))
    following = b.add(i, ir.Constant(I64, 1))
    i.add_incoming(following, loop)
    b.cbranch(b.icmp_signed("<", following, n), loop, done)
    b.position_at_end(done)
    b.ret_void()
