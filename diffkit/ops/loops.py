"""Operations with a body: `scan` (a loop with a carry), its checkpointed reversal, and `call` (for `dk.checkpoint`).

A *body* is a tape as a static parameter (`tape/body.py`). This package imports nothing, so the body brings its evaluator
(`run`), its derivatives (`tangent`, `adjoint`, `halves`, `backward`) and its form in other algebras (`write`).

**A scan.** Arguments, in order: the leaves of the carry, the leaves of xs (steps along the first axis), constants. The body has for
inputs the carry, one slice of every x, the constants; for outputs the new carry, one slice of every y. Step n = 0 …
length − 1 takes slice n of xs and writes slice n of ys; with `reverse` the steps are taken from length − 1 down to 0.

**A reversal** (`scan_adjoint`). Arguments: those of the scan; the adjoints of the final carry's leaves and of ys, of floats alone.
`backward` is the step backwards (`Body.backward` says what it takes and gives), `sums` the number of constants whose adjoints it
adds up. Carries are kept and steps run again as `revolve.actions` says, in terms of the order in which the scan takes its steps.

**The result** of every operation here is one flat vector: its pieces, each in C order, one behind the other. Of a scan: the
leaves of the final carry, then those of ys, each (length, *slice). Of a reversal: the adjoints of the first carry's leaves, the
sums, then the adjoints of xs. Of a call: the outputs of the body. User functions and rules unpack it with `getitem` and
`reshape`, and the pass in `tape/packed.py` sees through that.

Arguments come in the dtype that they have in common, as everywhere on a tape; the body brings them to the dtypes of its inputs.
Integers and conditions ride along as floats (exact to 2⁵³) and have no derivative. Lanes of arguments may differ; a carry of one
lane becomes one of as many as what it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .op import define
from .revolve import ADVANCE, FORGET, KEEP, RETURN, actions, recomputed

#: loops of at most so many instructions altogether are written out where an operation is wanted in others
UNROLLED = 1_000


# ---- packing --------------------------------------------------------------------------------------------------
def _sizes(shapes) -> list[int]:
    return [math.prod(s) for s in shapes]


def unpacked(o, flat, shapes) -> list:
    """The pieces of a flat vector."""
    pieces, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        pieces.append(o.reshape(o.getitem(flat, index=(("slice", start, end, None),)), shape=tuple(shape)))
        start = end
    return pieces


def packed(o, pieces):
    """Pieces as one flat vector."""
    rows = [o.reshape(p, shape=(math.prod(p.shape),)) for p in pieces]
    return rows[0] if len(rows) == 1 else o.concatenate(*rows, axis=-1) if rows else o.zeros((0,))


def _packed_numpy(pieces, lanes, dtype, total):
    out = np.empty((lanes, total), dtype)
    start = 0
    for p in pieces:
        flat = p.reshape(p.shape[0], -1) if p.size else np.empty((1, 0))
        out[:, start : start + flat.shape[1]] = flat
        start += flat.shape[1]
    return out


def _lanes_and_dtype(args):
    lanes = np.broadcast_shapes(*(a.shape[:1] for a in args))[0]
    return lanes, np.float32 if all(a.dtype == np.float32 for a in args) else np.float64


def _floats(signature):
    return [k for k, (_, dtype) in enumerate(signature) if dtype not in ("bool", "int64")]


def _of(signature):
    return [shape for shape, _ in signature]


# ---- scan -----------------------------------------------------------------------------------------------------
def pieces_of_scan(body, carries, length, **rest) -> list[tuple[int, ...]]:
    """Shapes of what a scan's result packs."""
    shapes = _of(body.outputs)
    return [*shapes[:carries], *((length, *s) for s in shapes[carries:])]


def _fits(name, shapes, expected):
    if len(shapes) != len(expected):
        raise ValueError(f"{len(expected)} arguments are what the body takes, {len(shapes)} given")
    for k, (have, want) in enumerate(zip(shapes, expected, strict=True)):
        if tuple(have) != tuple(want):
            raise ValueError(f"argument {k} of {name} has core shape {have}; its body takes {want}")


def _arguments_of_scan(body, carries, xs, length):
    taken = _of(body.inputs)
    return [*taken[:carries], *((length, *s) for s in taken[carries : carries + xs]), *taken[carries + xs :]]


def _scan_shape(*shapes, body, carries, xs, length, reverse, checkpoints):
    _fits("scan", shapes, _arguments_of_scan(body, carries, xs, length))
    given, made = body.inputs[:carries], body.outputs[:carries]
    if given != made:
        raise ValueError(f"the body turns a carry of {list(given)} into {list(made)}")
    return (sum(_sizes(pieces_of_scan(body, carries, length))),)


