"""Which inputs each element of each value depends on, read off a tape.

An instruction's elements depend on what the elements depend on that it is made of. Elementwise operations, movements and
reductions, matrix products and linear operations are followed element by element, and loops step by step (loops.py); of any
other operation every element is taken to depend on all of its arguments. So the sets are supersets: an entry may turn out zero,
none is missed. An argument whose derivative a rule states to be zero (of a step, of a condition) is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import ExceededError
from ..expr.kind import Kind, constant_value
from ..expr.node import variable
from ..machines.numpy import call
from ..ops import CONSTANT
from ..ops.loops import stored_reversal
from ..tape import Tape, templates
from ..tape.body import Body, floats
from ..tape.templates import Ref, Template
from .loops import Hubs, Loop
from .rows import Rows, TooManyError

#: None: depends on nothing
Dependence = Rows | None

#: a linear operation is asked for its matrix by unit vectors if that has at most so many elements
PROBED = 1 << 22
#: constants of at most so many elements are looked at for zeros
LOOKED_AT = 1 << 24
#: operations on matrices in the last two axes, and the axes of each argument that they mix
LAST_AXES: dict[str, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys(("inv", "pinv", "cofactor", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "qr"), ((-2, -1),)),
    "solve": ((-2, -1), (-2,)),
    "solve_triangular": ((-2, -1), (-2,)),
}


def dependence(tape: Tape, wrt: Sequence[int]) -> list[Dependence]:
    """For each value of the tape the columns that its elements depend on.

    Columns are the elements of the inputs at positions `wrt`, one input after the other, each in C order.
    """
    sizes = [math.prod(tape.kinds[tape.inputs[w]].shape) for w in wrt]
    starts = np.cumsum([0, *sizes]).tolist()
    given: dict[int, Dependence] = {
        tape.inputs[w]: Rows.units(start, size, starts[-1]) for w, start, size in zip(wrt, starts, sizes, strict=False)
    }
    return Propagation().run(tape.kinds, tape.args, given)


class Propagation:
    """What is known while dependences are followed; sets are shared wherever they are equal."""

    def __init__(self, hubs: Hubs | None = None) -> None:
        self.hubs = hubs
        self._unions: dict[tuple[int, int], tuple[Rows, Rows, Rows]] = {}
        self._moved: dict[tuple, tuple[Rows, Rows]] = {}
        #: whether each value is computed from constants alone; and those that were asked for
        self._fixed: list[bool] = []
        self._constants: dict[int, np.ndarray] = {}

    def run(
        self, kinds: Sequence[Kind], all_args: Sequence[tuple[int, ...]], given: dict[int, Dependence]
    ) -> list[Dependence]:
        values: list[Dependence] = []
        self.kinds, self.args = kinds, all_args
        for i, (kind, args) in enumerate(zip(kinds, all_args, strict=True)):
            self._fixed.append(
                all(self._fixed[a] for a in args) if args else kind.op is CONSTANT or i in self._constants
            )
            values.append(given[i] if i in given else self._instruction(kind, args, values))
        return values

    def _instruction(self, kind: Kind, args: tuple[int, ...], values: list[Dependence]) -> Dependence:
        rows = [values[a] for a in args]
        if kind.dtype in ("bool", "int64") or all(r is None for r in rows):
            return None
        kinds = [self.kinds[a] for a in args]
        try:
            found = getattr(self, "_" + kind.op.family)(kind, args, kinds, rows)
        except TooManyError as e:
            raise ExceededError(f"{kind.op.name} with a result of core shape {kind.shape}: {e}") from None
        return found if found is None or found.count else None

    # ---- families ----
    def _elementwise(self, kind: Kind, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        if kind.op.partials is not None:
            partials = templates.partials(kind, kinds).outputs
            rows = [r if isinstance(p, Ref) or p else None for r, p in zip(rows, partials, strict=True)]
        total: Dependence = None
        for j, (r, k) in enumerate(zip(rows, kinds, strict=True)):
            if r is not None:
                r, some = self._broadcast(r, k.shape, kind.shape), self._counting(kind, args, j)
                total = self._union(total, r if some is None else r.where(some))
        return total

    def _counting(self, kind: Kind, args: Sequence[int], j: int) -> np.ndarray | None:
        """The elements at which operand j matters, where constants tell: a condition, or a factor that is 0 elsewhere."""
        if kind.op.name == "where":
            fixed = self.constant(args[0])
            some = None if fixed is None else fixed if j == 1 else ~fixed
        elif kind.op.name == "multiply":
            fixed = self.constant(args[1 - j])
            some = None if fixed is None or not fixed.shape else fixed != 0
        else:
            return None
        return None if some is None or some.all() else np.broadcast_to(some, kind.shape).reshape(-1)

    def _movement(self, kind: Kind, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        (columns,) = {r.columns for r in rows if r is not None}
        whole = Rows.joined([r or Rows.empty(math.prod(k.shape), columns) for r, k in zip(rows, kinds, strict=True)])
        return self._taken(whole, kind, kinds) if len(rows) == 1 else whole.take(_numbers(kind, kinds))

    def _reduction(self, kind: Kind, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        if len(args) != 1 or "axes" not in kind.kwargs:
            return self._structured(kind, args, kinds, rows)
        (x,), (k,) = rows, kinds
        assert x is not None
        return self._folded(x, k.shape, kind.kwargs["axes"], math.prod(kind.shape))

    def _linear(self, kind: Kind, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        x = rows[0]
        if len(args) != 1 or x is None:
            return self._structured(kind, args, kinds, rows)
        size, out = math.prod(kinds[0].shape), math.prod(kind.shape)
        goes_to = _transposed_movement(kind, kinds[0])
        if goes_to is not None:
            return x.fold(np.arange(size), goes_to, out)
        if size * out <= PROBED:
            with np.errstate(all="ignore"):
                units = np.eye(size, dtype=kinds[0].dtype).reshape(size, *kinds[0].shape)
                members, groups = np.nonzero(call(kind, [units]).reshape(size, out))
            return x.fold(members, groups, out)
        return self._structured(kind, args, kinds, rows)

    def _structured(self, kind: Kind, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        op, params = kind.op, kind.kwargs
        if op.name == "matmul":
            return self._matmul(kind, args, kinds, rows)
        if op.name == "scan" and not any(self._fixed[a] for a in args[params["carries"] :][: params["xs"]]):
            return self._scan(params, rows)
        if op.name == "scan_adjoint":
            like = [variable("x", k.shape, kind.dtype) for k in kinds]
            return self._body(Body.written(stored_reversal(**params), like).tape, rows)
        if op.name == "call":
            return self._body(params["body"].tape, rows)
        if op.name in LAST_AXES:
            return self._batches(kind, kinds, rows)
        if "axis" in params and all(k.shape == kind.shape for k in kinds):
            axis = params["axis"]
            kept = (*kind.shape[:axis], 1, *kind.shape[axis:][1:])
            return self._along(kind, kinds, rows, [(axis,)] * len(kinds), [kept] * len(kinds))
        if op.indices is not None and "axis" in params:  # elements chosen by values may be any along those axes
            return self._chosen(kind, kinds, rows)
        template = templates.lower(kind, kinds) if op.lower is not None else None
        if template is not None and all(k.op is not op for k, _ in template.steps):
            return self._written_with_others(template, args, kinds, rows)
        if op.name == "scan":
            return self._scan(params, rows)
        return _of_everything(rows, math.prod(kind.shape))

    def _along(
        self,
        kind: Kind,
        kinds: Sequence[Kind],
        rows: Sequence[Dependence],
        over: Sequence[tuple[int, ...]],
        shapes: Sequence[tuple[int, ...]],
    ) -> Dependence:
        """Of each argument the union over axes, in a shape that broadcasts to the result's."""
        total: Dependence = None
        for k, x, axes, shape in zip(kinds, rows, over, shapes, strict=True):
            if x is not None:
                folded = self._folded(x, k.shape, axes, math.prod(shape)) if axes else x
                total = self._union(total, self._broadcast(folded, shape, kind.shape))
        return total

    def _chosen(self, kind: Kind, kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        """Gathered from the axes that the indices count along, or (with a shape) scattered into them from the indices' own."""
        (x, *indices), axis = kinds, kind.kwargs["axis"]
        rank = len(x.shape)
        if "shape" in kind.kwargs:
            first, count = len(kind.shape) + axis, max(len(i.shape) for i in indices)
        else:
            first, count = rank + axis, len(indices)
        kept = (*x.shape[:first], *(1,) * (len(kind.shape) - rank + count), *x.shape[first + count :])
        over = [tuple(range(first - rank, first + count - rank))]
        return self._along(kind, kinds[:1], rows[:1], over, [kept])

    def _batches(self, kind: Kind, kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        """Matrices in the last two axes are mixed, each with its own; of right-hand sides the columns are not."""
        batch = max(len(k.shape) for k in kinds) - 2
        core = len(kind.shape) - batch
        over = LAST_AXES[kind.op.name]
        shapes = [
            (*k.shape[:-2], *(1,) * core) if len(axes) == 2 else (*k.shape[:-2], 1, k.shape[-1])
            for k, axes in zip(kinds, over, strict=True)
        ]
        return self._along(kind, kinds, rows, over, shapes)

    def _body(self, tape: Tape, rows: list[Dependence]) -> Dependence:
        """A function called: its outputs are packed into one vector."""
        inner = self._inner()
        found = inner.run(tape.kinds, tape.args, dict(zip(tape.inputs, rows, strict=True)))
        (columns,) = {r.columns for r in rows if r is not None}
        return Rows.joined([found[o] or Rows.empty(math.prod(tape.kinds[o].shape), columns) for o in tape.outputs])

    def _scan(self, params: dict, rows: Sequence[Dependence]) -> Dependence:
        """A loop: one step's pattern, composed over the steps."""
        body, carries, xs, length = (params[n] for n in ("body", "carries", "xs", "length"))
        tape, moving = body.tape, set(floats(body.inputs))
        sizes = [math.prod(shape) for shape, _ in body.inputs]
        ends = np.cumsum([0, *sizes]).tolist()
        hubs = Hubs(ends[-1], _most_hubs(tape))
        step = {
            i: Rows.units(ends[k], sizes[k], hubs.columns)
            if k in moving and (k < carries or rows[k] is not None)
            else None
            for k, i in enumerate(tape.inputs)
        }
        found = self._inner(hubs).run(tape.kinds, tape.args, step)
        made = [found[o] or Rows.empty(math.prod(tape.kinds[o].shape), hubs.columns) for o in tape.outputs]
        (columns,) = {r.columns for r in rows if r is not None}
        in_all = [length * n if carries <= k < carries + xs else n for k, n in enumerate(sizes)]
        given = Rows.joined([r or Rows.empty(n, columns) for r, n in zip(rows, in_all, strict=True)])
        begins = np.concatenate(
            [start + np.arange(n) for start, n in zip(np.cumsum([0, *in_all]), sizes, strict=False)]
        )
        strides = np.repeat([n if carries <= k < carries + xs else 0 for k, n in enumerate(sizes)], sizes)
        all_made, results = Rows.joined([*made, *hubs.rows]), sum(len(m) for m in made)
        loop = Loop(all_made, ends[carries], results, given, begins, strides, length, params["reverse"])
        carry, ys = loop.followed()
        return Rows.joined([carry, ys.take(_leaf_by_leaf([len(m) for m in made[carries:]], length))])

    def _written_with_others(
        self, template: Template, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]
    ) -> Dependence:
        """The steps in the place of the operation, behind stand-ins for its arguments."""
        steps, inner = [*((k, ()) for k in kinds), *template.steps], self._inner()
        known = {n: self.constant(a) for n, a in enumerate(args)}
        inner._constants.update({n: value for n, value in known.items() if value is not None})
        found = inner.run([k for k, _ in steps], [a for _, a in steps], dict(enumerate(rows)))
        (out,) = template.outputs
        return found[out.index] if isinstance(out, Ref) else None

    def _matmul(self, kind: Kind, args: Sequence[int], kinds: list[Kind], rows: list[Dependence]) -> Dependence:
        """An element takes a row of the first and a column of the second: of a constant's only what is not zero."""
        total: Dependence = None
        for side in (0, 1):
            x, k, other = rows[side], kinds[side], self.constant(args[1 - side])
            if x is None:
                continue
            if other is not None and other.ndim == 2 and not other.all():
                total = self._union(total, _times_constant(x, k.shape, other, kind.shape, side))
                continue
            axis = (-1, -2)[side]
            kept = (*k.shape[:-1], 1) if side == 0 else (*k.shape[:-2], 1, k.shape[-1])
            total = self._union(
                total, self._broadcast(self._folded(x, k.shape, (axis,), math.prod(kept)), kept, kind.shape)
            )
        return total

    # ---- parts ----
    def _inner(self, hubs: Hubs | None = None) -> Propagation:
        """For values of other numbers, sharing the sets."""
        inner = Propagation(hubs or self.hubs)
        inner._unions, inner._moved = self._unions, self._moved
        return inner

    def _union(self, a: Dependence, b: Rows) -> Rows:
        if a is None:
            return b
        known = self._unions.get((id(a), id(b)))
        if known is None:  # the operands are kept, so that no other object takes their ids
            known = self._unions[id(a), id(b)] = (a, b, a.union(b))
        return known[2]

    def _folded(self, x: Rows, shape: tuple[int, ...], axes: tuple[int, ...], count: int) -> Rows:
        """The union over axes of a value of this shape."""
        reduced = {a % len(shape) for a in axes}
        kept = tuple(1 if k in reduced else n for k, n in enumerate(shape))
        groups = np.broadcast_to(np.arange(count).reshape(kept), shape).reshape(-1)
        found = x.fold(np.arange(len(x)), groups, count)
        return found if self.hubs is None else self.hubs.standing_for(found)

    def _broadcast(self, x: Rows, shape: tuple[int, ...], target: tuple[int, ...]) -> Rows:
        if math.prod(shape) == math.prod(target):
            return x
        key = (id(x), shape, target)
        known = self._moved.get(key)
        if known is None:
            numbers = np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), target).reshape(-1)
            known = self._moved[key] = (x, x.take(numbers))
        return known[1]

    def _taken(self, x: Rows, kind: Kind, kinds: list[Kind]) -> Rows:
        """What is moved in the same way is the same."""
        if kind.op.name == "reshape":
            return x
        key = (id(x), kind, kinds[0].shape)
        known = self._moved.get(key)
        if known is None:
            known = self._moved[key] = (x, x.take(_numbers(kind, kinds)))
        return known[1]

    def constant(self, i: int) -> np.ndarray | None:
        """The value of what is computed from constants alone; None for anything else, or anything large."""
        kind = self.kinds[i]
        if not self._fixed[i] or math.prod(kind.shape) > LOOKED_AT:
            return None
        if i not in self._constants:
            operands = [self.constant(a) for a in self.args[i]]
            if any(v is None for v in operands):
                return None
            with np.errstate(all="ignore"):
                self._constants[i] = (
                    call(kind, [v[None] for v in operands if v is not None])[0] if operands else constant_value(kind)
                )
        return self._constants[i]


