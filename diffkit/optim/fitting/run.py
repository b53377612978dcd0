"""A run of `fit` as it goes: the parameters, one update after the other, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
import optree

from ...errors import ArgumentError, CheckpointError, DataError, DiffkitError, DivergedError
from ...expr.trace import flatten, names_of
from ..gradients import WithGradient
from ..optimizer import Optimizer
from ..parameters import Parameters
from ..state import State
from .batches import LOSS, Batches
from .checkpoints import Checkpoints, Content
from .draws import generator
from .examples import pieces, size
from .fingerprint import digest_of_arrays, digest_of_tape, rates, told
from .flat import Flat
from .history import History
from .program import Loss
from .recovery import LastGood, batch_told, largest_gradient, nonfinite_data, state_leaves
from .result import Fit
from .validation import Best, Validation

#: columns of the history that auxiliary results cannot have
OWN = ("loss", "learning_rate", "gradient_norm", "seconds")
#: settings that are digests, and what it means that they differ
DIGESTS = {
    "start": "params of other values to start from",
    "loss": "another loss (its operations or constants are not the same)",
}


class Run:
    """What callbacks are given. `params`, `state` and `aux` are the run's own and change at every step: copy what is to stay."""

    def __init__(
        self, loss: Callable[..., Any], params: Any, optimizer: Optimizer, batches: Batches, *, seed: int, accumulate: int,
        clip_norm: float | None, clip_value: float | None, machine: Any,
    ) -> None:  # fmt: skip
        given = Parameters.of(params).leaves
        if not given:
            raise ArgumentError("params has no arrays")
        self.structure = flatten(params)[1]
        self.flat = Flat(optree.tree_unflatten(self.structure, given))
        self.leaves = self.flat.leaves
        copy_into(self.leaves, given)
        #: a nest like the parameters given
        self.params = self.flat.nest
        self.optimizer = optimizer
        #: of all elements side by side, where the optimiser has the same rule for each
        self.state = optimizer.init(self.flat.whole if optimizer.elementwise else self.params)
        self.batches, self.seed, self.accumulate = batches, seed, accumulate
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.function = loss
        self.gradients = Flat(self.params)
        self.total = Flat(self.params) if accumulate > 1 else self.gradients
        self.program = Loss(loss, self.params, machine, self.gradients)
        self.history = History()
        self.validation: Validation | None = None
        self.best = Best(None, self.leaves)
        #: updates done, epochs that are complete, updates done in this epoch
        self.step = self.epoch = self.done = 0
        #: of the latest step: before its update
        self.loss = math.nan
        self.aux: Any = None
        #: of the latest validation
        self.validated: dict[str, float] | None = None
        self._validated_at = -1
        # of the losses in this epoch, each times its examples; and examples
        self._sum, self._weight = 0.0, 0
        self._begun, self._seconds = perf_counter(), 0.0
        self._good = LastGood()
        #: slots of the optimiser's state, and the update that writes over them
        self._bound: tuple[dict[str, Any], Callable[[State], State]] | None = None
        self._fun: OnBatch | None = None
        self._settings: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        return self._seconds + perf_counter() - self._begun

    # ---- one step ----
    def update(self, batch: Any) -> None:
        """One update. Raises DivergedError where loss or gradient are not finite; the parameters are then those of the latest copy
        (`LastGood`) made while they were. Other errors say in which step they came, and have the run so far as `.fit`."""
        try:
            self._update(batch)
        except DivergedError:
            raise
        except Exception as problem:
            self._tell(problem, batch)
            raise

    def _update(self, batch: Any) -> None:
        examples = size(batch)
        if not examples:
            raise DataError(f"the batch of step {self.step} has no examples: leave it out")
        self.loss, self.aux = self._gradient(batch)
        norm = self.total.norm()
        if not (math.isfinite(self.loss) and math.isfinite(norm)):
            self._check_finite(batch)
        if self._good.due(self.step):
            self._good.keep(self.step, self.flat.whole.values(), self.state)
        self._clip(norm)
        rate = self.optimizer.rate(self.state)
        self._step(batch)
        self.step += 1
        self.done += 1
        self._sum += self.loss * examples
        self._weight += examples
        row = {"loss": self.loss, "learning_rate": rate, "gradient_norm": norm, "seconds": self.seconds}
        if self.aux is not None:
            row.update(_scalars(self.aux))
        self.history.steps.add(row)

    def _step(self, batch: Any) -> None:
        """The optimiser's."""
        if self.optimizer.elementwise:
            slots = self.state.slots
            if self._bound is None or self._bound[0] is not slots:
                self._bound = slots, self.optimizer.bound(self.total.whole, self.state, self.flat.whole)
            self.state = self._bound[1](self.state)
            return
        made, self.state = self.optimizer.update(
            self.total.nest, self.state, self.params, fun=self._function(batch), in_place=True
        )
        if made is not self.params:
            copy_into(self.leaves, flatten(made)[0])

    def _gradient(self, batch: Any, leaves: list[np.ndarray] | None = None) -> tuple[float, Any]:
        """(loss, aux), the gradient in `total`. leaves: parameters in the place of the run's."""
        source = (self.seed, LOSS, self.step)
        if self.accumulate == 1:
            return self.program(batch, (*source, 0), leaves)
        value, aux = 0.0, None
        for k, (piece, share) in enumerate(pieces(batch, self.accumulate)):
            part, more = self.program(piece, (*source, k), leaves)
            value += share * part
            if k == 0:
                self.total.clear()
            self.total.add(self.gradients, share)
            aux = _mixed(aux, more, share)
        return value, aux

    def _clip(self, norm: float) -> None:
        if self.clip_value is not None:
            self.total.clip(self.clip_value)
            norm = self.total.norm() if self.clip_norm is not None else norm
        if self.clip_norm is not None and norm > self.clip_norm:
            self.total.scale(self.clip_norm / norm)

    def gradient_at(self, params: Any, batch: Any) -> Any:
        """The gradient, clipped, of this step's loss at other parameters: a nest in the place of that at the run's own."""
        leaves = [np.asarray(x, own.dtype, order="C") for x, own in zip(flatten(params)[0], self.leaves, strict=True)]
        self.aux = None if self.aux is None else _copied(self.aux)  # its arrays are written over
        self._gradient(batch, leaves)
        self._clip(self.total.norm())
        return self.total.nest

    def _function(self, batch: Any) -> OnBatch:
        return self._fun or OnBatch(self, batch)

    def keep_function(self, batch: Any) -> None:
        """All steps have this batch: what optimisers compile for it serves them all."""
        leaves, structure = flatten(batch)
        own = optree.tree_unflatten(structure, [np.array(x) if isinstance(x, np.ndarray) else x for x in leaves])
        self._fun = OnBatch(self, own)

    def _check_finite(self, batch: Any) -> None:
        found = self.program.first_nonfinite(self.total)
        if found is None and math.isfinite(self.loss):
            return  # the norm alone is out of range
        what, name = found or ("", None)
        remedy = "A smaller learning rate or clip_norm= helps against overflow; dk.lint tells where a NaN comes from"
        data = None if what == "value" else nonfinite_data(batch, self.batches.rows(self.epoch, self.done))
        if data is not None:
            cause, remedy = data, "Leave such examples out, or mask them"
        elif name is not None:
            cause = f"the {what} of {name} is not finite"
        else:
            largest = largest_gradient(self.total, names_of(self.params, "params"))
            fault = "is no number" if math.isnan(self.loss) else "overflows"
            cause = f"it is the loss itself that {fault}: parameters and gradient are finite, the largest gradient is in {largest}"
        good = self.step
        if self._good.step is not None:  # the update since then may have spoilt the parameters, finite as they may be
            good, self.state = self._good.step, self._good.restored(self.flat.whole.values())
        raise DivergedError(
            f"step {self.step} (epoch {self.epoch}): the loss is {self.loss}, and {cause}. The state after {good} steps is in this "
            f"error's `.fit`. {remedy}",
            self.step, self.epoch, name, self.fit("diverged", good),
        )  # fmt: skip

    def _tell(self, problem: Exception, batch: Any) -> None:
        """Add to an error what the run knows."""
        rows = self.batches.rows(self.epoch, self.done)
        problem.add_note(
            f"This is step {self.step} (epoch {self.epoch}) of fit. {' '.join(batch_told(batch, rows))}".rstrip()
        )
        if self.batches.hint:
            problem.add_note(self.batches.hint)
        if isinstance(problem, DiffkitError):
            problem.fit = self.fit("failed")  # type: ignore[attr-defined]

    # ---- beside the steps ----
    def validate(self) -> None:
        """Once a step at most: losses and metrics of held-out data, and who looks at them."""
        if self.validation is None or self._validated_at == self.step:
            return
        self._validated_at, self.validated = self.step, self.validation()
        self.history.validations.add({"step": self.step, **self.validated})
        if "loss" in self.validated:
            self.best.watch(self.validated["loss"], self.step)
            self.state = self.optimizer.watch(self.state, self.validated["loss"])
        elif self.best.rule is not None or self.optimizer.watches:
            raise ArgumentError("the loss of the validation is watched, but what validation gives has no 'loss'")

    def end_epoch(self) -> None:
        mean = self._sum / self._weight if self._weight else math.nan
        self.history.epochs.add({"loss": mean, "step": self.step})
        if self.validation is not None:
            self.validate()
        else:
            self.state = self.optimizer.watch(self.state, mean)
        self.epoch, self.done, self._sum, self._weight = self.epoch + 1, 0, 0.0, 0

    def fit(self, stopped: str, steps: int | None = None, *, restore: bool = False) -> Fit:
        """The run so far. restore: with the best parameters as its parameters."""
        last = [leaf.copy() for leaf in self.leaves]
        kept = last if self.best.kept is None else self.best.kept
        steps = self.step if steps is None else steps
        nest = lambda leaves: optree.tree_unflatten(self.structure, [leaf.copy() for leaf in leaves])
        return Fit(
            nest(kept if restore else last), self._state(), self.history.arrays(), nest(kept),
            steps if self.best.kept is None else self.best.step, self.epoch, steps, stopped, self.seconds,
        )  # fmt: skip

    def _state(self) -> Any:
        """A copy of the optimiser's state, as nests like params."""
        copied = _copied(self.state)
        return self.flat.opened_state(copied) if self.optimizer.elementwise else copied

    # ---- checkpoints ----
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must have been made with. Made once, of the parameters there are then: before the first step."""
        if not self._settings:
            self._settings = {
                **self.batches.settings, "seed": self.seed, "accumulate": self.accumulate, "clip_norm": self.clip_norm,
                "clip_value": self.clip_value, "optimizer": told(self.optimizer), "early_stopping": told(self.best.rule),
                "schedules": rates(self.optimizer), "start": digest_of_arrays(self.leaves), "loss": self._loss_digest(),
            }  # fmt: skip
        return self._settings

    def _loss_digest(self) -> str | None:
        batch = self.batches.example()
        if batch is None:
            return None
        try:
            return digest_of_tape(self.program.tape(batch))
        except Exception as problem:
            self._tell(problem, batch)
            raise

    def save(self, checkpoints: Checkpoints) -> str:
        """Raises CheckpointError, with the run so far, where it cannot be written."""
        arrays: dict[str, np.ndarray] = {f"params/{k}": leaf for k, leaf in enumerate(self.leaves)}
        if self.best.kept is not None:
            arrays.update((f"best/{k}", leaf) for k, leaf in enumerate(self.best.kept))
        numbers: list[Any] = []
        items, structure = state_leaves(self.state)
        for k, item in enumerate(items):
            array = isinstance(item, (np.ndarray, np.generic))
            numbers.append("array" if array else item)
            if array:
                arrays[f"state/{k}"] = np.asarray(item)
        meta = {
            "settings": self.settings(), "params": self._described(), "state": [str(structure), numbers], "step": self.step,
            "epoch": self.epoch, "done": self.done, "sum": self._sum, "weight": self._weight, "seconds": self.seconds,
            "best": [self.best.value, self.best.step, self.best.memory], "validated": [self._validated_at, self.validated],
        }  # fmt: skip
        try:
            return str(checkpoints.save(self.step, meta, {**arrays, **self.history.saved()}))
        except CheckpointError as problem:
            problem.fit = self.fit("checkpoint")
            raise

    def restore(self, path: Any, content: Content) -> None:
        """Go on from a checkpoint. Raises CheckpointError, naming what differs, for one of another run."""
        meta, arrays = content
        self._check_same(path, meta)
        copy_into(self.leaves, [arrays[f"params/{k}"] for k in range(len(self.leaves))])
        text, numbers = meta["state"]
        structure = state_leaves(self.state)[1]
        if text != str(structure) or len(numbers) != structure.num_leaves:
            raise CheckpointError(f"the checkpoint {path} holds the state of another optimiser than {self.optimizer!r}")
        items = [arrays[f"state/{k}"] if n == "array" else n for k, n in enumerate(numbers)]
        self.state = optree.tree_unflatten(structure, items)  # type: ignore[assignment]
        self.step, self.epoch, self.done = meta["step"], meta["epoch"], meta["done"]
        self._sum, self._weight, self._seconds = meta["sum"], meta["weight"], meta["seconds"]
        self.best.value, self.best.step, self.best.memory = meta["best"]
        if "best/0" in arrays:
            self.best.kept = [arrays[f"best/{k}"] for k in range(len(self.leaves))]
        self._validated_at, self.validated = meta["validated"]
        self.history = History.restored(arrays)
        if self.history.steps.length:
            self.loss = self.history.steps.columns["loss"][-1]

    def _described(self) -> list[list[Any]]:
        names = names_of(self.params, "params")
        return [[name, list(leaf.shape), leaf.dtype.str] for name, leaf in zip(names, self.leaves, strict=True)]

    def _check_same(self, path: Any, meta: Mapping[str, Any]) -> None:
        remedy = "give what it was made with, another folder, or resume=False to begin again"
        theirs, own = meta["params"], self._described()
        for there, here in zip([*theirs, *[None] * len(own)], [*own, *[None] * len(theirs)], strict=False):
            if there == here:
                continue
            there_told, here_told = (_told(x) for x in (there, here))
            raise CheckpointError(f"the checkpoint {path} has {there_told} where params has {here_told}: {remedy}")
        settings = self.settings()
        for name in {**meta["settings"], **settings}:
            there, here = meta["settings"].get(name), settings.get(name)
            if there != here:
                differs = DIGESTS.get(name, f"{name}={there!r}, not {here!r}")
                raise CheckpointError(f"the checkpoint {path} was made with {differs}: {remedy}")


class OnBatch(WithGradient):
    """The loss on one batch as a function of the parameters, for optimisers that evaluate it. Its gradient is the run's program."""

    def __init__(self, run: Run, batch: Any) -> None:
        self.run, self.batch = run, batch

    def __call__(self, params: Any) -> Any:
        run = self.run
        rng = {"rng": generator(run.seed, LOSS, run.step, 0)} if run.program.takes_rng else {}
        result = run.function(params, self.batch, **rng)
        return result[0] if isinstance(result, tuple) else result

    def gradient(self, params: Any) -> Any:
        return self.run.gradient_at(params, self.batch)


