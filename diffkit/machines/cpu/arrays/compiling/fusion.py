"""Runs of elementwise instructions on the same elements, made one instruction each.

The interpreter executes an array program one instruction after the other, over registers that the cache holds. Where
elementwise instructions follow each other on the same elements, one kernel can do the work of all (groups.py): every operand is
read once, and only what is read later is written. Such a kernel holds the bodies of the very kernels that it replaces, so the
answers have the same bits. A loop with a small body is one kernel altogether (native_loops.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...emit import by_symbol
from ...plan import SIZE
from ..opcodes import CALL, EACH, GROUP, LOOP, REVERSAL
from ..program import WORK, Host, Lanes, Phase, Program, Whole
from ..views import LOCAL, collapsed
from .groups import Body, Pointer, affordable, is_known
from .loop_kernels import LONGEST_LOOPS, LoopBody, loop_extent
from .native_loops import NativeLoop, native_loop

#: instructions in a group
MOST_STEPS = 48
#: pointers of a kernel
MOST_POINTERS = 24
#: loops around a kernel
MOST_LOOPS = 8


class Operand(NamedTuple):
    """What an instruction reads or writes: a place, and strides in bytes (bytes a lane where scaled)."""

    place: int
    scaled: int
    letter: str
    #: bytes from lane to lane
    step: int
    strides: tuple[int, ...]


class Step(NamedTuple):
    """An elementwise instruction: a loop over elements, and (in lanes) over lanes within it."""

    symbol: str
    fold: bool
    sizes: tuple[int, ...]
    #: the result first
    operands: tuple[Operand, ...]
    #: where in the code it stands, and where the operation is done that it is a part of
    begin: int
    end: int

    def reads(self) -> tuple[Operand, ...]:
        return self.operands if self.fold else self.operands[1:]

    def over(self, sizes: tuple[int, ...]) -> Step:
        """The same with its loops cut up into loops of these sizes."""
        if sizes == self.sizes:
            return self
        return self._replace(sizes=sizes, operands=tuple(self._cut(o, sizes) for o in self.operands))

    def _cut(self, operand: Operand, sizes: tuple[int, ...]) -> Operand:
        strides, old = [], list(zip(self.sizes, operand.strides, strict=True))
        left, stride = 1, 0
        for n in reversed(sizes):
            if left == 1:
                left, stride = old.pop()
            strides.append(stride)
            left, stride = left // n, stride * n
        return operand._replace(strides=tuple(reversed(strides)))


class Reader:
    """Reads the instructions of one phase, or of the body of a loop."""

    def __init__(
        self, code: np.ndarray, symbols: Sequence[str], slots: np.ndarray, freed: np.ndarray, in_lanes: bool
    ) -> None:
        """freed: memory that nobody reads any more: position in this code, whether registers of lanes, begin, end."""
        self.code, self.symbols, self.slots, self.freed, self.in_lanes = code, symbols, slots, freed, in_lanes

    def instructions(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Where each one begins and ends."""
        while begin < end:
            after = begin + int(self.code[begin + 1])
            yield begin, after
            begin = after

    def words(self, pc: int) -> list[int]:
        return self.code[pc : pc + int(self.code[pc + 1])].tolist()

    def step(self, pc: int) -> Step | None:
        """The instruction, if it is elementwise and its operands lie as kernels read them."""
        opcode, length = self.code[pc], int(self.code[pc + 1])
        if opcode not in (CALL, EACH):
            return None
        words = self.code[pc + 2 : pc + length].tolist()
        symbol = self.symbols[words[0]]
        if not is_known(symbol):
            return None
        primitive = by_symbol()[symbol]
        letters = [primitive.result, *primitive.operands[primitive.fold :]]
        found = self._call(words, letters) if opcode == CALL else self._each(words, letters)
        sizes, operands = found
        sizes_of = [SIZE[t] for t in letters]
        inner = [
            o.step if self.in_lanes else (o.strides[-1] if sizes else w)
            for o, w in zip(operands, sizes_of, strict=True)
        ]
        if inner[0] != sizes_of[0] or any(s not in (0, w) for s, w in zip(inner, sizes_of, strict=True)):
            return None
        return Step(symbol, primitive.fold, sizes, operands, pc, pc + length)

    def _call(self, words: Sequence[int], letters: Sequence[str]) -> tuple[tuple[int, ...], tuple[Operand, ...]]:
        rows = words[1]
        sizes = (rows,) if rows > 1 else ()
        operands = tuple(
            Operand(
                place,
                int(self.in_lanes and place >= 0),
                t,
                SIZE[t] if self.in_lanes else 0,
                (SIZE[t],) if sizes else (),
            )
            for place, t in zip(words[2:], letters, strict=False)
        )
        return sizes, operands

    def _each(self, words: Sequence[int], letters: Sequence[str]) -> tuple[tuple[int, ...], tuple[Operand, ...]]:
        rows, loops = words[2], words[3]
        sizes, at, operands = tuple(words[4 : 4 + loops]), 4 + loops, []
        for t in letters:
            (place, scaled, width, step), strides = words[at : at + 4], tuple(words[at + 4 : at + 4 + loops])
            if rows > 1:
                strides = (*strides, width if self.in_lanes else step)
            operands.append(Operand(place, scaled, t, step if self.in_lanes else 0, strides))
            at += 4 + loops
        return (*sizes, rows) if rows > 1 else sizes, tuple(operands)

    def constant(self, o: Operand, sizes: Sequence[int]) -> bool:
        """Whether one element serves all lanes (on whole arrays: all of the innermost loop)."""
        return o.step == 0 if self.in_lanes else bool(sizes) and o.strides[-1] == 0

    # ---- where things are ----
    def span(self, o: Operand, sizes: Sequence[int]) -> tuple[int, float, float]:
        """Buffer, and the bytes of it (of registers: bytes a lane) that an operand is within."""
        buffer, offset = (LOCAL if self.in_lanes else WORK), o.place
        if o.place < 0:
            buffer, offset = self.slots[-1 - o.place, :2].tolist()
            if self.in_lanes:
                return buffer, -math.inf, math.inf
        ends = [(n - 1) * s for n, s in zip(sizes, o.strides, strict=True)]
        return buffer, offset + sum(e for e in ends if e < 0), offset + sum(e for e in ends if e > 0) + SIZE[o.letter]

    def meet(self, a: Operand, b: Operand, sizes: Sequence[int]) -> bool:
        """Whether two operands share memory, but not element by element."""
        if a == b:
            return False
        (buffer, low, high), (other, begin, end) = self.span(a, sizes), self.span(b, sizes)
        return buffer == other and low < end and begin < high

    def apart(self, a: Step, b: Step) -> bool:
        """Whether two steps on the same elements may be run in turns, element by element."""
        sizes = a.sizes
        return not any(self.meet(a.operands[0], o, sizes) for o in b.operands) and not any(
            self.meet(b.operands[0], o, sizes) for o in a.reads()
        )


