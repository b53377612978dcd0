"""What all optimisers are: options with a flavor's defaults, a learning rate or schedule, and `init` and `update`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, ClassVar

from ..errors import ArgumentError
from ..machines import check_machine
from .options import Flavor, at_step, check_rate, chosen
from .parameters import Parameters
from .state import State


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
        self,
        learning_rate: Any = None,
        *positional: Any,
        flavor: str | None = None,
        machine: str = "cpu",
        **options: Any,
    ) -> None:
        if positional:
            raise ArgumentError(f"options of {self.name} are given by name, as in {self._example()}")
        check_machine(machine)
        self.machine = machine
        self.flavor = next(iter(self.flavors)) if flavor is None else flavor
        if self.flavor not in self.flavors:
            close = get_close_matches(str(self.flavor).lower(), {f.lower(): f for f in self.flavors}, 1)
            hint = f"; did you mean {next(f for f in self.flavors if f.lower() == close[0])!r}?" if close else ""
            raise ArgumentError(f"{self.name} has the flavors {', '.join(self.flavors)}; there is no {flavor!r}{hint}")
        if isinstance(learning_rate, (dict, list, tuple)) or getattr(learning_rate, "ndim", 0) > 0:
            raise ArgumentError(f"{self.name} is made without parameters: they go to init(params), and to each update")
        if learning_rate is not None:
            options = {"learning_rate": learning_rate, **options}
        owner = f"{self.name} of flavor {self.flavor!r}"
        aliases = {**self.aliases, "lr": "learning_rate"}
        self.options = chosen(owner, self.flavors[self.flavor].defaults, self.spelled(options), aliases)
        self.learning_rate = check_rate(self.options.pop("learning_rate"), self.name)

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

    def _example(self) -> str:
        names = [n for n in next(iter(self.flavors.values())).defaults if n != "learning_rate"]
        return f"{self.name}(0.1, {names[0]}=…)" if names else f"{self.name}(0.1)"

    @property
    def elementwise(self) -> bool:
        """Whether every element has the same rule, of nothing but itself: parameters may then be laid side by side in any way."""
        return False

    # ---- options ----
    def spelled(self, given: dict[str, Any]) -> dict[str, Any]:
        """Options as given, where another spelling is not one name for one name."""
        return given

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(self.shown())})"

    def shown(self) -> list[str]:
        """The arguments that make it again."""
        defaults = self.flavors[self.flavor].defaults
        shown = [f"learning_rate={self.learning_rate!r}"]
        shown += [f"{n}={v!r}" for n, v in self.options.items() if not _same(v, defaults[n])]
        if self.flavor != next(iter(self.flavors)):
            shown.append(f"flavor={self.flavor!r}")
        if self.machine != "cpu":
            shown.append(f"machine={self.machine!r}")
        return shown

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
    def lr(self) -> Any:
        """The learning rate, under torch's name; for another one make another optimiser."""
        return self.learning_rate

    @property
    def watches(self) -> bool:
        """Whether the learning rate depends on the loss."""
        return hasattr(self.learning_rate, "watch")

    def rate(self, state: State) -> float:
        """The learning rate of the next update. Raises ArgumentError where the schedule gives none that can be used."""
        rate = self.learning_rate
        if self.watches:
            value = float(rate.rate(state.count, state.rate))
        else:
            value = at_step(rate, state.count) if callable(rate) else rate
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

    def bound(self, grads: Any, state: State, params: Any) -> Callable[[State], State]:
        """`update` in place, to be made any number of times on the very arrays of these nests: they are looked at once, here.

        It takes a state with the arrays of this one, and gives the next one, which has them too. Raises as `update` does.
        """
        return lambda state: self.update(grads, state, params, in_place=True)[1]


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and a == b)
