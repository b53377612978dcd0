"""What all optimisers are: options with a flavor's defaults, a learning rate or schedule, and `init` and `update`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, ClassVar, NamedTuple

import numpy as np
import optree

from ..errors import ArgumentError, DtypeError, ShapeError
from ..expr.trace import flatten, names_of
from ..machines import check_machine
from ..machines.resident import is_on_device, resident
from .state import State


class Required:
    """The default of an option that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = Required()


class Flavor(NamedTuple):
    """One convention of an optimiser: who states it, its options and their defaults."""

    source: str
    defaults: Mapping[str, Any]


#: options that are numbers: (least, most, whether these may be reached), where they are limited
_LIMITS: dict[str, tuple[float, float, bool, bool]] = {
    "betas": (0.0, 1.0, True, False),
    "rho": (0.0, 1.0, True, True),
    "alpha": (0.0, 1.0, True, True),
    **dict.fromkeys(
        ("eps", "eps_root", "momentum", "weight_decay", "initial_accumulator_value", "lr_decay", "eta", "damping"),
        (0.0, math.inf, True, False),
    ),
}


class Optimizer:
    """A rule of updating, with its options.

    learning_rate (or lr): a positive number, or a schedule: a callable from the number of updates done to a learning rate
    (`dk.optim.schedules`). flavor: whose formula and defaults; the docstring of each optimiser says how they differ. Options
    carry torch.optim's names. machine: where updates run.

    `init(params)` gives a `State`; ``params, state = update(grads, state, params)`` is a pure function over any nest of arrays.
    `str` prints the formula in force. Raises ArgumentError for an option that the flavor has not, or a value out of range.
    """

    flavors: ClassVar[Mapping[str, Flavor]] = {}
    #: other spellings of options
    aliases: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self, learning_rate: Any = None, *, flavor: str | None = None, machine: str = "cpu", **options: Any
    ) -> None:
        check_machine(machine)
        self.machine = machine
        self.flavor = next(iter(self.flavors)) if flavor is None else flavor
        if self.flavor not in self.flavors:
            raise ArgumentError(f"{self.name} has the flavors {', '.join(self.flavors)}; there is no {flavor!r}")
        self.options = self._chosen(learning_rate, options)
        self.learning_rate = self.options.pop("learning_rate")
        check_rate(self.learning_rate, self.name)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """The signature that `help` shows: the options of the first flavor."""
        super().__init_subclass__(**kwargs)
        if not cls.flavors:
            return
        keyword = inspect.Parameter.KEYWORD_ONLY
        first, shown = next(iter(cls.flavors.items()))
        parameters = [
            inspect.Parameter(n, keyword if k else inspect.Parameter.POSITIONAL_OR_KEYWORD, default=v)
            for k, (n, v) in enumerate([*shown.defaults.items(), ("flavor", first), ("machine", "cpu")])
        ]
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def elementwise(self) -> bool:
        """Whether every element has the same rule, of nothing but itself: parameters may then be laid side by side in any way."""
        return False

    # ---- options ----
    def _chosen(self, learning_rate: Any, given: dict[str, Any]) -> dict[str, Any]:
        """All options of the flavor, with those given in place of its defaults."""
        chosen = dict(self.flavors[self.flavor].defaults)
        known = {**self.aliases, "lr": "learning_rate"}
        if learning_rate is not None:
            given = {"learning_rate": learning_rate, **given}
        seen: dict[str, str] = {}
        for name, value in self.spelled(dict(given)).items():
            own = known.get(name, name)
            if own not in chosen:
                close = get_close_matches(own, chosen, 1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; its options are {', '.join(chosen)}"
                raise ArgumentError(f"{self.name} of flavor {self.flavor!r} has no option {name!r}{hint}")
            if own in seen:
                raise ArgumentError(f"{self.name} was given {seen[own]!r} and {name!r}, which are the same option")
            seen[own] = name
            chosen[own] = value
        missing = [n for n, v in chosen.items() if v is REQUIRED]
        if missing:
            raise ArgumentError(
                f"{self.name} of flavor {self.flavor!r} has no default {missing[0]}: give one, {missing[0]}=0.01"
            )
        for name, value in chosen.items():
            if name != "learning_rate":
                _check_option(self.name, name, value)
        return chosen

    def spelled(self, given: dict[str, Any]) -> dict[str, Any]:
        """Options as given, where another spelling is not one name for one name."""
        return given

    def __repr__(self) -> str:
        defaults = self.flavors[self.flavor].defaults
        shown = [f"learning_rate={self.learning_rate!r}"]
        shown += [f"{n}={v!r}" for n, v in self.options.items() if not _same(v, defaults[n])]
        if self.flavor != next(iter(self.flavors)):
            shown.append(f"flavor={self.flavor!r}")
        if self.machine != "cpu":
            shown.append(f"machine={self.machine!r}")
        return f"{self.name}({', '.join(shown)})"

    def __str__(self) -> str:
        values = [f"learning_rate={self.learning_rate}"]
        values += [f"{n}={v}" for n, v in self.options.items()]
        lines = [f"{self.name}, {', '.join(values)}", f"flavor {self.flavor}: {self.flavors[self.flavor].source}"]
        return "\n".join([*lines, *(f"  {line}" for line in self.formula())])

    def formula(self) -> list[str]:
        """The update in force, a line an assignment."""
        return []

    # ---- the learning rate ----
    @property
    def watches(self) -> bool:
        """Whether the learning rate depends on the loss."""
        return hasattr(self.learning_rate, "watch")

    def rate(self, state: State) -> float:
        """The learning rate of the next update. Raises ArgumentError where the schedule gives none that can be used."""
        rate = self.learning_rate
        if self.watches:
            value = rate.rate(state.count, state.rate)
        else:
            value = rate(state.count) if callable(rate) else rate
        value = float(value)
        if not (value >= 0 and math.isfinite(value)):
            raise ArgumentError(f"the schedule gives the learning rate {value} for update {state.count}: {rate}")
        return value

    def watch(self, state: State, value: float) -> State:
        """The state after its schedule has seen a loss; the same state where the schedule looks at none."""
        return replace(state, rate=self.learning_rate.watch(state.rate, float(value))) if self.watches else state

    # ---- updates ----
    def init(self, params: Any) -> State:
        """The state before the first update of parameters like these (a nest of float arrays)."""
        given = Parameters.of(params)
        slots = {n: given.like(made) for n, made in self.start(given.leaves).items()}
        return State(0, slots, self.learning_rate.start() if self.watches else {})

    def start(self, leaves: list[Any]) -> dict[str, list[Any]]:
        """What is remembered of each leaf at first, by name."""
        return {}

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
        """(new params, new state) after one step along `grads`, a nest like `params`.

        value: the loss, for schedules that watch it. fun: the function of params, for rules that evaluate it. in_place:
        the arrays of params and state are written over, and the nests returned hold them; they must be the caller's own.
        Raises ArgumentError for a nest of another structure, ShapeError and DtypeError for leaves that do not fit.
        """
        raise NotImplementedError


def check_rate(rate: Any, owner: str) -> None:
    """ArgumentError unless it is a positive number or a schedule."""
    if callable(rate) or hasattr(rate, "watch"):
        return
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.floating, np.integer)):
        raise ArgumentError(f"the learning rate of {owner} is a number or a schedule, not {type(rate).__name__}")
    if not (rate > 0 and math.isfinite(rate)):
        raise ArgumentError(
            f"the learning rate of {owner} must be positive, not {rate}; to ascend, minimise the negative (or maximize=True)"
        )


