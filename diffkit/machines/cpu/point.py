"""A single point: no block, no threads, registers that stay where they are between calls."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from .plan import CALL, NUMPY, SIZE, Place, Plan

#: where a value is: the position of a double in the workspace (-1: none), and a view of its elements
Spot = tuple[int, np.ndarray]


class _State:
    """A workspace with the constants in it, and what the interpreter needs to know of it."""

    __slots__ = ("begin", "buffer", "held", "inputs", "outputs", "pack", "parts", "w")

    def __init__(self, point: Point) -> None:
        plan = point.plan
        size = plan.lane_bytes // 8 + plan.slots
        w = np.zeros(size + 8)
        w = w[(-w.ctypes.data % 64) // 8 :][:size]
        here = w.ctypes.data + 8 * (plan.lane_bytes // 8 + np.arange(max(1, plan.slots), dtype=np.int64))
        for value, place in plan.constants:
            self._spot(w, point, place)[1][...] = value.reshape(place.shape)
        self.inputs = [self._spot(w, point, p) for p in plan.inputs]
        self.outputs = [self._spot(w, point, p) for p in plan.outputs]
        held = (point.switch, plan.code, plan.table, point.addresses, here, w)
        self.held, self.w = held, w  # whose addresses the interpreter is given
        self.parts = np.array([x for a in held for x in (a.ctypes.data, len(a))], np.int64)
        # slots of inputs follow each other: doubles alone are written all at once
        alone = bool(self.inputs) and all(position >= 0 for position, _ in self.inputs)
        self.pack = struct.Struct(f"{len(self.inputs)}d").pack_into if alone else None
        self.begin = 8 * self.inputs[0][0] if alone else 0
        self.buffer = memoryview(w.view(np.uint8).data)

    @staticmethod
    def _spot(w: np.ndarray, point: Point, place: Place) -> Spot:
        at = place.at if place.at >= 0 else 8 * point.position(place.at)
        view: np.ndarray = w.view(np.uint8)[at : at + place.rows * SIZE[place.letter]].view(NUMPY[place.letter])
        return at // 8 if place.shape == () and place.letter == "d" else -1, view.reshape(place.shape)


class Point:
    """A tape's program for one point. May be called from several threads at once."""

    def __init__(self, plan: Plan, addresses: np.ndarray) -> None:
        from .driver import SWITCH, interpret_point

        self.plan, self.addresses, self._interpret = plan, addresses, interpret_point
        numbers = {f"{name}_d": k for k, name in enumerate(SWITCH)}
        number = np.array([numbers.get(s, -2 - k) for k, s in enumerate(plan.symbols)] or [-1], np.int64)
        code = plan.code
        # a single row, of values that begin at a word: not an element of an array of singles
        simple = (code[:, 0] == CALL) & (code[:, 6] == 1) & ((code[:, 2:6] & 7 == 0) | (code[:, 2:6] < 0)).all(axis=1)
        self.switch = np.empty((len(code), 5), np.int32)
        self.switch[:, 0] = np.where(simple, number[code[:, 1]], -1)
        places = code[:, 2:6]
        self.switch[:, 1:] = np.where(places >= 0, places >> 3, self.position(places))
        self._spare: list[_State] = []

    def position(self, at: Any) -> Any:
        """Where a slot's double lies in the workspace."""
        return self.plan.lane_bytes // 8 - 1 - at

    def __call__(self, values: Sequence[Any], out: Sequence[np.ndarray] | None = None, skip: int = 0) -> Sequence[Any]:
        """Outputs for one point, but for the first `skip`: np.float64 for doubles, else new arrays, or written into `out`.

        Values are numbers, or arrays of exactly the core shape and dtype; nothing is checked.
        """
        try:
            state = self._spare.pop()
        except IndexError:
            state = _State(self)
        if state.pack is not None:
            state.pack(state.buffer, state.begin, *values)
        else:
            for (_, view), value in zip(state.inputs, values):  # noqa: B905 (`strict` costs half a microsecond)
                view[...] = value
        self._interpret(state.parts)
        results: Sequence[Any]
        if out is None:
            w = state.w
            results = [w[k] if k >= 0 else view.copy() for k, view in state.outputs[skip:]]
        else:
            for (_, view), buffer in zip(state.outputs[skip:], out):  # noqa: B905
                buffer[...] = view
            results = out
        self._spare.append(state)
        return results
