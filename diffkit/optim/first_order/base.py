"""Running a rule over nests of parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ...errors import ArgumentError
from ...expr.trace import flatten
from ...machines.resident import is_on_device, resident
from ...tape import Tape
from ...transforms.arguments import plain
from ..optimizer import Optimizer
from ..options import at_step, within
from ..parameters import Parameters
from ..rule import Scope, Step, formula, step
from ..state import State

#: bytes to whose multiples the kernels like arrays to begin
ALIGNMENT = 64


class FirstOrder(Optimizer):
    """An optimiser whose update of one array is a rule (rule.py)."""

    #: what is remembered of each parameter: name -> the option that it starts from, or 0
    slots: ClassVar[dict[str, str | float]] = {}
    #: whether the rule looks at an array as a whole (takes norms)
    whole: ClassVar[bool] = False

    @staticmethod
    def rule(s: Scope) -> None:
        raise NotImplementedError

    def __init__(self, learning_rate: Any = None, *positional: Any, decay_mask: Any = None, **options: Any) -> None:
        """decay_mask (Optax's mask): a nest of booleans like the parameters, or a function of them that gives one; where False,
        nothing decays.
        """
        for spelling in ("mask", "weight_decay_mask"):
            decay_mask = options.pop(spelling, decay_mask)
        super().__init__(learning_rate, *positional, **options)
        if decay_mask is not None and "weight_decay" not in self.options:
            raise ArgumentError(
                f"{self.name} of flavor {self.flavor!r} has no weight decay, so decay_mask has no meaning"
            )
        self.decay_mask = decay_mask
        self._steps: dict[tuple, Step] = {}

    @property
    def elementwise(self) -> bool:
        return not self.whole and self.decay_mask is None

    def shown(self) -> list[str]:
        return super().shown() + ([] if self.decay_mask is None else [f"decay_mask={self.decay_mask!r}"])

    def __getstate__(self) -> dict[str, Any]:
        """What is compiled stays behind."""
        return {**self.__dict__, "_steps": {}}

    # ---- what is in force ----
    def used(self) -> dict[str, str | float]:
        """The slots that these options need."""
        return dict(self.slots)

    def numbers(self) -> dict[str, Any]:
        """Options that are numbers (or schedules of them), by the names that the rule reads."""
        found: dict[str, Any] = {}
        for name, value in self.options.items():
            if isinstance(value, tuple):
                found.update((f"{name.removesuffix('s')}{k}", v) for k, v in enumerate(value, 1))
            elif value is not None and not isinstance(value, (bool, str)):
                found[name] = value
        return found

    def on(self) -> frozenset[str]:
        """Options that are true or not zero, and the flavor."""
        return frozenset([self.flavor, *(n for n, v in self.options.items() if callable(v) or bool(v))])

    def formula(self) -> list[str]:
        names = ("t", "lr", *self.numbers())
        lines = formula(type(self).rule, tuple(self.used()), names, self.on(), self.whole)
        if self.decay_mask is not None:
            lines.append("weight_decay is 0 where decay_mask is False")
        return lines + ["(t: the number of this update, from 1)"] * any(re.search(r"\bt\b", line) for line in lines)

    def tape(self, dtype: str = "float64", shape: tuple[int, ...] = ()) -> Tape:
        """The tape of an update: of one element, or of a whole array of this shape where the rule takes norms.

        Its inputs are the parameter, the gradient, what is remembered, and the numbers that all elements share; its outputs the
        parameter and what is remembered.
        """
        return self._step(np.zeros(shape, dtype), True).tape

    # ---- the protocol ----
    def start(self, leaves: list[Any]) -> dict[str, list[Any]]:
        numbers = self.numbers()
        values = {n: float(numbers.get(v, 0.0) if isinstance(v, str) else v) for n, v in self.used().items()}
        return {name: [_filled(leaf, value) for leaf in leaves] for name, value in values.items()}

    def update(
        self,
        grads: Any,
        state: State,
        params: Any,
        *,
        value: float | None = None,
        fun: Callable[[Any], Any] | None = None,
        in_place: bool = False,
    ) -> tuple[Any, State]:
        if in_place:
            over = self._over(grads, state, params)
            return params, over(state if value is None else self.watch(state, value))
        given, slopes, held = self._matched(grads, state, params)
        state = state if value is None else self.watch(state, value)
        values = self._values(state)
        steps = self._steps_of(given)
        numbers = {s: s.numbers(values) for s in set(steps)}
        arrays = zip(given.leaves, slopes, *held, strict=True)
        changed = [s.run([*own, numbers[s]]) for s, own in zip(steps, arrays, strict=True)]
        params, *slots = (given.like([plain(c[i]) for c in changed]) for i in range(1 + len(held)))
        return params, replace(state, count=state.count + 1, slots=dict(zip(self.used(), slots, strict=True)))

    def bound(self, grads: Any, state: State, params: Any) -> Callable[[State], State]:
        return self._over(grads, state, params)

    def _over(self, grads: Any, state: State, params: Any) -> Callable[[State], State]:
        """Updates along these very gradients."""
        given, slopes, held = self._matched(grads, state, params)
        given._replace(leaves=flatten(params)[0]).check_apart(*held)
        steps = self._steps_of(given)
        numbers = {s: s.numbers.room() for s in set(steps)}
        arrays = zip(given.leaves, slopes, *held, strict=True)
        runs = [
            s.bound([x, g, *remembered, numbers[s]], [x, *remembered])
            for s, (x, g, *remembered) in zip(steps, arrays, strict=True)
        ]

        def update(state: State) -> State:
            values = self._values(state)
            for s, room in numbers.items():
                room[...] = s.numbers(values)
            for run in runs:
                run()
            return replace(state, count=state.count + 1)

        return update

    def _matched(self, grads: Any, state: State, params: Any) -> tuple[Parameters, list[Any], list[list[Any]]]:
        """The parameters, and the leaves of the gradient and of each slot, which must be like them."""
        given = Parameters.of(params)
        slopes = given.matching(grads, "grads")
        if not isinstance(state, State):
            raise ArgumentError(f"the state is what {self.name}'s init(params) gives, not {type(state).__name__}")
        slots = self.used()
        missing = [n for n in slots if n not in state.slots]
        if missing:
            raise ArgumentError(
                f"the state is not one of {self!r}: it has no {missing[0]!r}; make one with init(params)"
            )
        return given, slopes, [given.matching(state.slots[n], f"state.slots[{n!r}]") for n in slots]

    def _steps_of(self, given: Parameters) -> list[Step]:
        """The rule made ready for each parameter."""
        decays = self._decays(given)
        return [self._step(x, decays is None or bool(decays[k])) for k, x in enumerate(given.leaves)]

    def _values(self, state: State) -> dict[str, float]:
        """The numbers that the rule reads, at this step."""
        now = {
            n: within(self.name, n, at_step(v, state.count)) if callable(v) else v for n, v in self.numbers().items()
        }
        return {"t": float(state.count + 1), "lr": self.rate(state), **now}

    def _decays(self, given: Parameters) -> list[Any] | None:
        """Which leaves decay; None: all of them."""
        if self.decay_mask is None:
            return None
        leaves, own = flatten(self.decay_mask(given.nest) if callable(self.decay_mask) else self.decay_mask)
        if own != given.structure:
            raise ArgumentError("decay_mask must be a nest like params, with True or False in the place of each array")
        for k, leaf in enumerate(leaves):
            if not isinstance(leaf, (bool, np.bool_)):
                raise ArgumentError(
                    f"decay_mask has {leaf!r} in the place of {given.name(k)}, where it needs True or False"
                )
        return leaves

    def _step(self, leaf: Any, decays: bool) -> Step:
        """The rule made ready for one parameter."""
        array: Any = resident(leaf) if is_on_device(leaf) else leaf
        key = array.dtype, decays, array.shape if self.whole else ()
        found = self._steps.get(key)
        if found is None:
            on = self.on() if decays else self.on() - {"weight_decay"}
            names = ("t", "lr", *self.numbers())
            found = step(type(self).rule, tuple(self.used()), names, on, key[2], array.dtype.name, self.machine)
            self._steps[key] = found
        return found


def _filled(leaf: Any, value: float) -> Any:
    """An array like a leaf, where it lies."""
    if is_on_device(leaf):
        from ...machines.cuda.transfer import placed

        return placed(np.full(resident(leaf).shape, value, resident(leaf).dtype))  # type: ignore[union-attr]
    return aligned(leaf.shape, leaf.dtype, value)


def aligned(shape: tuple[int, ...], dtype: Any, value: float = 0.0) -> np.ndarray:
    """An array that begins where vectors are aligned in memory."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    room = np.zeros(count + ALIGNMENT // dtype.itemsize, dtype)
    skip = -room.ctypes.data % ALIGNMENT // dtype.itemsize
    made = room[skip : skip + count].reshape(shape)
    if value:
        made.fill(value)
    return made