def _check_option(owner: str, name: str, value: Any) -> None:
    if name not in _LIMITS or callable(value) or value is None:
        return
    least, most, low, high = _LIMITS[name]
    for v in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(v, bool) or not isinstance(v, (int, float, np.floating, np.integer)):
            raise ArgumentError(f"{name} of {owner} is a number, not {type(v).__name__}")
        if not ((v > least or (low and v == least)) and (v < most or (high and v == most))):
            brackets = f"{'[' if low else '('}{least:g}, {most:g}{']' if high else ')'}"
            raise ArgumentError(f"{name} of {owner} must lie in {brackets}, not {v}")


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and a == b)


_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Parameters(NamedTuple):
    """A nest of parameters, taken apart."""

    nest: Any
    #: arrays, of floating-point numbers; those on a device are left where they are
    leaves: list[Any]
    structure: Any

    @classmethod
    def of(cls, nest: Any) -> Parameters:
        """Raises DtypeError for a leaf that is something else."""
        leaves, structure = flatten(nest)
        checked = [
            leaf if type(leaf) is np.ndarray and leaf.dtype in _FLOATS else _checked(leaf, nest, k)
            for k, leaf in enumerate(leaves)
        ]
        return cls(nest, checked, structure)

    def name(self, k: int) -> str:
        return names_of(self.nest, "params")[k]

    def matching(self, tree: Any, what: str) -> list[Any]:
        """The leaves of another nest, which must be of the same structure and shapes."""
        leaves, own = flatten(tree)
        if own != self.structure:
            raise ArgumentError(f"{what} must be structured as params: {self._difference(tree, what)}")
        for k, (leaf, param) in enumerate(zip(leaves, self.leaves, strict=True)):
            if np.shape(leaf) != param.shape:
                raise ShapeError(f"{what} has shape {np.shape(leaf)} where {self.name(k)} has {np.shape(param)}")
        return leaves

    def like(self, leaves: list[Any]) -> Any:
        return optree.tree_unflatten(self.structure, leaves)

    def _difference(self, tree: Any, what: str) -> str:
        """What the one nest has that the other has not."""
        own, wanted = set(names_of(tree, "")), set(names_of(self.nest, ""))
        missing, extra = sorted(wanted - own), sorted(own - wanted)
        parts = [f"there is none for params{missing[0]}"] if missing else []
        parts += [f"{what}{extra[0]} belongs to no parameter"] if extra else []
        return "; ".join(parts) or "a dict, list or tuple stands where params has another kind of nest"


def _checked(leaf: Any, nest: Any, k: int) -> Any:
    name = lambda: names_of(nest, "params")[k]
    if leaf is None:
        raise DtypeError(f"{name()} is None; leave what is not a parameter out of the nest")
    array: Any = resident(leaf) if is_on_device(leaf) else np.asarray(leaf)
    if array.dtype not in _FLOATS:
        raise DtypeError(
            f"{name()} has dtype {array.dtype}; an optimiser changes float64 or float32 (write 3.0 rather than 3)"
        )
    return leaf if is_on_device(leaf) else array