def in_order(length, reverse):
    return range(length - 1, -1, -1) if reverse else range(length)


def _scan(*args, body, carries, xs, length, reverse, checkpoints):
    shapes = pieces_of_scan(body, carries, length)
    sizes, (lanes, dtype) = _sizes(shapes), _lanes_and_dtype(args)
    out = np.empty((lanes, sum(sizes)), dtype)
    ys, start = [], sum(sizes[:carries])
    for shape, size in zip(shapes[carries:], sizes[carries:], strict=True):
        ys.append(out[:, start : start + size].reshape(lanes, *shape))
        start += size
    carry, rows, constants = list(args[:carries]), args[carries : carries + xs], args[carries + xs :]
    run = body.run
    with np.errstate(all="ignore"):
        for n in in_order(length, reverse):
            made = run([*carry, *[x[:, n] for x in rows], *constants])
            carry = made[:carries]
            for y, value in zip(ys, made[carries:], strict=True):
                y[:, n] = value
    start = 0
    for c, size in zip(carry, sizes[:carries], strict=True):
        out[:, start : start + size] = c.reshape(c.shape[0], size)
        start += size
    return out


def _split(values, carries, xs):
    return list(values[:carries]), list(values[carries : carries + xs]), list(values[carries + xs :])


def _beside(groups, tangents):
    """Values before their tangents, group by group."""
    return [k for group in groups for k in (*group, *(tangents[k] for k in group if k in tangents))]


def _tangents_of(floats, count):
    """Where the tangents of these values are, behind `count` values."""
    return {k: count + n for n, k in enumerate(floats)}


def _scan_jvp(o, tangents, out, *args, body, carries, xs, length, reverse, checkpoints):
    """A scan of the body's tangent: every carry that can move has its tangent beside it."""
    count, numbers = len(body.outputs), _floats(body.inputs)
    active = [t is not None and k in numbers for k, t in enumerate(tangents)]
    while True:  # a carry moves if what it is made of does
        reached = body.reached(active)
        grown = [on or new for on, new in zip(active[:carries], reached, strict=False)]
        if grown == active[:carries]:
            break
        active[:carries] = grown
    wanted = [*grown, *reached[carries:]]
    moving, wanting = ([k for k, on in enumerate(which) if on] for which in (active, wanted))
    # positions among the body's inputs and outputs, values before tangents, brought into the order of a loop
    at = _tangents_of(moving, len(args))
    inputs = _beside(_split(range(len(args)), carries, xs), at)
    put = _tangents_of(wanting, count)
    outputs = _beside((range(carries), range(carries, count)), put)
    step = body.tangent(active, wanted).arranged(inputs, outputs)
    step.extend(body, [inputs.index(k) for k in range(len(args))], [outputs.index(k) for k in range(count)])
    values = dict(enumerate(args)) | {
        at[k]: o.zeros(args[k].shape) if tangents[k] is None else tangents[k] for k in moving
    }
    both = carries + sum(grown)
    flat = o.scan(
        *(values[k] for k in inputs), body=step, carries=both, length=length, reverse=reverse, checkpoints=checkpoints,
        xs=xs + sum(active[carries : carries + xs]),
    )  # fmt: skip
    pieces = dict(zip(outputs, unpacked(o, flat, pieces_of_scan(step, both, length)), strict=True))
    shapes = pieces_of_scan(body, carries, length)
    return packed(o, [pieces[put[k]] if k in put else o.zeros(s) for k, s in enumerate(shapes)])


def _seeds(o, adjoint, body, carries, length):
    """The adjoints of the final carry and of ys, of floats alone."""
    pieces = unpacked(o, adjoint, pieces_of_scan(body, carries, length))
    moving = _floats(body.outputs)
    return [pieces[k] for k in moving if k < carries], [pieces[k] for k in moving if k >= carries]


