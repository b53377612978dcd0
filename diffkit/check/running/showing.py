"""What is said while checks are made: a line a check, the whole report of those that did not pass, and a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from .outcome import Outcome, summary


def line(o: Outcome) -> str:
    """ "checks::check_softmax  softmax over rows  (12 derivatives, 0.03 s)" """
    judged = f"{o.result.judged:,} derivative{'s' * (o.result.judged != 1)}, " if o.result is not None else ""
    title = f"  {o.title}" if o.title else ""
    return f"{o.label}{title}  ({judged}{o.seconds:.2g} s)"


def details(o: Outcome) -> str:
    """The report, set in under its line."""
    return "\n".join(f"    {text}" if text.strip() else "" for text in o.report().splitlines())


def closing(outcomes: Sequence[Outcome]) -> str:
    """ "5 checks: 3 pass, 1 fail, 1 error; 0.41 s" """
    counts = ", ".join(f"{n:,} {verdict}" for verdict, n in summary(outcomes).items()) or "nothing was checked"
    many = f"{len(outcomes):,} check{'s' * (len(outcomes) != 1)}"
    return f"{many}: {counts}; {sum(o.seconds for o in outcomes):.2g} s"


class Bar:
    """How far the checks are, on standard error where that is a terminal; `say` prints a line above it."""

    def __init__(self, total: int, shown: bool = True) -> None:
        self.total = total
        self.bar: Any = None
        self.shown = shown and sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            named = TextColumn("{task.description}", markup=False)
            self.bar = Progress(
                BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), named,
                console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self.checks = self.bar.add_task("", total=self.total)
            self.derivatives = self.bar.add_task("derivatives", total=None, visible=False)
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def begin(self, name: str, done: int) -> None:
        if self.bar is not None:
            self.bar.update(self.checks, completed=done, description=name[:60])
            self.bar.update(self.derivatives, visible=False)

    def advance(self, done: int, total: int) -> None:
        if self.bar is not None:
            self.bar.update(self.derivatives, completed=done, total=total, visible=True)

    def pause(self) -> None:
        """Before something is printed, so that the bar does not stand in it."""
        if self.bar is not None:
            self.bar.stop()

    def resume(self) -> None:
        if self.bar is not None:
            self.bar.start()
