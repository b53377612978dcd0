"""The kernels of the cpu machine as LLVM IR: what the interpreter calls, and what fused kernels are made of.

Every operation with a kernel becomes, in double and in single precision, a *vector function* from vectors to a vector, and a
*loop kernel* ``void(dst, a, b, c, n)`` that runs ``dst[i] = op(a[i], b[i], c[i])``. Both hold the same instructions. A fold kernel
runs ``dst[i] = dst[i] op a[i]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from llvmlite import ir

from ...ops import TABLE, Op
from .access import MEMORY_BYTES, POINTER, load, load_some, store, store_some
from .library import features
from .vectors import I8, I32, I64, WIDTH, Kernels, Vector, vector_type

SIGNATURE = ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [I64])

Body = Callable[..., Vector]


@dataclass(frozen=True)
class Primitive:
    """One instruction of the cpu machine: an operation in one precision, a move between dtypes, a step of a fold, a pair."""

    symbol: str
    result: str
    operands: tuple[str, ...]
    body: Body
    #: the first operand is the destination itself
    fold: bool = False

    @property
    def letter(self) -> str:
        """The precision it computes in."""
        return next((t for t in (*self.operands, self.result) if t != "b"), "d")

    @property
    def width(self) -> int:
        """Lanes of its vectors: 512 bits, of singles where nothing wider takes part."""
        return 2 * WIDTH if self.letter == "f" and "d" not in (self.result, *self.operands) else WIDTH

    @property
    def wide(self) -> int:
        """Lanes of its vector function: two registers, so that one fills the time in which the other waits."""
        return 2 * self.width

    def write(
        self, builder: ir.IRBuilder, values: Sequence[ir.Value], elsewhere: frozenset[str] = frozenset()
    ) -> ir.Value:
        """Its instructions, on vectors of any width. elsewhere: functions that another object has."""
        k = Kernels(builder, self.letter, values[0].type.count, elsewhere)
        return self.body(k, *(Vector(k, v) for v in values)).value


def is_own(kernel: Callable | None) -> bool:
    """Whether a kernel is diffkit's, and not a user's, whose name may come to mean another one."""
    return str(getattr(kernel, "__module__", "")).startswith("diffkit.")


def symbol_of(op: Op, letter: str) -> str:
    """Symbol of an operation's kernel in one precision."""
    assert op.kernel is not None
    return f"{op.name}_{letter}" if is_own(op.kernel) else f"{op.name}.{id(op.kernel):x}_{letter}"


def operand_letters(op: Op, letter: str) -> tuple[str, ...]:
    """Types of an operation's operands in this precision."""
    assert op.arity is not None
    return ("b",) * op.conditions + (letter,) * (op.arity - op.conditions)


#: (first, second, position): the second operation takes the first's result, which nothing else uses, at this position. These
#: were the commonest in derivative tapes of the corpus (docs/decisions/0005). They round twice, as if run one after the other.
PAIRS: tuple[tuple[str, str, int], ...] = (
    ("multiply", "add", 0),
    ("multiply", "add", 1),
    ("multiply", "subtract", 0),
    ("multiply", "subtract", 1),
    ("multiply", "multiply", 0),
    ("multiply", "multiply", 1),
    ("multiply", "divide", 0),
    ("multiply", "negative", 0),
    ("add", "add", 0),
    ("add", "multiply", 0),
    ("subtract", "add", 0),
    ("square", "add", 1),
    ("divide", "multiply", 1),
)


def joinable() -> list[tuple[str, str, int]]:
    """The pairs; without those of an operation that a user has replaced."""
    return [p for p in PAIRS if all(is_own(TABLE[n].kernel) for n in p[:2])]


def pair_name(first: str, second: str, position: int) -> str:
    """Symbol of a pair's kernel; its operands are those of the first operation, then the rest of the second's."""
    return f"{first}_{second}_{position}"


def _pair(first: Op, second: Op, position: int) -> Body:
    def body(k: Kernels, *args: Vector) -> Vector:
        assert first.kernel and second.kernel and first.arity
        inner, rest = first.kernel(k, *args[: first.arity]), args[first.arity :]
        return second.kernel(k, *rest[:position], inner, *rest[position:])

    return body


def primitives() -> Iterator[Primitive]:
    """All of them."""
    for op in TABLE.values():
        if op.kernel is None:
            continue
        if op.conditions == op.arity:
            yield Primitive(symbol_of(op, "b"), "b", operand_letters(op, "b"), op.kernel)
            continue
        for t in "df":
            yield Primitive(symbol_of(op, t), "b" if op.result == "bool" else t, operand_letters(op, t), op.kernel)
    for t in "df":
        for name in ("add", "multiply", "maximum", "minimum"):
            yield Primitive(f"fold_{name}_{t}", t, (t, t), TABLE[name].kernel, True)  # type: ignore[arg-type]
        yield Primitive(f"fold_product_{t}", t, (t, t, t), lambda k, s, x, y: s + x * y, True)
        yield Primitive(f"cast_b_{t}", t, ("b",), lambda k, c: k.mask_to_float(c))
        yield Primitive(f"cast_{t}_b", "b", (t,), lambda k, x: x != 0.0)
        for pair in joinable():
            first, second = TABLE[pair[0]], TABLE[pair[1]]
            count = first.arity + second.arity - 1  # type: ignore[operator]
            yield Primitive(f"{pair_name(*pair)}_{t}", t, (t,) * count, _pair(first, second, pair[2]))
    yield Primitive("fold_wide_f", "d", ("d", "f"), lambda k, s, x: s + k.wide(x), True)
    yield Primitive("cast_d_f", "f", ("d",), lambda k, x: k.narrow(x))
    yield Primitive("cast_f_d", "d", ("f",), lambda k, x: k.wide(x))


