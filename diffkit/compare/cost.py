"""Timing: medians of repeated runs, making and running apart."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

#: a measurement repeats until it has run this long, within these counts
TARGET_SECONDS = 0.01
LEAST_REPEATS, MOST_REPEATS = 3, 25


def median_seconds(run: Callable[[], Any], target: float = TARGET_SECONDS) -> float:
    """Median time of one call, the first call not counted."""
    run()
    times: list[float] = []
    while len(times) < LEAST_REPEATS or (sum(times) < target and len(times) < MOST_REPEATS):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return float(np.median(times))