def _most_hubs(tape: Tape) -> int:
    """How many sets a tape's sums and products can unite at most."""
    mixing = (a for k, a in zip(tape.kinds, tape.args, strict=True) if k.op.family not in ("elementwise", "movement"))
    return sum(math.prod(tape.kinds[i].shape) for args in mixing for i in args)


def _leaf_by_leaf(sizes: Sequence[int], length: int) -> np.ndarray:
    """The numbers of ys' elements: leaf by leaf, where they were counted step by step."""
    steps, starts = np.arange(length)[:, None] * sum(sizes), np.cumsum([0, *sizes])
    return np.concatenate(
        [(steps + start + np.arange(n)).reshape(-1) for start, n in zip(starts, sizes, strict=False)] or [np.arange(0)]
    )


def _numbers(kind: Kind, kinds: Sequence[Kind]) -> np.ndarray:
    """For every element of a movement's result the number of the element moved there, counted through all arguments."""
    numbered, start = [], 0
    for k in kinds:
        size = math.prod(k.shape)
        numbered.append(np.arange(start, start + size).reshape(1, *k.shape))
        start += size
    return call(kind, numbered).reshape(-1)


def _transposed_movement(kind: Kind, argument: Kind) -> np.ndarray | None:
    """For every element of a linear operation's argument the one element of the result that it goes to.

    That is so where the transpose, which is its reverse rule, is a movement. None: it is not.
    """
    template = templates.vjp(kind, [argument])
    (out,) = template.outputs
    if not isinstance(out, Ref):
        return None
    values: list[np.ndarray | None] = [np.arange(math.prod(kind.shape)).reshape(1, *kind.shape), None, None]
    for step, args in template.steps:
        operands = [values[a] for a in args]
        moves = step.op.family == "movement" and len(args) == 1 and operands[0] is not None
        values.append(call(step, [operands[0]]) if moves else None)  # type: ignore[list-item]
    found = values[out.index]
    return None if found is None else found.reshape(-1)


