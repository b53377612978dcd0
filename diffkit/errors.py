"""Every error that diffkit raises on purpose, in one family.

A message says what was wrong, where, and what to do about it. `DiffkitError` is the base to catch; the
built-in base beside it (ValueError, TypeError) keeps code that expects NumPy's errors working.
"""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from itertools import islice
from types import FrameType

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
    def of(cls, frame: FrameType) -> Place:
        """Where a frame is."""
        code = frame.f_code
        line, last, start, end = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
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


def users_place() -> Place | None:
    """The innermost call on the stack that is neither ours nor a library's on the way; None where there is none.

    Nothing outside of the command line is its user's code.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        spec = frame.f_globals.get("__spec__")  # knows the name of a module that is run as __main__
        module = str(getattr(spec, "name", None) or frame.f_globals.get("__name__", ""))
        if module == "diffkit.cli":
            return None
        if module.partition(".")[0] not in _LIBRARIES:
            return Place.of(frame)
        frame = frame.f_back
    return None


class DiffkitError(Exception):
    """Base of all errors of this package."""


class LocatedError(DiffkitError):
    """An error that a line of the user's code made: `where` is that line (a `Place`), and the message ends with it.

    `where` is None where no such line is on the stack (text, the command line).
    """

    where: Place | None = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.where = users_place()

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


class ArgumentError(DiffkitError, TypeError):
    """A call that misses a variable, names an unknown one, or mixes two ways of calling."""


class TracingError(LocatedError, TypeError):
    """Python code that asked a traced value for something that only a number has (`if`, `float`, …). `where`: its line."""


class UnsupportedError(DiffkitError, NotImplementedError):
    """An engine or machine that cannot do this case, with the reason."""


class ExceededError(DiffkitError, RuntimeError):
    """A stated budget (operations, seconds, nodes) that was used up, with how far the work got."""


class OpError(DiffkitError, ValueError):
    """A record of an operation that is incomplete or clashes with another."""


class DataError(DiffkitError, ValueError):
    """A file (corpus, tape) whose content cannot be used, with the line."""