@dataclass
class Group:
    """Steps on the same elements, which one kernel can do."""

    reader: Reader
    sizes: tuple[int, ...]
    steps: list[Step]
    #: operands that are read or written in memory
    operands: list[Operand]
    body: Body

    @classmethod
    def of(cls, reader: Reader, step: Step) -> Group:
        return cls(reader, step.sizes, [step], [], Body((), (), ()))

    def joined(self, step: Step) -> bool:
        """Takes a step in, if that can be."""
        sizes = common(self.sizes, step.sizes)
        if sizes is None or len(self.steps) == MOST_STEPS:
            return False
        steps = [*(s.over(sizes) for s in self.steps), step.over(sizes)]
        if len({o for s in steps for o in s.operands}) > MOST_POINTERS:
            return False
        if not all(self.reader.apart(s, steps[-1]) for s in steps):
            return False
        self.sizes, self.steps = sizes, steps
        return True

    def worthwhile(self) -> bool:
        """One instruction alone is worth a kernel where an operand would be spread in scratch memory."""
        first = self.steps[0]
        return len(self.steps) > 1 or any(self.reader.constant(o, first.sizes) for o in first.operands)

    def settle(self) -> None:
        """Finds what the kernel is: values are written that are read after the last step."""
        value: dict[Operand, int] = {}
        read: dict[Operand, int] = {}
        written: dict[Operand, Step] = {}
        steps = []
        for j, step in enumerate(self.steps):
            for o in step.reads():
                if o not in value:
                    value[o] = -1 - read.setdefault(o, len(read))
            steps.append((step.symbol, tuple(value[o] for o in step.reads())))
            value[step.operands[0]], written[step.operands[0]] = j, step
        kept = [o for o, step in written.items() if not self._is_dead(o, step.end, self.steps[-1].end)]
        self.operands = [*read, *(o for o in kept if o not in read)]
        number = {o: k for k, o in enumerate(self.operands)}
        pointers = tuple(Pointer(o.letter, self.reader.constant(o, self.sizes), o in read) for o in self.operands)
        self.body = Body(pointers, tuple(steps), tuple((number[o], value[o]) for o in kept))

    def _is_dead(self, o: Operand, since: int, end: int) -> bool:
        buffer, low, high = self.reader.span(o, self.sizes)
        where, local, begin, behind = self.reader.freed.T
        hit = (since <= where) & (where <= end) & (local == (buffer == LOCAL)) & (begin <= low) & (high <= behind)
        return buffer in (LOCAL, WORK) and o.place >= 0 and bool(hit.any())

    def words(self, kernel: int) -> list[int]:
        """The instruction (interpreter._group)."""
        sizes, strides = collapsed(self.sizes, [o.strides for o in self.operands])
        rows, inner = 1, [SIZE[o.letter] for o in self.operands]
        # the run takes in a loop: on whole arrays always, in lanes if all rows are registers one behind the other
        if sizes and (
            not self.reader.in_lanes
            or all(
                (o.place >= 0 and s[-1] == o.step == size) or s[-1] == o.step == 0
                for o, s, size in zip(self.operands, strides, inner, strict=True)
            )
        ):
            rows = sizes.pop()
            strides = [s[:-1] for s in strides]
        result = [kernel, len(self.operands), rows, len(sizes), *sizes]
        for o, own in zip(self.operands, strides, strict=True):
            result += [o.place, o.scaled, *own]
        return [GROUP, len(result) + 2, *result]