def _backward_pass(o, args, seeds, *, body, carries, xs, length, reverse, checkpoints):
    """The flat adjoints [carry; sums of the constants'; xs] of the arguments that are floats."""
    carry, rows, constants = _split(args, carries, xs)
    last, ys = seeds
    step = body.backward(carries, xs)
    summed = sum(1 for k in _floats(body.inputs) if k >= carries + xs)
    sums = [o.zeros(s) for s, _ in step.inputs[len(last) : len(last) + summed]]
    if checkpoints:
        return o.scan_adjoint(
            *carry, *rows, *constants, *last, *ys, body=body, backward=step, carries=carries, xs=xs, sums=len(sums),
            length=length, reverse=reverse, checkpoints=checkpoints,
        )  # fmt: skip
    there, back = body.halves(carries, xs)
    forward = o.scan(*args, body=there, carries=carries, xs=xs, length=length, reverse=reverse, checkpoints=0)
    stored = unpacked(o, forward, pieces_of_scan(there, carries, length))[len(body.outputs) :]
    return o.scan(
        *last, *sums, *stored, *rows, *ys, *constants, body=back, carries=len(last) + len(sums),
        xs=len(stored) + xs + len(ys), length=length, reverse=not reverse, checkpoints=0,
    )  # fmt: skip


def _scan_vjp(o, adjoint, out, *args, body, carries, xs, length, reverse, checkpoints):
    """A scan in the other direction of the body's adjoint. It carries the carry's adjoint and the sums of the constants'."""
    moving = _floats(body.inputs)
    if not moving:
        return (None,) * len(args)
    flat = _backward_pass(
        o, args, _seeds(o, adjoint, body, carries, length), body=body, carries=carries, xs=xs, length=length,
        reverse=reverse, checkpoints=checkpoints,
    )  # fmt: skip
    of_xs = [k for k in moving if carries <= k < carries + xs]
    order = [*(k for k in moving if k not in of_xs), *of_xs]
    pieces = dict(zip(order, unpacked(o, flat, [args[k].shape for k in order]), strict=True))
    return tuple(pieces.get(k) for k in range(len(args)))


def _scan_lowered(o, *args, body, carries, xs, length, reverse, checkpoints):
    """Written out step by step, if that is short."""
    if length * max(1, len(body.tape)) > UNROLLED:
        return o.primitive(
            "scan", *args, body=body, carries=carries, xs=xs, length=length, reverse=reverse, checkpoints=checkpoints
        )
    carry, rows, constants = _split(args, carries, xs)
    carry = list(carry)
    ys: list[list] = [[None] * length for _ in body.outputs[carries:]]
    for n in in_order(length, reverse):
        made = body(*carry, *(o.getitem(x, index=(n,)) for x in rows), *constants)
        carry = made[:carries]
        for y, value in zip(ys, made[carries:], strict=True):
            y[n] = value
    shapes = _of(body.outputs)[carries:]
    return packed(
        o,
        [*carry, *(o.stack(*y, axis=-1 - len(s)) if y else o.zeros((0, *s)) for y, s in zip(ys, shapes, strict=True))],
    )


def _scan_sympy(s, *args, body, carries, xs, length, reverse, checkpoints):
    body.check_written(s, length)
    carry, rows, constants = _split([a[0] for a in args], carries, xs)
    ys: list[list] = [[None] * length for _ in body.outputs[carries:]]
    for n in in_order(length, reverse):
        made = body.write(s, [*carry, *(x[n] for x in rows), *constants])
        carry = made[:carries]
        for y, value in zip(ys, made[carries:], strict=True):
            y[n] = value
    return _packed_objects([*carry, *(v for y in ys for v in y)])


def _packed_objects(pieces):
    rows = [np.asarray(p, dtype=object).reshape(-1) for p in pieces]
    return np.concatenate(rows)[None] if rows else np.empty((1, 0), dtype=object)


_SCAN = {"body": None, "carries": 0, "xs": 0, "length": 0, "reverse": False, "checkpoints": 0}

define(
    "scan",
    None,
    "a loop with a carry",
    _scan,
    family="structured",
    cost="move",
    params=_SCAN,
    shape=_scan_shape,
    jvp=_scan_jvp,
    vjp=_scan_vjp,
    lower=_scan_lowered,
    sympy=_scan_sympy,
)


# ---- the reversal of a scan with checkpoints ------------------------------------------------------------------
def _parts_of_adjoint(values, body, carries, xs):
    """(carry, xs, constants, adjoints of the final carry, adjoints of ys)"""
    count, moving = len(body.inputs), _floats(body.outputs)
    last = sum(1 for k in moving if k < carries)
    return *_split(values[:count], carries, xs), list(values[count : count + last]), list(values[count + last :])


def pieces_of_reversal(body, backward, carries, sums, length, **rest) -> list[tuple[int, ...]]:
    """Shapes of what the result packs: adjoints of the first carry, of the constants; of xs."""
    return pieces_of_scan(backward, sum(1 for k in _floats(body.outputs) if k < carries) + sums, length)


