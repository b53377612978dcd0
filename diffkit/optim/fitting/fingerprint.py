"""What tells runs apart that look alike: digests, for checkpoints, of where a run starts, of its schedules and of its loss."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from ...tape import Tape
from ...tape.body import Body

#: updates whose learning rates are compared
STEPS = (0, 1, 10, 100, 1000)
SIZE = 16


def told(value: Any) -> str:
    """Its repr without addresses, which are others in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def digest_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Of their bytes."""
    digest = blake2b(digest_size=SIZE)
    for array in arrays:
        digest.update(np.asarray(array, order="C").reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def digest_of_tape(tape: Tape) -> str:
    """Of its operations, with all their parameters and constants; the same in every process."""
    digest = blake2b(digest_size=SIZE)
    _add_tape(digest, tape)
    return digest.hexdigest()


def _add_tape(digest: blake2b, tape: Tape) -> None:
    for kind, args in zip(tape.kinds, tape.args, strict=True):
        digest.update(repr((kind.op.name, kind.shape, kind.dtype, args)).encode())
        for name, value in kind.params:
            if name != "uid":  # a variable's, of this process
                digest.update(name.encode())
                _add(digest, value)
    digest.update(repr((tape.inputs, tape.outputs)).encode())


def _add(digest: blake2b, value: Any) -> None:
    if isinstance(value, Body):
        _add_tape(digest, value.tape)
    elif isinstance(value, bytes):
        digest.update(value)
    elif isinstance(value, tuple):
        for item in value:
            _add(digest, item)
        digest.update(b")")
    else:
        digest.update(told(value).encode() + b",")


def rates(optimizer: Any) -> dict[str, list[float | None]]:
    """What an optimiser's schedules give at some steps, by the option's name: a lambda's repr says nothing of it."""
    schedules = {"learning_rate": optimizer.learning_rate, **getattr(optimizer, "options", {})}
    return {name: [_rate(s, k) for k in STEPS] for name, s in schedules.items() if callable(s)}


def _rate(schedule: Any, step: int) -> float | None:
    try:
        return float(schedule(step))
    except Exception:  # one with an end, say, which only the run itself need not reach
        return None
