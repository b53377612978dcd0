"""A loss as programs: traced once a shape of batch; its gradient is written into buffers that stay from step to step."""

from __future__ import annotations

import inspect
import pickle
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import numpy as np
import optree

from ...engines.engine import differentiable_tape, filled
from ...engines.reverse import Sweep
from ...errors import ArgumentError, TracingError
from ...expr.collector import paused
from ...expr.trace import Traced, flatten, going_on, is_traced, names_of, trace_call
from ...machines import machine as find_machine
from ...tape import Builder, Tape, record
from ...tape.tidy import tidied
from ...transforms.by_position import REMEMBERED, call_key
from ...transforms.programs import check_scalar
from .draws import Draws, generator
from .flat import Flat


@dataclass(eq=False)
class _Program:
    """A traced function on a machine: its results are written into `buffers`."""

    run: Callable[..., Any]
    #: dtypes of the batch's traced leaves as the tape declares them
    dtypes: list[np.dtype]
    draws: Draws
    buffers: list[np.ndarray]
    #: how many of the first buffers are what the function returned, and its structure
    results: int
    structure: Any

    def __call__(self, params: Sequence[np.ndarray], batch: Sequence[Any], source: tuple[int, ...]) -> list[np.ndarray]:
        values = [*params, *(np.asarray(b, d) for b, d in zip(batch, self.dtypes, strict=True))]
        if len(self.draws):
            numbers = self.draws.made(generator(*source))
            values += [np.asarray(n, s.dtype) for n, s in zip(numbers, self.draws.inputs, strict=True)]
        self.run(values, self.buffers)
        return self.buffers