def _adjoint_shape(*shapes, body, backward, carries, xs, sums, length, reverse, checkpoints):
    made = pieces_of_scan(body, carries, length)
    seeded = [made[k] for k in _floats(body.outputs)]
    _fits("scan_adjoint", shapes, [*_arguments_of_scan(body, carries, xs, length), *seeded])
    return (sum(_sizes(pieces_of_reversal(body, backward, carries, sums, length))),)


def _scan_adjoint(*args, body, backward, carries, xs, sums, length, reverse, checkpoints):
    carry, rows, constants, moved, seeds = _parts_of_adjoint(args, body, carries, xs)
    ends = len(moved) + sums
    shapes = pieces_of_reversal(body, backward, carries, sums, length)
    sizes, (lanes, dtype) = _sizes(shapes), _lanes_and_dtype(args)
    out = np.empty((lanes, sum(sizes)), dtype)
    found, start = [], sum(sizes[:ends])
    for shape, size in zip(shapes[ends:], sizes[ends:], strict=True):
        found.append(out[:, start : start + size].reshape(lanes, *shape))
        start += size
    moved = [*moved, *(np.zeros((1, *s), dtype) for s in shapes[len(moved) : ends])]
    advance, back = body.advancing(carries).run, backward.run
    kept: list = []
    with np.errstate(all="ignore"):
        for what, first, last in actions(length, checkpoints):
            if what == ADVANCE:
                for n in range(length - 1 - first, length - 1 - last, -1) if reverse else range(first, last):
                    carry = advance([*carry, *[x[:, n] for x in rows], *constants])
            elif what == KEEP:
                kept.append(carry)
            elif what == RETURN:
                carry = kept[-1]
            elif what == FORGET:
                kept.pop()
            else:
                n = length - 1 - first if reverse else first
                slices = [*carry, *[x[:, n] for x in rows], *[y[:, n] for y in seeds]]
                made = back([*moved, *slices, *constants])
                moved = made[:ends]
                for x, value in zip(found, made[ends:], strict=True):
                    x[:, n] = value
    out[:, : sum(sizes[:ends])] = _packed_numpy(moved, lanes, dtype, sum(sizes[:ends]))
    return out


def stored_reversal(*, body, backward, carries, xs, sums, length, reverse, checkpoints):
    """A rule that writes the same with all carries stored: what the reversal of a reversal is made from."""

    def rule(o, *args):
        carry, rows, constants, moved, seeds = _parts_of_adjoint(args, body, carries, xs)
        storing = body.storing(carries)
        forward = o.scan(
            *carry,
            *rows,
            *constants,
            body=storing,
            carries=carries,
            xs=xs,
            length=length,
            reverse=reverse,
            checkpoints=0,
        )
        stored = unpacked(o, forward, pieces_of_scan(storing, carries, length))[len(body.outputs) :]
        started = [o.zeros(s) for s, _ in backward.inputs[len(moved) : len(moved) + sums]]
        return [o.scan(
            *moved, *started, *stored, *rows, *seeds, *constants, body=backward, carries=len(moved) + sums,
            xs=carries + xs + len(seeds), length=length, reverse=not reverse, checkpoints=0,
        )]  # fmt: skip

    return rule


def _adjoint_jvp(o, tangents, out, *args, body, backward, carries, xs, sums, length, reverse, checkpoints):
    """The reversal of the tangent's loop, in memory for as many carries: every carry has its tangent beside it."""
    count, made, ends = len(body.inputs), _floats(body.outputs), len(backward.outputs)
    last, there, back = sum(1 for k in made if k < carries), _floats(body.inputs), _floats(backward.inputs)
    # one step of either loop with its tangent, and what it takes and gives in the order of a loop
    groups = _split(range(count), carries, xs)
    forward = body.tangent([k in there for k in range(count)], [k in made for k in range(len(body.outputs))]).arranged(
        _beside(groups, _tangents_of(there, count)),
        _beside((range(carries), range(carries, len(body.outputs))), _tangents_of(made, len(body.outputs))),
    )
    found, starts = len(backward.inputs), np.cumsum([0, last, sums, carries, xs, len(made) - last]).tolist()
    cut = [range(a, b) for a, b in pairwise([*starts, found])]
    order = _beside((*cut[:2], range(last + sums, ends)), _tangents_of(range(ends), ends))
    step = backward.tangent([k in back for k in range(found)], [True] * ends)
    step = step.arranged(_beside(cut, _tangents_of(back, found)), order)
    moving = [*there, *range(count, len(args))]
    values = dict(enumerate(args))
    for k, at in _tangents_of(moving, len(args)).items():
        values[at] = o.zeros(args[k].shape) if tangents[k] is None else tangents[k]
    taken = _beside(
        (*groups, range(count, count + last), range(count + last, len(args))), _tangents_of(moving, len(args))
    )
    how = {
        "body": forward, "backward": step, "carries": carries + sum(1 for k in there if k < carries), "sums": 2 * sums,
        "xs": xs + sum(1 for k in there if carries <= k < carries + xs), "length": length,
    }  # fmt: skip
    flat = o.scan_adjoint(*(values[k] for k in taken), **how, reverse=reverse, checkpoints=checkpoints)
    pieces = dict(zip(order, unpacked(o, flat, pieces_of_reversal(**how)), strict=True))
    return packed(o, [pieces[ends + k] for k in range(ends)])


