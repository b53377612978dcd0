"""The run: workloads one after another, each written as soon as it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diffkit.errors import ArgumentError

from . import WORKLOADS, module
from .harness import Bench
from .machine import facts
from .peers import TOOLS, diffkit_as
from .results import Data, entry, read, show, write

#: width of tables where there is no terminal to ask
PLAIN_WIDTH = 120
#: of what is said beside the bar: a line that wraps would not be wiped away
TEXT_WIDTH = 60


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
    finished. Before anything is measured: ArgumentError for an unknown workload or peer and for a folder that cannot be written,
    DataError for a results.json that is something else.
    """
    from rich.console import Console

    names = chosen_from(workloads, list(WORKLOADS), "workload")
    tools = None if peers is None else chosen_from(peers, TOOLS, "peer") if peers else []
    folder, sound = Path(out), True
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    data = _opened(folder)
    bar = _bar(progress)
    task = bar.add_task("", total=len(names))

    def say(text: str) -> None:
        bar.update(task, description=text[:TEXT_WIDTH], refresh=True)

    with bar:
        say("the machine's ceilings")
        data["machine"] = machine = facts(tiny=size == "tiny")
    for name in names:
        with bar:  # wiped away while tables are printed
            found, well = one(name, Bench(size, tools, repeats, partial(_prefixed, say, name)), machine)
        data["workloads"][name] = found
        write(folder, data, list(WORKLOADS))
        show(name, found, console)
        sound = sound and well
        bar.advance(task)
    console.print(f"written: {folder / 'results.json'}, results.md, results.svg", highlight=False, soft_wrap=True)
    return sound


def _opened(folder: Path) -> Data:
    """What the folder holds, once it is certain that it can be written; nothing is left there."""
    try:
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        with TemporaryDirectory(dir=there):
            return read(folder)
    except OSError as problem:
        raise ArgumentError(
            f"results cannot be written to {folder}: {problem.strerror}. Choose another folder"
        ) from None


def _bar(shown: bool) -> Any:
    """A progress bar on standard error, where that is a terminal. It is drawn when something is said, and by no thread of its own:
    one that wakes ten times a second would be measured too."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    shown = shown and sys.stderr.isatty()
    return Progress(
        *columns,
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not shown,
    )


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