def _times_constant(x: Rows, shape: tuple[int, ...], other: np.ndarray, out: tuple[int, ...], side: int) -> Rows:
    """A product with a constant matrix: element (i, j) is made of the x_ik with a c_kj that is not zero, or c_ik and x_kj."""
    if side == 0:
        ks, js = np.nonzero(other)
        lines = np.arange(math.prod(shape[:-1]))[:, None]
        members, groups = lines * shape[-1] + ks, lines * other.shape[1] + js
    else:
        rows, ks = np.nonzero(other)
        batch = np.arange(math.prod(shape[:-2]))[:, None, None]
        lines = np.arange(shape[-1])[:, None]
        members = (batch * shape[-2] + ks) * shape[-1] + lines
        groups = (batch * other.shape[0] + rows) * shape[-1] + lines
    return x.fold(members.reshape(-1), groups.reshape(-1), math.prod(out))


def _of_everything(rows: Sequence[Dependence], count: int) -> Dependence:
    """Every element depends on all that any argument's element depends on."""
    present = [r for r in rows if r is not None and len(r)]
    if not present or not count:
        return None
    columns = present[0].columns
    met = np.zeros(columns, bool)
    for r in present:
        met[r.index] = True
    one = Rows(np.array([0, met.sum()], np.int64), np.flatnonzero(met).astype(np.int32), columns)
    return one.take(np.zeros(count, np.int64))
