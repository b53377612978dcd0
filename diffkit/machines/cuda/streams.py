"""Streams: queues of work on the device, told apart by their handles, and what has to wait for what. The host waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ..resident import DEFAULT_STREAM
from .package import package

#: arrays whose makers' streams are not known, until what reads them is done: (event behind the reading, arrays)
_kept: list[tuple[Any, list[Any]]] = []
_lock = threading.Lock()


def opened(handle: int) -> Any:
    """A stream as launches and copies take it."""
    return 0 if handle == DEFAULT_STREAM else package().cuda.external_stream(handle)


def handle_of(stream: Any) -> int | None:
    """The handle of a stream as launches take it; None for one of the simulator's."""
    return int(stream) or DEFAULT_STREAM if hasattr(stream, "__int__") else None


def mark(stream: Any) -> Any:
    """An event behind what is queued on a stream."""
    event = package().event()
    event.record(stream)
    return event


def is_past(event: Any) -> bool:
    """Whether all before an event is done."""
    return bool(event.query()) if hasattr(event, "query") else True  # the simulator's work is done when it is queued


def after(first: int, then: int) -> None:
    """What is queued on `then` from now on runs after what is queued on `first`."""
    if first != then:
        mark(opened(first)).wait(opened(then))


def keep(arrays: Sequence[Any], stream: int) -> None:
    """Keeps arrays until what is queued on a stream is done: their memory might be used again by one that nobody knows of."""
    if arrays:
        event = mark(opened(stream))
        with _lock:
            _kept[:] = [(e, held) for e, held in _kept if not is_past(e)]
            _kept.append((event, list(arrays)))


def shared(named: Sequence[int | None]) -> int:
    """The stream that a call works on: the one that all its arrays name; the default one if they name several, or none."""
    found = {s for s in named if s is not None}
    return found.pop() if len(found) == 1 else DEFAULT_STREAM
