"""P8: P1 from one point to a hundred million, on one thread and on all; and how much memory a call takes beyond its arrays."""

from __future__ import annotations

import json
from typing import Any

from .harness import Bench, Contestant, in_a_process, ratio, scaled
from .machine import available_bytes
from .p1_black_scholes import by_hand, points, problem
from .peers import diffkit_as, diffkit_run, own, processors

TITLE = "Black-Scholes, scaling of the fused tier"
POINTS = {"tiny": (1, 1_000, 10_000), "full": (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)}
#: the size at which threads and memory are judged
LARGE = {"tiny": 10_000, "full": 10_000_000}
EXTRA_BYTES = 64e6
#: points whose answers are checked (all, up to there; the first ones beyond)
CHECKED = 1_000_000


def contestants(count: int) -> list[Contestant]:
    p = problem(points(count))

    def build() -> Any:
        run = diffkit_run(p)
        return lambda: run()[:, :CHECKED]

    return own(build, "arrays for the results given", [("fused", 1), ("fused", None)], suffix(count))


def suffix(count: int) -> str:
    return f", {count:,} point" + "s" * (count != 1)


def array_bytes(count: int) -> int:
    return 8 * count * (5 + 6)


def peak_bytes() -> int | None:
    """The most memory this process has held (resident), where Linux tells it. (ru_maxrss would start with the parent's.)"""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def memory_child(count: int) -> None:
    """In a process of its own: bytes that a call adds to the peak, all arrays and kernels being there before it."""
    diffkit_as("fused")()
    diffkit_run(problem(points(100_000)))()  # kernels are loaded, threads started
    run = diffkit_run(problem(points(count)))
    before = peak_bytes()
    run()
    after = peak_bytes()
    print(json.dumps({"extra": None if before is None or after is None else after - before}))


def run(bench: Bench) -> None:
    sizes = [n for n in POINTS[bench.size] if 2 * array_bytes(n) < available_bytes()]
    table, large, largest = None, LARGE[bench.size], sizes[-1]
    for n in sizes:
        bench.say(f"{n:,} points")
        table = bench.table(TITLE, contestants(n), by_hand(*points(n)[:, :CHECKED]), work=n, into=table)

    def at(count: int, threads: str = "") -> float | None:
        return table.figure(f"diffkit, fused{threads}{suffix(count)}") if table else None

    if processors() > 1:
        speed, limit = ratio(at(large, ", 1 thread"), at(large)), 0.9 * processors()
        bench.claim(f"1 thread ÷ {processors()} threads, {large:,} points", speed, limit, at_least=True)
    bench.claim(f"a point at {largest:,} ÷ a point at {sizes[-3]:,}", ratio(at(largest), at(sizes[-3])), 1.2)
    bench.say("memory, in a process of its own")
    extra = in_a_process("p8", f"memory_child({large})")["extra"]
    bench.claim(
        f"memory beyond inputs and outputs, {large:,} points", scaled(extra, 1e-6),
        EXTRA_BYTES / 1e6, unit="MB",
    )  # fmt: skip