@lru_cache(maxsize=1)
def by_symbol() -> dict[str, Primitive]:
    """Primitives by their symbols; an operation registered later is not among them."""
    return {p.symbol: p for p in primitives()}


def module(chosen: Iterable[Primitive]) -> ir.Module:
    """Vector functions and loop kernels of these primitives in one module."""
    made = ir.Module("diffkit_kernels")
    for primitive in chosen:
        _emit(made, primitive)
    return made


def vector_function(primitive: Primitive) -> tuple[str, ir.FunctionType]:
    """Name and type of a primitive's vector function."""
    operands = [vector_type(t, primitive.wide) for t in primitive.operands]
    return f"diffkit.vector.{primitive.symbol}", ir.FunctionType(
        vector_type(primitive.result, primitive.wide), operands
    )


def _emit(made: ir.Module, primitive: Primitive) -> None:
    name, kind = vector_function(primitive)
    vector = ir.Function(made, kind, name)
    b = ir.IRBuilder(vector.append_basic_block("entry"))
    b.ret(primitive.write(b, list(vector.args)))
    _emit_loops(made, primitive)


def _emit_loops(made: ir.Module, primitive: Primitive) -> None:
    """A loop kernel: whole vectors, then what is left over, as a vector with a mask or one by one."""
    function = ir.Function(made, SIGNATURE, primitive.symbol)
    function.args[0].add_attribute("noalias")
    # a loop that copies shall stay one: a call of memcpy would be out of reach (llvmlite does not know the attribute by name)
    set.add(function.attributes, '"no-builtins"')
    n = function.args[4]
    b = ir.IRBuilder(function.append_basic_block("entry"))
    whole = b.and_(n, ir.Constant(I64, -primitive.width))
    _emit_loop(b, function, primitive, ir.Constant(I64, 0), whole, primitive.width)
    if has_masks():
        _emit_rest(b, function, primitive, whole)
    else:
        _emit_loop(b, function, primitive, whole, n, 1)
    b.ret_void()


def has_masks() -> bool:
    """Whether this processor loads and stores some lanes of a vector as fast as all."""
    return "+avx512vl" in features() and "+avx512bw" in features()


def _emit_rest(b: ir.IRBuilder, function: ir.Function, primitive: Primitive, begin: ir.Value) -> None:
    """dst[i] = op(a[i], b[i], c[i]) for begin ≤ i < n, less than a vector."""
    width, n = primitive.width, function.args[4]
    rest, done = b.append_basic_block("rest"), b.append_basic_block("finished")
    b.cbranch(b.icmp_signed("<", begin, n), rest, done)
    b.position_at_end(rest)
    wide = ir.VectorType(I64, width)
    count: ir.Value = b.insert_element(ir.Constant(wide, ir.Undefined), b.sub(n, begin), ir.Constant(I32, 0))
    count = b.shuffle_vector(
        count, ir.Constant(wide, ir.Undefined), ir.Constant(ir.VectorType(I32, width), [0] * width)
    )
    mask = b.icmp_signed("<", ir.Constant(wide, list(range(width))), count)
    at = lambda pointer, t: b.gep(pointer, [b.mul(begin, ir.Constant(I64, MEMORY_BYTES[t]))], source_etype=I8)
    target, *others = function.args[:4]
    sources = [target, *others] if primitive.fold else others
    values = [load_some(b, t, at(p, t), mask) for p, t in zip(sources, primitive.operands, strict=False)]
    store_some(b, primitive.result, primitive.write(b, values), at(target, primitive.result), mask)
    b.branch(done)
    b.position_at_end(done)


def _emit_loop(
    b: ir.IRBuilder, function: ir.Function, primitive: Primitive, begin: ir.Value, end: ir.Value, width: int
) -> None:
    """dst[i] = op(a[i], b[i], c[i]) for begin ≤ i < end, which are `width` times a whole number apart."""
    before, loop, done = b.block, b.append_basic_block("loop"), b.append_basic_block("done")
    target, *others = function.args[:4]
    sources = [target, *others] if primitive.fold else others
    b.cbranch(b.icmp_signed("<", begin, end), loop, done)
    b.position_at_end(loop)
    i = b.phi(I64)
    i.add_incoming(begin, before)
    at = lambda pointer, t: b.gep(pointer, [b.mul(i, ir.Constant(I64, MEMORY_BYTES[t]))], source_etype=I8)
    values = [load(b, t, at(p, t), width) for p, t in zip(sources, primitive.operands, strict=False)]
    store(b, primitive.result, primitive.write(b, values), at(target, primitive.result))
    following = b.add(i, ir.Constant(I64, width))
    i.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, end), loop, done)
    b.position_at_end(done)