def common(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """Loops that both can be cut up into; None if they do not go over the same number of elements."""
    if a == b:
        return a
    if math.prod(a) != math.prod(b):
        return None
    ends = sorted({math.prod(sizes[d:]) for sizes in (a, b) for d in range(len(sizes) + 1)})
    if len(ends) > MOST_LOOPS or any(y % x for x, y in pairwise(ends)):
        return None
    return tuple(y // x for x, y in pairwise(ends))[::-1]


def _freed(program: Program) -> np.ndarray:
    """Program.freed, but for what a host phase may have read at that place in the code."""
    place, hosts = 0, set()
    for phase in program.phases:
        if isinstance(phase, Host):
            hosts.add(place)
        else:
            place = phase.end
    return np.array([f for f in program.freed if f[0] not in hosts], np.int64).reshape(-1, 4)


@dataclass
class Loop:
    """An instruction with bodies: its words before them, and what each body is made of."""

    words: list[int]
    bodies: list[list[Item]]


#: instructions as they are, a group, a loop, or a loop as one kernel
Item = list[int] | Group | Loop | NativeLoop


@dataclass
class Stretch:
    """A phase, or several with the same parts."""

    #: the last one
    phase: Phase
    #: code of every part: begin, end, and where the operation is done
    parts: list[list[tuple[int, int, int]]]
    #: steps of every part, if it consists of steps alone and threads may share the parts
    steps: list[list[Step]]

    def follows(self, before: Stretch, reader: Reader) -> bool:
        """Whether each part may be run right after the same part of the phase before, without waiting for its others."""
        return (
            bool(self.steps)
            and len(self.steps) == len(before.steps)
            and all(
                self._beside([part[k] for part in before.steps], [part[0] for part in self.steps], reader)
                for k in range(len(before.steps[0]))
            )
        )

    @staticmethod
    def _beside(earlier: Sequence[Step], later: Sequence[Step], reader: Reader) -> bool:
        """The same of one step a part: what both use, each part uses for itself."""
        pairs = []
        for a, b in zip(earlier, later, strict=True):
            sizes = common(a.sizes, b.sizes)
            if sizes is None:
                return False
            pairs.append((a.over(sizes), b.over(sizes), sizes))
        for i, j in np.ndindex(len(earlier[0].operands), len(later[0].operands)):
            if (i and j) or all(a.operands[i] == b.operands[j] for a, b, _ in pairs):
                continue
            spans = [(reader.span(a.operands[i], n), reader.span(b.operands[j], n)) for a, b, n in pairs]
            if any(x[0] == y[0] and x[1] < y[2] and y[1] < x[2] for x, _ in spans for _, y in spans):
                return False
        return True


def groups_in(items: Sequence[Item]) -> Iterator[Group]:
    """All of them, in loops too."""
    for item in items:
        if isinstance(item, Group):
            yield item
        elif isinstance(item, Loop):
            for body in item.bodies:
                yield from groups_in(body)


class Fusion:
    """A program with groups for its runs of elementwise instructions.

    bodies: the kernels that it calls, as symbols group0, group1, … behind those of the program it was made from.
    """

    def __init__(self, program: Program) -> None:
        self._source, self._freed = program, _freed(program)
        #: loops that are one kernel
        self._loops: dict[LoopBody, None] = {}
        planned = [(s.phase, self._parts(s)) for s in self._stretches()]
        groups: dict[Body, None] = {}
        for group in (g for _, parts in planned for items in parts for g in groups_in(items)):
            if group.body.stores and group.worthwhile():
                groups[group.body] = None
        self.bodies: list[Body | LoopBody] = [*self._loops, *list(groups)[: affordable(list(groups))]]
        self._numbers: dict[Body | LoopBody, int] = {body: k for k, body in enumerate(self.bodies)}
        code: list[int] = []
        phases: list[Phase] = []
        for phase, parts in planned:
            if isinstance(phase, Host):
                phases.append(phase)
                continue
            begin, ends = len(code), []
            for items in parts:
                start = len(code)
                code += self._words(items)
                ends.append((start, len(code)))
            changed = replace(phase, begin=begin, end=len(code))
            if isinstance(changed, Whole) and changed.parts is not None:
                changed.parts = np.array(ends, np.int64)
            phases.append(changed)
        symbols = [*program.symbols, *(f"group{k}" for k in range(len(self.bodies)))]
        self.program = replace(program, code=np.array(code, np.int64), symbols=symbols, phases=phases)

    def _reader(self, phase: Whole | Lanes) -> Reader:
        return Reader(self._source.code, self._source.symbols, phase.slots, self._freed, isinstance(phase, Lanes))

    def _stretches(self) -> list[Stretch]:
        """The phases, of which some are joined: parts of the same elements, each of which reads nothing that another one writes."""
        found: list[Stretch] = []
        for phase in self._source.phases:
            if isinstance(phase, Host):
                found.append(Stretch(phase, [], []))
            elif not isinstance(phase, Whole) or phase.parts is None:
                found.append(Stretch(phase, [[(phase.begin, phase.end, 0)]], []))
            else:
                reader, ranges = self._reader(phase), phase.parts.tolist()
                steps = [reader.step(b) if b + reader.code[b + 1] == e else None for b, e in ranges]
                own = [[s] for s in steps if s is not None]
                stretch = Stretch(
                    phase, [[(b, e, phase.end)] for b, e in ranges], own if len(own) == len(steps) else []
                )
                if found and stretch.follows(found[-1], reader):
                    before = found.pop()
                    stretch.parts = [x + y for x, y in zip(before.parts, stretch.parts, strict=True)]
                    stretch.steps = [x + y for x, y in zip(before.steps, stretch.steps, strict=True)]
                found.append(stretch)
        return found

    def _parts(self, stretch: Stretch) -> list[list[Item]]:
        """What a phase (every part of it) is made of."""
        phase = stretch.phase
        if isinstance(phase, Host):
            return []
        return [self._items(self._reader(phase), ranges) for ranges in stretch.parts]

    def _items(self, reader: Reader, ranges: Sequence[tuple[int, int, int]]) -> list[Item]:
        """Instructions begin … end. The third number: where what they are parts of is done; 0: every instruction at its end."""
        items: list[Item] = []
        for pc, after, done in ((*i, done) for begin, end, done in ranges for i in reader.instructions(begin, end)):
            step, last = reader.step(pc), items[-1] if items else None
            if step is not None and done:
                step = step._replace(end=done)
            if step is None:
                loop = reader.code[pc] in (LOOP, REVERSAL)
                items.append(self._loop(reader.code[pc:after]) if loop else reader.words(pc))
            elif not (isinstance(last, Group) and last.joined(step)):
                items.append(Group.of(reader, step))
        for group in items:
            if isinstance(group, Group):
                group.settle()
        return items

    def _loop(self, code: np.ndarray) -> Loop | NativeLoop:
        """The numbers of its bodies (Program.inner) stand before them."""
        source, begin = self._source, int(code[2])
        ends = [begin, len(code)] if code[0] == LOOP else [begin, begin + int(code[3]), len(code)]
        numbers = code[begin - len(ends) + 1 : begin].tolist()
        native = native_loop(code, source.symbols, source.table, [source.inner[n][0] for n in numbers])
        if native is not None:
            loops = self._loops | dict.fromkeys(native.bodies)
            if sum(loop_extent(b)[1] for b in loops) <= LONGEST_LOOPS:
                self._loops = loops
                return native
        bodies = []
        for number, (first, last) in zip(numbers, pairwise(ends), strict=True):
            slots, freed = source.inner[number]
            reader = Reader(code[first:last], source.symbols, slots, freed, False)
            bodies.append(self._items(reader, [(0, last - first, 0)]))
        return Loop(code[:begin].tolist(), bodies)

    def _words(self, items: Sequence[Item]) -> list[int]:
        code: list[int] = []
        for item in items:
            if isinstance(item, NativeLoop):
                code += item.words([len(self._source.symbols) + self._numbers[b] for b in item.bodies])
            elif isinstance(item, Loop):
                bodies = [self._words(body) for body in item.bodies]
                words = [*item.words, *(word for body in bodies for word in body)]
                words[1] = len(words)
                if len(bodies) > 1:
                    words[3] = len(bodies[0])
                code += words
            elif not isinstance(item, Group):
                code += item
            elif item.body.stores:
                kernel = self._numbers.get(item.body)
                if kernel is not None:
                    code += item.words(len(self._source.symbols) + kernel)
                else:
                    code += [w for s in item.steps for w in item.reader.words(s.begin)]
        return code
