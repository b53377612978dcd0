"""The run: workloads one after another, each written as soon as it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from diffkit.errors import ArgumentError
from diffkit.report.progress import Progress

from . import WORKLOADS, module
from .harness import Bench
from .machine import facts
from .peers import TOOLS, diffkit_as
from .results import Data, entry, read, show, write

#: width of tables where there is no terminal to ask
PLAIN_WIDTH = 120


def chosen_from(given: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """The given names, or all; ArgumentError for one that is not known."""
    names = [g.strip().lower() for g in given]
    unknown = [n for n in names if n not in known]
    if unknown:
        raise ArgumentError(f"there is no {what} {unknown[0]!r}; choose from {', '.join(known)}")
    return [n for n in known if n in names] if names else list(known)


def run_benchmarks(
    workloads: Sequence[str] = (),
    peers: Sequence[str] | None = None,
    size: str = "full",
    out: str | Path = "reports/benchmarks",
    repeats: int | None = None,
    progress: bool = True,
) -> bool:
    """Run workloads (all by default) against peers (all by default, none for an empty list); whether diffkit's rows are sound.

    Writes results.json, results.md and results.svg into `out` after every workload, so that an interrupted run keeps what is
    finished. ArgumentError for an unknown workload or peer, DataError for a results.json that is something else.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    names = chosen_from(workloads, list(WORKLOADS), "workload")
    tools = None if peers is None else chosen_from(peers, TOOLS, "peer") if peers else []
    folder, console, sound = Path(out), Console(width=None if terminal else PLAIN_WIDTH), True
    data = read(folder)
    with Progress(len(names), progress) as bar:
        bar.stage("bench")
        # a line a step is for terminals
        said: Callable[[str], None] = bar.say if bar.bar is not None else lambda text: None
        said("the machine's ceilings")
        machine = facts(tiny=size == "tiny")
        data["machine"] = machine
        for name in names:
            found, well = one(name, Bench(size, tools, repeats, partial(_prefixed, said, name)), machine)
            data["workloads"][name] = found
            write(folder, data, list(WORKLOADS))
            show(name, found, bar.bar.console if bar.bar is not None and terminal else console)
            sound = sound and well
            bar.step(name)
    console.print(f"written: {folder / 'results.json'}, results.md, results.svg", highlight=False)
    return sound


def _prefixed(say: Callable[[str], None], name: str, text: str) -> None:
    say(f"{name}: {text}")


def one(name: str, bench: Bench, machine: Data) -> tuple[Data, bool]:
    """A workload's entry, and whether all of diffkit's rows are sound. Its own exception is an entry too."""
    workload, error = module(name), ""
    try:
        workload.run(bench)
    except Exception as problem:  # a workload that breaks must not take the others' results with it
        error = f"{type(problem).__name__}: {problem}"
    finally:
        diffkit_as("auto")()
    return entry(workload.TITLE, bench, machine, error), bench.sound and not error