class Loss:
    """`loss(params, batch[, rng])` as programs for the shapes of batches that come.

    gradients: where its gradient is written; None where the value alone is wanted, and then `rng` is None. metrics: further
    functions of (params, batch), evaluated beside it. A call gives the value and the auxiliary result.
    Raises ArgumentError for a result that is neither a scalar nor (scalar, aux), ShapeError for a loss that is not a scalar.
    """

    def __init__(
        self, loss: Callable[..., Any], params: Any, machine: Any, gradients: Flat | None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:  # fmt: skip
        self.loss, self.params, self.gradients, self.metrics = loss, params, gradients, metrics or {}
        self.machine = find_machine(machine)
        self.leaves: list[np.ndarray] = flatten(params)[0]
        self.takes_rng = _takes_rng(loss)
        self.name = getattr(loss, "__name__", "the loss")
        self._made: dict[tuple, _Program] = {}

    def __call__(
        self, batch: Any, source: tuple[int, ...] = (), leaves: Sequence[np.ndarray] | None = None
    ) -> tuple[float, Any]:
        """(value, aux) on a batch of the parameters, or of others like them; `source`: the numbers that the draws are made from."""
        key = call_key((batch,))
        program = self._made.get(key) if key is not None else None
        if program is None:
            program = self._make(batch)
            if key is not None:
                while len(self._made) >= REMEMBERED:
                    del self._made[next(iter(self._made))]
                self._made[key] = program
        items = [leaf for leaf in flatten(batch)[0] if is_traced(leaf)]
        buffers = program(self.leaves if leaves is None else leaves, items, source)
        if program.results == 1:
            return float(buffers[0]), None
        return float(buffers[0]), optree.tree_unflatten(program.structure, [b[()] for b in buffers[: program.results]])[
            1
        ]

    def _make(self, batch: Any) -> _Program:
        traced, draws, tape = self._traced(batch)
        results = len(traced.outputs)
        if self.gradients is not None:
            tape = _with_gradient(tape, len(self.leaves))
        executable = self.machine.compile(tape)
        kinds = [tape.kinds[o] for o in tape.outputs[:results]]
        buffers = [np.empty(k.shape, "float64" if k.dtype == "weak" else k.dtype) for k in kinds]
        buffers += [] if self.gradients is None else self.gradients.leaves
        # of exactly these shapes and dtypes, so the shortest way there is will do
        run = executable.point() if hasattr(executable, "point") else executable
        dtypes = [np.dtype(v.dtype) for v in traced.inputs[len(self.leaves) :]]
        return _Program(run, dtypes, draws, buffers, results, traced.structure)

    def tape(self, batch: Any) -> Tape:
        """The loss alone, and what comes with it, for batches of these shapes."""
        return self._traced(batch)[2]

    def _traced(self, batch: Any) -> tuple[Traced, Draws, Tape]:
        draws = Draws()
        before = _global_randomness()
        with going_on([draws.owner]):
            traced = trace_call(self._called(draws), (self.params, batch))
        if _global_randomness() != before:
            warnings.warn(
                f"{self.name} drew random numbers from np.random or random while it was traced: they are constants from now on, "
                "the same at every step. Give it a parameter rng, and draw from that: rng.random(shape)",
                stacklevel=2,
            )
        foreign = [v for v in traced.captured if v.kind.kwargs["uid"] != draws.uid]
        if foreign:
            raise TracingError(
                f"{self.name} depends on {foreign[0].name!r}, which has no value yet: fit runs on numbers"
            )
        if not optree.treespec_child(traced.structure, 0).is_leaf():
            raise ArgumentError(
                f"{self.name} returned a nest in the place of the loss; it returns a scalar, or (scalar, aux)"
            )
        check_scalar(traced.outputs[0].shape, f"the result of {self.name}")
        return traced, draws, record(traced.outputs, [*traced.inputs, *draws.inputs])

    def _called(self, draws: Draws) -> Callable[..., Any]:
        """(value, aux) in any case, under the loss's own name and those of its parameters."""
        rng = {"rng": draws if self.gradients is not None else None} if self.takes_rng else {}

        def loss(params: Any, batch: Any) -> tuple[Any, Any]:
            result = self.loss(params, batch, **rng)
            if isinstance(result, tuple) and len(result) != 2:
                raise ArgumentError(
                    f"{self.name} returned a tuple of {len(result)}; it returns a scalar, or a pair (scalar, aux)"
                )
            value, aux = result if isinstance(result, tuple) else (result, ())
            if self.metrics:
                return value, {name: metric(params, batch) for name, metric in self.metrics.items()}
            return value, aux if self.gradients is not None else ()

        return update_wrapper(loss, self.loss) if hasattr(self.loss, "__name__") else loss

    def first_nonfinite(self, gradients: Flat) -> tuple[str, str] | None:
        """("value" or "gradient", the parameter's name) of the first that is not finite; values are looked at first."""
        names = names_of(self.params, "params")
        for what, arrays in (("value", self.leaves), ("gradient", gradients.leaves)):
            for name, array in zip(names, arrays, strict=False):
                if not np.isfinite(array).all():
                    return what, name
        return None


def _global_randomness() -> bytes:
    """The state of the generators that belong to nobody."""
    return pickle.dumps((np.random.get_state(legacy=False), random.getstate()))


def _takes_rng(loss: Callable[..., Any]) -> bool:
    try:
        return "rng" in inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False


def _with_gradient(tape: Tape, count: int) -> Tape:
    """Outputs followed by the adjoints of the first `count` inputs, of the first output alone; the others come along."""
    with paused():
        tape = differentiable_tape(tidied(tape))
        builder = Builder.copy_of(tape)
        inputs, loss = tape.inputs[:count], tape.outputs[0]
        sweep = Sweep(builder, len(tape.kinds), inputs)
        if tape.kinds[loss].dtype not in ("bool", "int64"):
            sweep.seed(loss, filled(builder, 1.0, (), tape.kinds[loss].dtype))
            sweep.run()
        return tidied(builder.finish(tape.inputs, (*tape.outputs, *(sweep.result(i) for i in inputs))))