def _told(described: list[Any] | None) -> str:
    return (
        "nothing" if described is None else f"{described[0]} of shape {tuple(described[1])} ({np.dtype(described[2])})"
    )


def copy_into(targets: list[np.ndarray], sources: list[Any]) -> None:
    for target, source in zip(targets, sources, strict=True):
        if target is not source:
            target[...] = source


def _copied(state: Any) -> Any:
    items, structure = state_leaves(state)
    return optree.tree_unflatten(structure, [x.copy() if isinstance(x, np.ndarray) else x for x in items])


def _scalars(aux: Any) -> dict[str, float]:
    """What of an auxiliary result is recorded: its scalars, by name."""
    leaves = flatten(aux)[0]
    found = {}
    for name, leaf in zip(names_of(aux, ""), leaves, strict=True):
        if not np.ndim(leaf):
            found[name.strip(".") or "aux"] = float(leaf)
    clash = next((name for name in OWN if name in found), None)
    if clash:
        raise ArgumentError(f"aux has an entry {clash!r}, a column that the history has itself; give it another name")
    return found


def _mixed(before: Any, aux: Any, share: float) -> Any:
    """Means over the pieces of a batch of what is a number; anything else from the last piece."""
    leaves, structure = flatten(aux)
    if aux is None:
        return None
    parts = [share * x if not np.ndim(x) else x for x in leaves]
    if before is not None:
        parts = [b + x if not np.ndim(x) else x for b, x in zip(flatten(before)[0], parts, strict=True)]
    return optree.tree_unflatten(structure, parts)
