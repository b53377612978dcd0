"""A single point: no block, no threads, registers that stay where they are between calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .library import library
from .plan import CALL, NUMPY, SIZE, Place, Plan


class Point:
    """A tape's program for one point: inputs and outputs have places in a workspace of doubles."""

    def __init__(self, plan: Plan) -> None:
        from .driver import SWITCH, interpret_point

        self._interpret = interpret_point
        self._plan = plan
        self._size = plan.lane_bytes // 8 + plan.slots
        self._addresses = np.array([library().address(s) for s in plan.symbols] or [0], np.int64)
        numbers = {f"{name}_d": k for k, name in enumerate(SWITCH)}
        number = np.array([numbers.get(s, -1) for s in plan.symbols] or [-1], np.int64)
        code = plan.code
        switch = np.full((len(code), 5), -1, np.int32)
        simple = (code[:, 0] == CALL) & (code[:, 6] == 1)
        switch[:, 0] = np.where(simple, number[code[:, 1]], -1)
        places = code[:, 2:6]
        switch[:, 1:] = np.where(places >= 0, places >> 3, self._place(places))
        self._switch = switch
        self._spare: list[tuple] = []

    def _place(self, at: Any) -> Any:
        """Position in the workspace of a slot."""
        return self._plan.lane_bytes // 8 - 1 - at

    def _new(self) -> tuple:
        """A workspace with the constants in it, the addresses of its slots, and views of inputs and outputs."""
        w = np.zeros(self._size + 8)
        w = w[(-w.ctypes.data % 64) // 8 :][: self._size]
        here = w.ctypes.data + 8 * (self._plan.lane_bytes // 8 + np.arange(max(1, self._plan.slots), dtype=np.int64))
        for value, place in self._plan.constants:
            self._view(w, place)[...] = value.reshape(place.shape)
        inputs = [self._view(w, p) for p in self._plan.inputs]
        outputs = [self._view(w, p) for p in self._plan.outputs]
        return w, here, inputs, outputs

    def _view(self, w: np.ndarray, place: Place) -> np.ndarray:
        at = place.at if place.at >= 0 else 8 * self._place(place.at)
        return w.view(np.uint8)[at : at + place.rows * SIZE[place.letter]].view(NUMPY[place.letter]).reshape(place.shape)

    def run(self, values: Sequence[Any]) -> tuple:
        """The state after running on these values (numbers and arrays of the core shapes); give it back with `done`."""
        try:
            state = self._spare.pop()
        except IndexError:
            state = self._new()
        w, here, inputs, _ = state
        for view, value in zip(inputs, values, strict=True):
            view[...] = value
        self._interpret(self._switch, self._plan.code, self._plan.table, self._addresses, here, w)
        return state

    def done(self, state: tuple) -> None:
        self._spare.append(state)

    def arrays(self, arrays: Sequence[np.ndarray], loop: tuple[int, ...]) -> list[np.ndarray]:
        """Outputs as new arrays with loop dims, which have one point in all."""
        state = self.run([a.reshape(p.shape) for a, p in zip(arrays, self._plan.inputs, strict=True)])
        results = [view.reshape((*loop, *view.shape)).copy() for view in state[3]]
        self.done(state)
        return results
