"""A sparse derivative of a tape: pattern, colouring and tapes made once, then run for any values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engines import engine
from ..engines.engine import differentiable_tape, float_dtype, gradient_only
from ..errors import ArgumentError
from ..machines import Machine
from ..tape import Tape
from .colouring import Colouring, colour_columns, colour_stars, column_bound
from .directions import adjoint_directions, tangent_directions
from .pattern import Dependence, dependence
from .rows import Rows, native
from .sources import Sources


class SparseDerivative:
    """The Jacobian of a tape's outputs by the inputs at positions `wrt`, or (order 2) the Hessian of its one scalar output.

    Rows are the outputs' elements and columns the inputs', one output (input) after the other, each in C order. mode: "forward" or
    "reverse"; None chooses the one with fewer colours.
    """

    def __init__(self, tape: Tape, wrt: Sequence[int], order: int = 1, mode: str | None = None) -> None:
        tape = differentiable_tape(tape)
        floats = {float_dtype(tape.kinds[tape.inputs[w]]) for w in wrt}
        self.dtype = np.dtype("float32" if floats == {"float32"} else "float64")
        plain = Sources.inputs(tape, wrt)
        moved = Sources.behind_movements(tape, wrt)
        build = self._hessian if order == 2 else self._jacobian
        build([s for s in (moved, plain) if s is not None], len(plain.columns), mode)
        small = max(self.rows.count, *self.shape) < 2**31
        self.ptr = self.rows.ptr.astype(np.int32 if small else np.int64)
        self.index = self.rows.index.astype(self.ptr.dtype, copy=False)

    def _jacobian(self, ways: list[Sources], columns: int, mode: str | None) -> None:
        """The fewest colours among: by the inputs or what is moved out of them, columns or rows. Of equals the first."""
        values = dependence(ways[0].tape, ways[0].positions)
        found = _of_outputs(ways[0].tape, ways[0].positions, values)
        self._assemble(found.owners(), ways[0].columns[found.index], len(found), columns)
        choices = []
        for way, rows in zip(ways, (found, self.rows), strict=False):
            by = {"forward": (rows, transposed := rows.transpose()), "reverse": (transposed, rows)}
            choices += [(column_bound(by[m][0]), m, way, rows, by[m]) for m in by if mode in (None, m)]
        best: Any = None
        for bound, m, way, rows, patterns in sorted(choices, key=lambda choice: choice[0]):
            if best is None or bound < best[0].count:
                colouring = colour_columns(*patterns)
                if best is None or colouring.count < best[0].count:
                    best = (colouring, m, way, rows)
        self.colouring, self.mode, way, rows = best
        colours, count = self.colouring.of.astype(np.int64), self.colouring.count
        i, j = rows.owners(), rows.index
        if self.mode == "reverse":
            self.directions = adjoint_directions(way, self.colouring.of, count, self.dtype)
            flat = colours[i] * rows.columns + j
        else:
            values = values if way is ways[0] else dependence(way.tape, way.positions)
            self.directions = tangent_directions(way, way.tape, values, self.colouring.of, count, self.dtype)
            flat = colours[j] * len(rows) + i
        self.lines = np.arange(len(rows))
        self._place(flat, rows is self.rows)

    def _hessian(self, ways: list[Sources], columns: int, mode: str | None) -> None:
        """As the Jacobian of the gradient, which is symmetric. By the inputs only if that takes fewer colours."""
        way = ways[0]
        tape, values, rows = _gradient(way)
        colouring: Colouring = colour_stars(rows)  # type: ignore[assignment]
        self._assemble(way.columns[rows.owners()], way.columns[rows.index], columns, columns)
        other = colour_stars(self.rows, below=colouring.count) if len(ways) > 1 else None
        if other is not None and other.count < colouring.count:
            way, colouring = ways[1], other
            tape, values, rows = _gradient(way)
            self._assemble(rows.owners(), rows.index, columns, columns)
        self.mode, self.colouring, self.lines = "forward over reverse", colouring, way.columns
        self.directions = tangent_directions(way, tape, values, colouring.of, colouring.count, self.dtype)
        flat = np.empty(rows.count, np.int64)
        native().either_side(rows.ptr, rows.index, colouring.of, flat)
        self._place(flat)

    def _assemble(self, i: np.ndarray, j: np.ndarray, count: int, columns: int) -> None:
        """The pattern of which every (i, j) is an entry, and how they are ordered by it."""
        place = i.astype(np.int64) * columns + j
        self._order = np.argsort(place, kind="stable")
        place = place[self._order]
        first = np.flatnonzero(np.append(True, place[1:] != place[:-1])[: len(place)])
        #: where the summands of each entry begin, and the end; None where each entry has one
        self.begins = np.append(first, len(place)) if len(first) < len(place) else None
        place = place[first]
        ptr = np.searchsorted(place, np.arange(count + 1, dtype=np.int64) * columns)
        self.rows = Rows(ptr.astype(np.int64), (place % max(columns, 1)).astype(np.int32), columns)

    def _place(self, flat: np.ndarray, in_order: bool = False) -> None:
        """Where in the directions the summands of each entry stand: in one order on both sides of a Hessian's diagonal."""
        self.gather = flat if in_order else flat[self._order]
        if in_order:
            self.begins = None
        elif self.begins is not None:
            native().sort_groups(self.gather, self.begins)
        del self._order

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), self.rows.columns

    def matrix(self, data: np.ndarray) -> Any:
        """A csr_array with these entries; its index arrays are its own, so it may be changed."""
        from scipy.sparse import csr_array

        return csr_array((data, self.index.copy(), self.ptr.copy()), shape=self.shape)

    def on(self, machine: Machine) -> Callable[..., Any]:
        """A callable (values, out=None) -> csr_array."""
        run = self.directions.on(machine)

        def derivative(values: Sequence[Any], out: Any = None) -> Any:
            data = np.empty(self.rows.count, self.dtype) if out is None else self._data_of(out)
            run(values, lambda outputs, directions: self._fill(data, outputs, directions))
            return self.matrix(data) if out is None else out

        return derivative

    def _fill(self, data: np.ndarray, outputs: Sequence[np.ndarray], directions: np.ndarray) -> None:
        if not data.size:
            return
        flat = directions.reshape(-1)
        if self.begins is None:
            flat.take(self.gather, out=data, mode="clip")  # all are in range; "raise" would copy
        else:
            native().sums[self.dtype.name](flat, self.gather, self.begins, data)
        if any(np.isnan(o).any() for o in outputs if o.dtype.kind == "f"):  # where a value is NaN, so is its derivative
            lost = np.zeros(len(self.rows), bool)
            lost[self.lines[np.concatenate([np.isnan(o).reshape(-1) for o in outputs])]] = True
            data[lost[self.rows.owners()]] = np.nan

    def _data_of(self, out: Any) -> np.ndarray:
        """The entries of a matrix that an earlier call has given."""
        fits = (
            getattr(out, "format", None) == "csr"
            and out.shape == self.shape
            and out.dtype == self.dtype
            and out.data.flags.writeable
            and np.array_equal(out.indptr, self.ptr)
            and np.array_equal(out.indices, self.index)
        )
        if not fits:
            raise ArgumentError(
                f"out= needs a csr_array of shape {self.shape}, {self.dtype}, with the pattern of this derivative: one that an "
                "earlier call has returned"
            )
        return out.data


def _of_outputs(tape: Tape, positions: Sequence[int], values: Sequence[Dependence]) -> Rows:
    """What the elements of all outputs depend on."""
    columns = sum(math.prod(tape.kinds[tape.inputs[w]].shape) for w in positions)
    parts = [values[o] or Rows.empty(math.prod(tape.kinds[o].shape), columns) for o in tape.outputs]
    return Rows.joined(parts) if parts else Rows.empty(0, columns)


def _gradient(sources: Sources) -> tuple[Tape, list[Dependence], Rows]:
    """The tape of the gradient, what its values depend on, and the pattern of the Hessian."""
    tape = gradient_only(engine("reverse").program(sources.tape, sources.positions))
    values = dependence(tape, sources.positions)
    rows = _of_outputs(tape, sources.positions, values)
    return tape, values, rows.union(rows.transpose())
