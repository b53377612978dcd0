"""Work in separate processes, one item at a time, each within a time budget.

A worker is a fresh Python that reads pickled items from its standard input and writes results to its standard output. It
needs nothing of the caller's `__main__`, a crash or an overrun costs that one item, and a worker dies with its parent.
(`concurrent.futures` cannot stop a task that runs too long, and loses the whole pool when a process dies.)
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

#: what a worker may take to start and import, on top of the first item's budget
START_SECONDS = 60.0
_COMMAND = "from diffkit.report.pool import serve; serve()"


class Failed(NamedTuple):
    """Why an item has no result: outcome "timeout" or "error"."""

    outcome: str
    reason: str


def run_all(
    work: Callable[[Any], Any], items: Sequence[Any], workers: int, budget: float
) -> Generator[tuple[int, Any]]:
    """(index, result or Failed) as they come. `work` is a module's function; everything is stopped when the iterator is closed."""
    waiting: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    for numbered in enumerate(items):
        waiting.put(numbered)
    crew = [_Worker(work, waiting, done, budget) for _ in range(min(workers, len(items)))]
    try:
        for worker in crew:
            worker.start()
        for _ in items:
            yield done.get()
    finally:
        for worker in crew:
            worker.stop()


class _Worker(threading.Thread):
    """Hands items to one process, and replaces the process when it dies."""

    def __init__(
        self, work: Callable[[Any], Any], waiting: queue.SimpleQueue, done: queue.SimpleQueue, budget: float
    ) -> None:
        super().__init__(daemon=True)
        self.work, self.waiting, self.done, self.budget = work, waiting, done, budget
        self.process: subprocess.Popen | None = None
        self.stopped = False

    def run(self) -> None:
        with suppress(queue.Empty):
            while not self.stopped:
                index, item = self.waiting.get_nowait()
                try:
                    result = self._ask(item)
                except Exception as problem:  # the machinery's own failure must not leave the parent waiting
                    result = Failed("error", f"{type(problem).__name__}: {problem}")
                self.done.put((index, result))
        self._end()

    def stop(self) -> None:
        self.stopped = True
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    def _ask(self, item: Any) -> Any:
        fresh = self.process is None
        if fresh:
            self.process = _launch()
        process, overrun = self.process, threading.Event()
        assert process is not None and process.stdin is not None and process.stdout is not None

        def kill() -> None:
            overrun.set()
            process.kill()

        timer = threading.Timer(self.budget + START_SECONDS * fresh, kill)
        timer.daemon = True
        timer.start()
        try:
            send(process.stdin, (self.work, item))
            return receive(process.stdout)
        except (EOFError, OSError):
            self._end()
            if overrun.is_set():
                return Failed("timeout", f"stopped after {self.budget:g} s")
            return Failed("error", f"its process died (exit status {process.returncode})")
        finally:
            timer.cancel()

    def _end(self) -> None:
        if self.process is not None:
            for pipe in (self.process.stdin, self.process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self.process.wait()
            self.process = None


def _launch() -> subprocess.Popen:
    """A worker in its own process group, so that Ctrl-C reaches the parent alone, which then ends it."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    own_group = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x200}
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        **own_group,
    )  # type: ignore[call-overload]


def send(pipe: IO[bytes], message: Any) -> None:
    pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next message; EOFError when the other side is gone (or died halfway)."""
    try:
        return pickle.load(pipe)
    except pickle.UnpicklingError as problem:
        raise EOFError(str(problem)) from None


def serve() -> None:
    """The worker's loop. Whatever libraries print goes to standard error; standard output carries results only."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")  # overflows are part of the job, and would tear the progress bar
    while True:
        try:
            work, item = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            result = work(item)
        except Exception as problem:
            result = Failed("error", f"{type(problem).__name__}: {problem}")
        send(channel, result)
