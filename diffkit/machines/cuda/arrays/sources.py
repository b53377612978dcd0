"""The kernels that are written for what they compute: bodies on elements, folds one term after the other, folds as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from ....errors import UnsupportedError
from ...cpu.arrays.compiling.groups import Body
from ...cpu.emit import Primitive, by_symbol
from ..scalars import Scalar, Scalars, Source

#: what the memory is called in the three types, and how bytes become elements
MEMORY = {"d": ("m8", 3), "f": ("m4", 2), "b": ("m1", 0)}
#: arguments of every kernel here
ARGUMENTS = "m8, m4, m1, w, at"
#: threads of a block that folds as a tree; of the simulator's
TREE, SIMULATED_TREE = 128, 4
#: terms that a block folds
CHUNK = 4096


class Fold(NamedTuple):
    """What is done with terms: result op= term, from what, and what then becomes of it."""

    #: a primitive whose first operand is the result so far
    symbol: str
    #: "first": the first term; "zero": −0; "memory": what lies there
    begin: str
    #: letter of what is written; added: to what lies there
    result: str
    added: bool = False


def primitive(symbol: str) -> Primitive:
    found = by_symbol().get(symbol)
    if found is None:
        raise UnsupportedError(f'{symbol.rsplit("_", 1)[0]} has no kernel on machine="cuda"; use machine="cpu"')
    return found


class _Writer:
    """Lines of one kernel."""

    def __init__(self) -> None:
        self.source = Source(indent=0)
        self.spaces = {letter: Scalars(self.source, letter) for letter in "dfb"}
        self.line, self.indented = self.source.line, self.source.indented

    def apply(self, symbol: str, values: Sequence[Scalar]) -> Scalar:
        found = primitive(symbol)
        k = self.spaces[found.letter]
        return found.body(k, *(Scalar(k, v.text, v.kind) for v in values))  # type: ignore[return-value,arg-type]

    def sizes(self, count: int) -> None:
        """Results, terms, and sizes of all loops."""
        self.line("n, terms = w[at], w[at + 1]")
        for d in range(count):
            self.line(f"n{d} = w[at + {2 + d}]")

    def operand(self, k: int, letter: str, first: int, loops: int) -> None:
        """Address p<k> and strides p<k>_<loop> of an operand, whose words begin at `first`."""
        self.line(f"p{k} = (w[at + {first}] + w[w[at + {first + 1}]]) >> {MEMORY[letter][1]}")
        for d in range(loops):
            self.line(f"p{k}_{d} = w[at + {first + 2 + d}]")

    def counters(self, index: str, first: int, count: int) -> None:
        """Counters g<loop> of loops within each other, at a number of their elements."""
        for d in range(first + count - 1, first, -1):
            self.line(f"q = {index} // n{d}")
            self.line(f"g{d} = {index} - q * n{d}")
            self.line(f"{index} = q")
        self.line(f"g{first} = {index}")

    def at(self, k: int, loops: Sequence[int], begin: str | None = None) -> str:
        return " + ".join([begin or f"p{k}", *(f"g{d} * p{k}_{d}" for d in loops)])

    def read(self, letter: str, at: str) -> Scalar:
        text = f"{MEMORY[letter][0]}[{at}]"
        return Scalar(self.spaces[letter], self.source.assigned(text + " != 0" if letter == "b" else text), letter)

    def write(self, letter: str, at: str, value: Scalar) -> None:
        text = f"1 if {value.text} else 0" if letter == "b" else value.text
        self.line(f"{MEMORY[letter][0]}[{at}] = {text}")

    def variable(self, name: str, value: str, letter: str) -> Scalar:
        self.line(f"{name} = {value}")
        return Scalar(self.spaces[letter], name, letter)

    def zero(self, letter: str) -> str:
        return f"-{self.spaces[letter].literal(0.0, letter)}"


@cache
def each(body: Body, loops: int) -> Source:
    """A body on every element of a nest whose operands are its pointers."""
    w = _Writer()
    w.line(f"def kernel({ARGUMENTS}):")
    with w.indented():
        w.sizes(loops)
        for k, pointer in enumerate(body.pointers):
            w.operand(k, pointer.letter, 2 + loops + k * (2 + loops), loops)
        w.line("for i in range(cuda.grid(1), n, cuda.gridsize(1)):")
        with w.indented():
            w.line("r = i")
            w.counters("r", 0, loops)
            values: dict[int, Scalar] = {}
            for k, pointer in enumerate(body.pointers):
                if pointer.read:
                    values[-1 - k] = w.read(pointer.letter, w.at(k, range(loops)))
            for j, (symbol, operands) in enumerate(body.steps):
                values[j] = w.apply(symbol, [values[v] for v in operands])
            for k, value in body.stores:
                w.write(body.pointers[k].letter, w.at(k, range(loops)), values[value])
    return w.source


def _finished(w: _Writer, fold: Fold, total: Scalar, at: str) -> None:
    """The result, written."""
    letter = primitive(fold.symbol).result
    if fold.added:
        total = Scalar(total.k, w.source.assigned(f"{w.read(letter, at).text} + {total.text}"), letter)
    w.write(fold.result, at, w.spaces["f"].narrow(total) if (letter, fold.result) == ("d", "f") else total)


@cache
def sequence(fold: Fold, kept: int, folded: int) -> Source:
    """A thread folds the terms of one result after the other: in the order, and with the bits, of the cpu machine.

    Operands of the nest: the result, then what a term is made of.
    """
    w, found = _Writer(), primitive(fold.symbol)
    reads, loops = found.operands[1:], kept + folded
    outer, inner = range(kept), range(kept, loops)
    w.line(f"def kernel({ARGUMENTS}):")
    with w.indented():
        w.sizes(loops)
        for k, letter in enumerate((fold.result, *reads)):
            w.operand(k, letter, 2 + loops + k * (2 + loops), loops)
        w.line("for i in range(cuda.grid(1), n, cuda.gridsize(1)):")
        with w.indented():
            w.line("r = i")
            w.counters("r", 0, kept)
            for k in range(1 + len(reads)):
                w.line(f"b{k} = {w.at(k, outer)}")
            start = {"zero": w.zero(found.result), "first": "", "memory": ""}[fold.begin]
            if fold.begin != "zero":
                start = w.read(found.result, "b0" if fold.begin == "memory" else "b1").text
            total = w.variable("total", start, found.result)
            w.line(f"for j in range({int(fold.begin == 'first')}, terms):")
            with w.indented():
                w.line("r = j")
                w.counters("r", kept, folded)
                terms = [w.read(t, w.at(k, inner, f"b{k}")) for k, t in enumerate(reads, 1)]
                w.line(f"total = {w.apply(fold.symbol, [total, *terms]).text}")
            _finished(w, fold, total, "b0")
    return w.source


@cache
def tree(fold: Fold, kept: int, folded: int, threads: int) -> Source:
    """A block folds up to CHUNK terms of one result; its threads' results are folded as a tree, always the same one.

    Operands of the nest: the result, whose last stride is from chunk to chunk and which has none for terms, and the terms; then
    words for the chunks of a result and the terms of a chunk.
    """
    w, found = _Writer(), primitive(fold.symbol)
    loops, letter = kept + folded, found.result
    joined = "fold_add_d" if fold.symbol == "fold_wide_f" else fold.symbol
    first = 2 + loops
    w.line(f"def kernel({ARGUMENTS}):")
    with w.indented():
        w.line(f"shared = cuda.shared.array({threads}, {'f64' if letter == 'd' else 'f32'})")
        w.line("t = cuda.threadIdx.x")
        w.sizes(loops)
        w.operand(0, fold.result, first, loops)
        w.operand(1, found.operands[1], first + 2 + loops, loops)
        for name, at in (("chunks", 4), ("size", 5), ("step", 6)):
            w.line(f"{name} = w[at + {first + at + 2 * loops}]")
        w.line("for b in range(cuda.blockIdx.x, n * chunks, cuda.gridDim.x):")
        with w.indented():
            w.line("r = b // chunks")
            w.line("begin = (b - r * chunks) * size")
            w.line("into = (b - r * chunks) * step")
            w.line("count = min(size, terms - begin)")
            w.counters("r", 0, kept)
            for k in range(2):
                w.line(f"b{k} = {w.at(k, range(kept))}")
            inner = range(kept, loops)
            if fold.begin == "zero":
                total, start = w.variable("total", w.zero(letter), letter), "t"
            else:
                w.line("r = begin + min(t, count - 1)")
                w.counters("r", kept, folded)
                total = w.variable("total", w.read(letter, w.at(1, inner, "b1")).text, letter)
                start = f"t + {threads}"
            w.line(f"for j in range({start}, count, {threads}):")
            with w.indented():
                w.line("r = begin + j")
                w.counters("r", kept, folded)
                term = w.read(found.operands[1], w.at(1, inner, "b1"))
                w.line(f"total = {w.apply(fold.symbol, [total, term]).text}")
            w.line("shared[t] = total")
            w.line(f"used, half = min({threads}, count), {threads // 2}")
            w.line("while half > 0:")
            with w.indented():
                w.line("cuda.syncthreads()")
                w.line("if t < half and t + half < used:")
                with w.indented():
                    mine = w.variable("mine", "shared[t]", letter)
                    other = w.variable("other", "shared[t + half]", letter)
                    w.line(f"shared[t] = {w.apply(joined, [mine, other]).text}")
                w.line("half = half // 2")
            w.line("if t == 0:")
            with w.indented():
                _finished(w, fold, w.variable("whole", "shared[0]", letter), "b0 + into")
            w.line("cuda.syncthreads()")
    return w.source
