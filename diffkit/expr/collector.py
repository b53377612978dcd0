"""Python's cyclic garbage collector, set aside while something large is built that has no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No collection inside; as before afterwards, whatever happened.

    Expressions and tapes are millions of small objects without a cycle. The collector would walk all of them again and
    again as they grow, which doubles the time of tracing.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
