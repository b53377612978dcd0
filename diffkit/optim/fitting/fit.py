"""Training on batches: the loop."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from types import FrameType
from typing import Any

import numpy as np

from ...errors import ArgumentError, CheckpointError
from ..stopping import EarlyStopping
from .batches import ArrayBatches, batches
from .checkpoints import Checkpoints
from .progress import Progress
from .result import Fit
from .run import Run
from .validation import Best, Validation


def fit(
    loss: Callable[..., Any],
    params: Any,
    data: Any,
    *,
    optimizer: Any,
    batch_size: int = 32,
    epochs: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = True,
    drop_last: bool = False,
    seed: int = 0,
    validation: Any = None,
    validate_every: int | None = None,
    early_stopping: Any = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    checkpoint: Any = None,
    checkpoint_every: int | None = None,
    keep: int = 2,
    resume: bool | str = True,
    callbacks: Sequence[Any] = (),
    progress: bool | None = None,
    machine: str = "cpu",
) -> Fit:
    """Minimise the mean of a loss over data, batch by batch.

    loss(params, batch) -> scalar, or (scalar, aux): the mean over the batch's examples. It is traced once a shape of batch.
    Scalars of aux are recorded by name. If it has a parameter `rng`, it is given what stands for a `numpy.random.Generator` whose
    numbers are new at every step, and None in validation. Within `scan` a draw is the same at all steps: draw before it.
    params: a nest of float32 or float64 arrays; they are copied, and never written to.
    data: an array, tuple or dict (or a nest of these) whose arrays count examples along the first axis; they may be
    memory-mapped. Or an iterable of batches (a list, a loader), one pass an epoch; or a function from the step to a batch, without
    epochs.
    optimizer: of `dk.optim`. epochs: 10 unless steps are given; steps: updates in all. With both, the first that is reached.
    batch_size, shuffle, drop_last: of arrays. shuffle: True, each example once an epoch; False, in order; "replacement", drawn
    anew for each step. drop_last: leave out a smaller last batch. seed: order and `rng` follow from it and the step alone.

    validation: like data (arrays), or a function params -> loss or dict; after every epoch, and every `validate_every` steps.
    metrics: {name: function(params, batch) -> scalar}, evaluated there. early_stopping: an `EarlyStopping`, or its patience. A
    schedule that watches the loss sees the validation's, or without one the mean training loss of each epoch.
    accumulate: work through a batch in so many pieces: the same update, to round-off, in less memory. clip_value: the largest
    entry of the gradient; clip_norm: its largest norm, after that.

    checkpoint: a folder; a file is written there every `checkpoint_every` steps (else every epoch), and at the end; the newest
    `keep` are kept. resume: True goes on from the newest that is whole, with the bits of a run that was never interrupted;
    "must" raises if there is none; False begins again, in place of what was there. What is gone on from must have been made with
    the same arguments: the settings, what schedules give at steps 0, 1, 10, 100 and 1000, the values of params, and the operations
    of the loss (of data in arrays or a list; what is drawn from `rng`, and the numbers in data, are not compared).
    Ctrl-C ends the step at hand, writes a checkpoint and is raised again; it carries the run so far as `.fit` (a second one is
    immediate).
    callbacks: functions called with the `Run` after every step; objects with on_step, on_epoch or both. True from one stops.
    progress: a bar, on a terminal only if None. machine: where the loss and its gradient run.

    Raises DivergedError for a loss or gradient that is not finite, with a run as `.fit` whose params and state are the latest copy
    for which both were: one is made every step of up to 1 MiB of parameters and state, every n steps of n MiB, 64 at most (before
    the first it is the start). Raises CheckpointError for checkpoints that cannot be used or written; that and any DiffkitError
    of a step have the run so far as `.fit`, and a note says which step it was. Raises DataError, ShapeError, DtypeError,
    ArgumentError for arguments that make no sense.
    """
    _check_counts(batch_size=batch_size, epochs=epochs, steps=steps, accumulate=accumulate, keep=keep)
    _check_counts(validate_every=validate_every, checkpoint_every=checkpoint_every)
    _check_counts(least=0, seed=seed)
    _check_positive(clip_norm=clip_norm, clip_value=clip_value)
    _check_choices(loss, optimizer, resume, checkpoint, validation, early_stopping, metrics)
    batch_size, accumulate, seed = int(batch_size), int(accumulate), int(seed)
    clip_norm, clip_value = (None if c is None else float(c) for c in (clip_norm, clip_value))
    epochs = 10 if epochs is None and steps is None else epochs
    source = batches(data, batch_size, epochs, steps, shuffle, drop_last, seed)
    run = Run(
        loss, params, optimizer, source, seed=seed, accumulate=accumulate, clip_norm=clip_norm, clip_value=clip_value,
        machine=machine,
    )  # fmt: skip
    if validation is not None:
        run.validation = Validation(validation, loss, run.params, metrics or {}, batch_size, machine)
    run.best = Best(EarlyStopping(early_stopping) if isinstance(early_stopping, int) else early_stopping, run.leaves)
    checkpoints = None if checkpoint is None else Checkpoints(checkpoint, keep)
    if checkpoints is not None:
        run.settings()
        _resume(run, checkpoints, resume)
    if isinstance(source, ArrayBatches) and source.steps_per_epoch == 1 and not shuffle and not run.program.takes_rng:
        run.keep_function(source.examples.between(0, source.examples.count))
    return Loop(run, epochs, steps, checkpoints, checkpoint_every, validate_every, callbacks).go(progress)


class Loop:
    """Steps and epochs, and what is done after each."""

    def __init__(
        self, run: Run, epochs: int | None, steps: int | None, checkpoints: Checkpoints | None, checkpoint_every: int | None,
        validate_every: int | None, callbacks: Sequence[Any],
    ) -> None:  # fmt: skip
        self.run, self.checkpoints = run, checkpoints
        self.epochs, self.steps = epochs, steps
        self.checkpoint_every, self.validate_every = checkpoint_every, validate_every
        self.on_step, self.on_epoch = _sorted_callbacks(callbacks)
        self.saved_at = (run.step, run.epoch) if run.step else None
        self.called_off = False

    def go(self, progress: bool | None) -> Fit:
        run = self.run
        with _interruptible() as interrupt, Progress(progress, self._total()) as bar:
            self.interrupt, self.bar = interrupt, bar
            while not self.stopped():
                self._epoch()
        stopped = self.stopped()
        self._save()
        if not self.called_off:
            run.validate()  # the last state, where an epoch ended early
        return run.fit(stopped, restore=bool(getattr(run.best.rule, "restore_best", False)))

    def stopped(self) -> str:
        """Why no more steps are made; "" while they are."""
        run = self.run
        if self.called_off:
            return "callback"
        if run.best.over:
            return "early stopping"
        if self.epochs is not None and run.epoch >= self.epochs:
            return "epochs"
        return "steps" if self.steps is not None and run.step >= self.steps else ""

    def _epoch(self) -> None:
        run, every = self.run, self.checkpoint_every
        for batch in run.batches.epoch(run.epoch, run.done):
            run.update(batch)
            if self.validate_every and run.step % self.validate_every == 0:
                run.validate()
            self._tell(self.on_step)
            if self.interrupt:
                self._interrupted()
            if every and run.step % every == 0:
                self._save()
            self.bar.tell(run.step, run.epoch, run.loss, perf_counter())
            if run.done != run.batches.steps_per_epoch and self.stopped():
                return
        run.end_epoch()
        self._tell(self.on_epoch)
        if self.interrupt:
            self._interrupted()
        if not every:
            self._save()

    def _tell(self, callbacks: list[Callable[[Run], Any]]) -> None:
        for callback in callbacks:
            answer = callback(self.run)
            self.called_off |= isinstance(answer, (bool, np.bool_)) and bool(answer)

    def _save(self) -> str:
        at = self.run.step, self.run.epoch
        if self.checkpoints is None or at == self.saved_at:
            return ""
        self.saved_at = at
        return self.run.save(self.checkpoints)

    def _interrupted(self) -> None:
        path = self._save()
        problem = KeyboardInterrupt(f"fit was interrupted after {self.run.step} steps")
        problem.fit = self.run.fit("interrupted")  # type: ignore[attr-defined]
        if path:
            problem.add_note(f"The checkpoint {path} was written; the same call of fit goes on from it.")
        raise problem

    def _total(self) -> int | None:
        each = self.run.batches.steps_per_epoch
        counts = [n for n in (self.steps, each * self.epochs if each and self.epochs else None) if n]
        return min(counts, default=None)


def _resume(run: Run, checkpoints: Checkpoints, resume: Any) -> None:
    if resume is False:
        checkpoints.forget()
        return
    found = checkpoints.newest()
    if found is not None:
        run.restore(*found)
    elif resume == "must":
        raise CheckpointError(
            f"there is no checkpoint in {checkpoints.folder} to go on from; resume=True begins where there is none"
        )


def _sorted_callbacks(callbacks: Any) -> tuple[list[Callable[[Run], Any]], list[Callable[[Run], Any]]]:
    on_step, on_epoch = [], []
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else (callbacks,):
        methods = [getattr(callback, name, None) for name in ("on_step", "on_epoch")]
        if not any(methods):
            methods[0] = callback
        if not all(m is None or callable(m) for m in methods):
            raise ArgumentError(
                f"a callback is a function of the run, or an object with on_step or on_epoch, not {type(callback).__name__}"
            )
        on_step += [m for m in methods[:1] if m]
        on_epoch += [m for m in methods[1:] if m]
    return on_step, on_epoch


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Ctrl-C is noted in the list that this gives, and acted on between steps; a second one is Python's own."""
    noted: list[int] = []
    own = signal.default_int_handler

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, own)
        noted.append(number)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is not own:
        yield noted  # somebody else's
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, own)


