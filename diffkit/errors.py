"""Every error that diffkit raises on purpose, in one family.

A message says what was wrong, where, and what to do about it. `DiffkitError` is the base to catch; the
built-in base beside it (ValueError, TypeError) keeps code that expects NumPy's errors working.
"""

from __future__ import annotations

import inspect
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from types import FrameType, TracebackType
from typing import Any

#: packages whose frames are nobody's model: they lie between the user's code and ours
_LIBRARIES = {
    "concurrent", "contextlib", "diffkit", "functools", "lark", "multiprocessing", "numpy", "optree", "runpy", "scipy", "threading",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A place in somebody's code: file, line, function, the line's text, and the columns of the call within that text."""

    file: str
    line: int
    function: str
    source: str
    columns: tuple[int, int]

    def __str__(self) -> str:
        head = f"  at {self.file}:{self.line}, in {self.function}"
        if not self.source:
            return head
        start, end = self.columns
        carets = f"\n    {' ' * start}{'^' * (end - start)}" if 0 <= start < end else ""
        return f"{head}\n    {self.source}{carets}"

    @classmethod
    def of(cls, frame: FrameType, instruction: int | None = None) -> Place:
        """Where a frame is, or was at one of its instructions."""
        code = frame.f_code
        at = frame.f_lasti if instruction is None else instruction
        line, last, start, end = next(islice(code.co_positions(), at // 2, None), (None,) * 4)
        line = line or frame.f_lineno
        text = linecache.getline(code.co_filename, line, frame.f_globals).rstrip()
        source = text.lstrip()
        columns = (0, 0)
        if source and start is not None and end is not None and last is not None:
            # positions count bytes of UTF-8; what goes on in further lines is marked up to this one's end
            encoded = text.encode()
            stop = len(encoded) if last > line else end
            indent = len(text) - len(source)
            columns = tuple(max(0, len(encoded[:b].decode(errors="replace")) - indent) for b in (start, stop))  # type: ignore[assignment]
            if columns == (0, len(source)):  # the whole line: nothing to point at
                columns = (0, 0)
        return cls(code.co_filename, line, code.co_name, source, columns)

    @classmethod
    def definition(cls, function: object) -> Place | None:
        """Where a function is written; None of one that is not Python's, or not the user's."""
        function = inspect.unwrap(function) if callable(function) else function
        code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
        if code is None or _library(names):
            return None
        source = linecache.getline(code.co_filename, code.co_firstlineno, names).strip()
        return cls(code.co_filename, code.co_firstlineno, code.co_name, source, (0, 0))


def module_of(names: Mapping[str, Any]) -> str:
    """The name of the module with these globals, also where it is run as __main__."""
    return str(getattr(names.get("__spec__"), "name", None) or names.get("__name__", ""))


def _library(names: Mapping[str, Any]) -> bool:
    return module_of(names).partition(".")[0] in _LIBRARIES


def users_place() -> Place | None:
    """The innermost call on the stack that is neither ours nor a library's on the way; None where there is none.

    Nothing outside of the command line is its user's code.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if (module_of(frame.f_globals) + ".").startswith("diffkit.cli."):
            return None
        if not _library(frame.f_globals):
            return Place.of(frame)
        frame = frame.f_back
    return None


def blamed(trace: TracebackType | None) -> tuple[Place | None, list[FrameType]]:
    """Of what an exception went through, the innermost place in the user's code, and the frames of libraries that it called."""
    place, below = None, []
    while trace is not None:
        if _library(trace.tb_frame.f_globals):
            below.append(trace.tb_frame)
        else:
            place, below = Place.of(trace.tb_frame, trace.tb_lasti), []
        trace = trace.tb_next
    return place, below


class DiffkitError(Exception):
    """Base of all errors of this package."""


class LocatedError(DiffkitError):
    """An error that a line of the user's code made: `where` is that line (a `Place`), and the message ends with it.

    `where` is None where no such line is on the stack (text, the command line).
    """

    where: Place | None = None

    def __init__(self, *args: object, where: Place | None = None) -> None:
        super().__init__(*args)
        self.where = where or users_place()

    def __str__(self) -> str:
        message = super().__str__()
        where = str(self.where or "")
        # an error that was raised again with more said carries the line already
        return message if not where or where in message else f"{message}\n{where}"


class ParseError(DiffkitError, ValueError):
    """Text that is not an expression. Fields: `text`, `position` (0-based), `problem`, `remedy`."""

    #: characters of the text shown either side of the place
    WINDOW = 60

    def __init__(self, problem: str, text: str, position: int, remedy: str = "") -> None:
        self.problem, self.text, self.position, self.remedy = problem, text, position, remedy
        super().__init__(self._message())

    def _message(self) -> str:
        start = max(0, self.position - self.WINDOW)
        end = min(len(self.text), self.position + self.WINDOW)
        shown = self.text[start:end].replace("\n", " ").replace("\t", " ")
        prefix, suffix = "…" if start else "", "…" if end < len(self.text) else ""
        caret = " " * (len(prefix) + self.position - start) + "^"
        lines = [f"{self.problem} (at character {self.position + 1})", f"  {prefix}{shown}{suffix}", f"  {caret}"]
        if self.remedy:
            lines.append(self.remedy)
        return "\n".join(lines)


class ShapeError(LocatedError, ValueError):
    """Shapes that do not fit an operation or an argument. `where`: the line of the user's code that brought them together."""


class DtypeError(LocatedError, TypeError):
    """A dtype that cannot be used here, such as differentiating by an integer. `where`: the line of the user's code."""


class ArgumentError(LocatedError, TypeError):
    """A call that misses a variable, names an unknown one, or mixes two ways of calling. `where`: the line of the call."""


class TracingError(LocatedError, TypeError):
    """Python code that asked a traced value for something that only a number has (`if`, `float`, …). `where`: its line."""


class UnsupportedError(DiffkitError, NotImplementedError):
    """An engine or machine that cannot do this case, with the reason."""


class UnsupportedCallError(LocatedError, UnsupportedError):
    """A function, or an argument of one, that there is not for expressions. `where`: the line of the user's code."""


class MissingAttributeError(LocatedError, AttributeError):
    """An attribute or method that an expression has not. `where`: the line of the user's code."""


class UnavailableError(DiffkitError, RuntimeError):
    """What was asked for needs something that is not here: a package, a GPU, its driver."""


class ExceededError(DiffkitError, RuntimeError):
    """A stated budget (operations, seconds, nodes) that was used up, with how far the work got."""


class OpError(LocatedError, ValueError):
    """A record of an operation that is incomplete or clashes with another. `where`: the line of the user's code."""


class DataError(DiffkitError, ValueError):
    """A file (corpus, tape) whose content cannot be used, with the line."""


class NotFiniteError(DiffkitError, ValueError):
    """A value or gradient that is NaN or infinite where a search must start."""


class DivergedError(DiffkitError, ArithmeticError):
    """A loss or gradient that is not finite. `step` and `epoch` (from 0), `parameter` (None if none is to blame), and `fit`, the
    run at the latest copy of its state whose loss and gradient were finite."""

    def __init__(self, message: str, step: int, epoch: int, parameter: str | None, fit: Any) -> None:
        super().__init__(message)
        self.step, self.epoch, self.parameter, self.fit = step, epoch, parameter, fit


class CheckpointError(DataError):
    """A checkpoint that cannot be written or used. `fit`: the run so far, where there is one."""

    fit: Any = None
