"""A bar on a terminal, on standard error."""

from __future__ import annotations

import sys
from time import perf_counter
from types import TracebackType
from typing import Any, Self

#: seconds between two looks of the bar, and between two lines where there is no terminal
BAR_SECONDS, LINE_SECONDS = 0.1, 10.0


class Progress:
    """shown: True, False, or None for a bar on a terminal alone; True gives a line now and then where there is none."""

    def __init__(self, shown: bool | None, total: int | None) -> None:
        terminal = sys.stderr.isatty()
        self.on = terminal if shown is None else shown
        self.terminal, self.total = terminal, total
        self.every = BAR_SECONDS if terminal else LINE_SECONDS
        self.due = perf_counter() + self.every
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        if self.on and self.terminal:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self.bar = Bar(*columns, TextColumn("{task.fields[told]}", markup=False), console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total, told="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def tell(self, step: int, epoch: int, loss: float, now: float) -> None:
        """Called after every step; does something when it is time."""
        if not self.on or now < self.due:
            return
        self.due = now + self.every
        told = f"epoch {epoch + 1}  loss {loss:.6g}"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, told=told)
        else:
            of = f" of {self.total}" if self.total else ""
            print(f"step {step}{of}  {told}", file=sys.stderr, flush=True)