# ---- arguments ------------------------------------------------------------------------------------------------------
def _check_counts(least: int = 1, **counts: Any) -> None:
    for name, value in counts.items():
        if value is None and name not in ("batch_size", "accumulate", "keep", "seed"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ArgumentError(f"{name} is a whole number of at least {least}, not {value!r}")


def _check_positive(**numbers: Any) -> None:
    for name, value in numbers.items():
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf
        ):
            raise ArgumentError(f"{name} is a positive number, or None, not {value!r}")


def _check_choices(
    loss: Any, optimizer: Any, resume: Any, checkpoint: Any, validation: Any, early_stopping: Any, metrics: Any
) -> None:
    if not callable(loss):
        raise ArgumentError(f"the loss is a function loss(params, batch), not {type(loss).__name__}")
    if isinstance(optimizer, type) or not all(hasattr(optimizer, name) for name in ("init", "update", "rate", "watch")):
        shown = optimizer.__name__ + " itself" if isinstance(optimizer, type) else repr(optimizer)
        raise ArgumentError(f"optimizer is one of dk.optim, such as dk.optim.Adam(learning_rate=1e-3), not {shown}")
    if resume not in (True, False, "must"):
        raise ArgumentError(f'resume is True, False or "must", not {resume!r}')
    if resume == "must" and checkpoint is None:
        raise ArgumentError('resume="must" needs checkpoint=, the folder to go on from')
    if validation is None and early_stopping is not None:
        raise ArgumentError("early_stopping watches the loss of held-out data: give validation=")
    if validation is None and metrics:
        raise ArgumentError(
            "metrics are evaluated on held-out data: give validation=; on the batches, return them as aux"
        )
    if early_stopping is not None and not isinstance(early_stopping, int) and not hasattr(early_stopping, "watch"):
        raise ArgumentError(f"early_stopping is a patience or an EarlyStopping, not {early_stopping!r}")