def _adjoint_vjp(o, adjoint, out, *args, body, **how):
    whole = body.written(stored_reversal(body=body, **how), args)
    found = dict(zip(_floats(whole.inputs), whole.adjoint()(*args, adjoint), strict=True))
    return tuple(found.get(k) for k in range(len(args)))


def _adjoint_sympy(s, *args, body, **how):
    how["backward"].check_written(s, how["length"])
    like = [_Like(a.shape[1:]) for a in args]
    return body.written(stored_reversal(body=body, **how), like).write(s, [a[0] for a in args])[0][None]


def _adjoint_source(o, *args, **params):
    """In sources all carries are stored."""
    return stored_reversal(**params)(o, *args)[0]


class _Like:
    """A float64 of this shape, to write a rule for."""

    dtype = "float64"

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)


define(
    "scan_adjoint",
    None,
    "the reversal of a loop, in memory for few carries",
    _scan_adjoint,
    family="structured",
    cost="move",
    params={**_SCAN, "backward": None, "sums": 0},
    shape=_adjoint_shape,
    jvp=_adjoint_jvp,
    vjp=_adjoint_vjp,
    sympy=_adjoint_sympy,
    spelling=dict.fromkeys(("numpy", "jax", "torch"), _adjoint_source),
)


def pieces_of_call(body) -> list[tuple[int, ...]]:
    """Shapes of what a call's result packs: the outputs of the body."""
    return _of(body.outputs)


# ---- call -----------------------------------------------------------------------------------------------------
def _call_shape(*shapes, body):
    _fits("call", shapes, _of(body.inputs))
    return (sum(_sizes(_of(body.outputs))),)


def _call(*args, body):
    lanes, dtype = _lanes_and_dtype(args)
    with np.errstate(all="ignore"):
        return _packed_numpy(body.run(args), lanes, dtype, sum(_sizes(_of(body.outputs))))


def _call_jvp(o, tangents, out, *args, body):
    active = [t is not None for t in tangents]
    reached, count = body.reached(active), len(body.outputs)
    step = body.tangent(active)
    step = step.arranged(range(len(step.inputs)), range(count, len(step.outputs)))
    flat = o.call(*args, *(t for t in tangents if t is not None), body=step)
    moved = iter(unpacked(o, flat, _of(step.outputs)))
    return packed(o, [next(moved) if on else o.zeros(s) for on, (s, _) in zip(reached, body.outputs, strict=True)])


def _call_vjp(o, adjoint, out, *args, body):
    """Another call: what the body computes inside is computed again there, and nothing of it is kept between."""
    moving = _floats(body.inputs)
    if not moving:
        return (None,) * len(args)
    pieces = unpacked(o, adjoint, _of(body.outputs))
    back = body.adjoint()
    flat = o.call(*args, *(pieces[k] for k in _floats(body.outputs)), body=back)
    found = dict(zip(moving, unpacked(o, flat, _of(back.outputs)), strict=True))
    return tuple(found.get(k) for k in range(len(args)))


define(
    "call",
    None,
    "a function whose inside values are not kept",
    _call,
    family="structured",
    cost="move",
    params={"body": None},
    shape=_call_shape,
    jvp=_call_jvp,
    vjp=_call_vjp,
    sympy=lambda s, *args, body: _packed_objects(body.write(s, [a[0] for a in args])),
)


def repeated(params) -> list[tuple]:
    """(body, how often it is run) for the parameters of an operation with a body."""
    body, length = params.get("body"), params.get("length", 1)
    if body is None:
        return []
    if "backward" in params:
        again = recomputed(length, params["checkpoints"])
        return [(body.advancing(params["carries"]), again), (params["backward"], length)]
    return [(body, length)]
