"""How far a long job is: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

from __future__ import annotations

import sys
from time import perf_counter
from types import TracebackType
from typing import Any, Self

#: seconds between lines where there is no terminal
LINE_SECONDS = 10.0


class Progress:
    """`stage` begins a pass over all items, `step` ends one item."""

    def __init__(self, total: int, shown: bool = True) -> None:
        self.total, self.shown = total, shown
        self.done, self.name, self.said = 0, "", perf_counter()
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description:<9}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[item]}", markup=False),
            )
            self.bar = Bar(*columns, console=Console(stderr=True))
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def stage(self, name: str) -> None:
        self.name, self.done = name, 0
        if self.bar is not None:
            self.task = self.bar.add_task(name, total=self.total, item="")

    def step(self, item: str) -> None:
        self.done += 1
        if self.bar is not None:
            self.bar.update(self.task, advance=1, item=item[:40], total=max(self.total, self.done))
        elif self.shown and perf_counter() - self.said > LINE_SECONDS:
            self.say(f"{self.name}: {self.done} of {self.total}")

    def say(self, text: str) -> None:
        self.said = perf_counter()
        if self.bar is not None:
            self.bar.update(self.task, item=text)
        elif self.shown:
            print(text, file=sys.stderr, flush=True)
