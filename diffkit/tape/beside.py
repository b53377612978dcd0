"""Loops beside each other that do the same work, made one.

A rule writes a loop that computes what another does and more: its tangents, or what its reversal needs. Then the other is read
off that one. And tangents in several directions are several such loops, which share what they all compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..ops import TABLE
from .body import Body
from .packed import ends_of, read
from .tape import Builder, Tape

_CONCATENATE, _SCAN = TABLE["concatenate"], TABLE["scan"]


class Family(NamedTuple):
    """Loops that all compute what `base` does, of the same arguments; none depends on another."""

    base: Body
    #: of the base
    carries: int
    xs: int
    members: tuple[int, ...]


def joined(tape: Tape) -> Tape:
    """The same outputs of the same inputs."""
    families, whole = _families(tape), _wholes(tape)
    if not (families or whole):
        return tape
    family = {i: f for f in families for i in f.members}
    needs = {i: [a for m in f.members for a in tape.args[m]] for i, f in family.items()}
    needs.update({i: [other] for i, (other, _) in whole.items()})
    order = _order(tape, needs)
    if order is None:
        return tape
    builder, place = Builder(), {}
    for i in tape.inputs:
        place[i] = builder.leaf(tape.kinds[i])
    for i in order:
        kind = tape.kinds[i]
        if i in place:
            continue
        if i in whole:
            other, outputs = whole[i]
            place[i] = builder.cast(_packed(builder, place[other], ends_of(tape.kinds[other]), outputs), kind.dtype)
        elif i in family:
            made, outputs_of = _joined(builder, tape, family[i], place)
            for member, outputs in outputs_of.items():
                packed = _packed(builder, made, ends_of(builder.kinds[made]), outputs)
                place[member] = builder.cast(packed, tape.kinds[member].dtype)
        else:
            args = tuple([place[a] for a in tape.args[i]])
            place[i] = builder.again(kind, args) if args else builder.leaf(kind)
    return builder.finish([place[i] for i in tape.inputs], [place[o] for o in tape.outputs], tape.labels)


def _packed(builder: Builder, flat: int, ends: Sequence[int], pieces: Sequence[int]) -> int:
    rows = [read(builder, flat, ends[k], ends[k + 1]) for k in pieces]
    return rows[0] if len(rows) == 1 else builder.emit(_CONCATENATE, (("axis", -1),), tuple(rows))


def _alike(tape: Tape, i: int) -> tuple:
    return tuple(tape.kinds[i].kwargs[n] for n in ("length", "reverse"))


def _wholes(tape: Tape) -> dict[int, tuple[int, tuple[int, ...]]]:
    """For loops to be read off another: that one, and the numbers of the pieces there."""
    scans = [i for i, k in enumerate(tape.kinds) if k.op is _SCAN]
    by_body: dict[Body, list[int]] = {}
    for i in scans:
        by_body.setdefault(tape.kinds[i].kwargs["body"], []).append(i)
    found: dict[int, tuple[int, tuple[int, ...]]] = {}
    for i in scans:
        for body, (inputs, outputs) in tape.kinds[i].kwargs["body"].extensions.items():
            for other in by_body.get(body, ()):
                same = other != i and _alike(tape, other) == _alike(tape, i)
                if same and outputs and tuple(tape.args[other][k] for k in inputs) == tape.args[i]:
                    found[i] = (other, outputs)
    return found


def _families(tape: Tape) -> list[Family]:
    """Loops that extend the same, of the same arguments."""
    groups: dict[tuple, list[int]] = {}
    for i, kind in enumerate(tape.kinds):
        if kind.op is _SCAN:
            for base, (inputs, _) in kind.kwargs["body"].bases.items():
                key = (base, tuple(tape.args[i][k] for k in inputs), kind.kwargs["checkpoints"], *_alike(tape, i))
                groups.setdefault(key, []).append(i)
    families, taken = [], set()
    for (base, *_), members in groups.items():
        members = _independent(tape, [i for i in members if i not in taken])
        if len(members) > 1:
            taken.update(members)
            kind = tape.kinds[members[0]]
            inputs, _ = kind.kwargs["body"].bases[base]
            carries = sum(1 for k in inputs if k < kind.kwargs["carries"])
            xs = sum(1 for k in inputs if k < kind.kwargs["carries"] + kind.kwargs["xs"]) - carries
            families.append(Family(base, carries, xs, tuple(members)))
    return families


def _independent(tape: Tape, members: list[int]) -> list[int]:
    """Those that depend on none of the others."""
    if len(members) < 2:
        return members
    behind = bytearray(len(tape.kinds))
    for i in range(members[0], members[-1] + 1):
        behind[i] = any(behind[a] or a in members for a in tape.args[i])
    return [i for i in members if not behind[i]]


def _joined(
    builder: Builder, tape: Tape, family: Family, place: dict[int, int]
) -> tuple[int, dict[int, tuple[int, ...]]]:
    """One loop for a family, and for every member the numbers of its pieces there."""
    base, carries, xs, members = family
    writer = Builder()
    shared = [writer.input(f"x{k}", shape, dtype, -12) for k, (shape, dtype) in enumerate(base.inputs)]
    first = tape.kinds[members[0]].kwargs["body"].bases[base][0]
    given = [place[tape.args[members[0]][k]] for k in first]
    # (input, argument) of carries, xs, constants; (output) of carries, ys
    groups = [list(zip(shared, given, strict=True))[part] for part in _parts(carries, xs)]
    results: list[list[tuple[int, int]]] = [[], []]  # (member, its output)
    values: dict[tuple[int, int], int] = {}
    for n, m in enumerate(members):
        how, args = tape.kinds[m].kwargs, tape.args[m]
        body: Body = how["body"]
        inputs, outputs = body.bases[base]
        own = dict(zip(inputs, shared, strict=True))
        for k, (shape, dtype) in enumerate(body.inputs):
            if k not in own:
                own[k] = writer.input(f"y{n}.{k}", shape, dtype, -12)
                group = 0 if k < how["carries"] else 1 if k < how["carries"] + how["xs"] else 2
                groups[group].append((own[k], place[args[k]]))
        written = body.write_on(writer, [own[k] for k in range(len(body.inputs))])
        for k, value in enumerate(written):
            values[m, k] = value
            if n == 0 or k not in outputs:
                results[k >= how["carries"]].append((m, k))
        if n == 0:  # the base's carries come first, as among the inputs
            results[0].sort(key=lambda at: (at[1] not in outputs, outputs.index(at[1]) if at[1] in outputs else at[1]))
    order = [*results[0], *results[1]]
    step = Body.of(writer.finish([i for g in groups for i, _ in g], [values[at] for at in order]))
    params = {**tape.kinds[members[0]].kwargs, "body": step, "carries": len(groups[0]), "xs": len(groups[1])}
    made = builder.emit(_SCAN, _SCAN.bind(params), tuple(a for g in groups for _, a in g))
    number = {at: n for n, at in enumerate(order)}
    outputs_of = {}
    for m in members:
        body = tape.kinds[m].kwargs["body"]
        of_base = dict(zip(body.bases[base][1], tape.kinds[members[0]].kwargs["body"].bases[base][1], strict=True))
        outputs_of[m] = tuple(
            number[(members[0], of_base[k]) if k in of_base else (m, k)] for k in range(len(body.outputs))
        )
    return made, outputs_of


def _parts(carries: int, xs: int) -> tuple[slice, slice, slice]:
    return slice(0, carries), slice(carries, carries + xs), slice(carries + xs, None)


def _order(tape: Tape, needs: dict[int, list[int]]) -> list[int] | None:
    """Values in an order in which everything comes after what it needs, where some need others than before; None: there is none."""
    begun, done, order = bytearray(len(tape.kinds)), bytearray(len(tape.kinds)), []
    for root in tape.outputs:
        stack = [root]
        while stack:
            i = stack[-1]
            waiting = [] if done[i] else [a for a in needs.get(i, tape.args[i]) if not done[a]]
            if waiting:
                if any(begun[a] for a in waiting):  # begun and not done: it needs this value
                    return None
                begun[i] = 1
                stack.extend(waiting)
                continue
            if not done[i]:
                done[i] = 1
                order.append(i)
            stack.pop()
    return order
