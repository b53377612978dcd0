"""Every error that diffkit raises on purpose, in one family.

A message says what was wrong, where, and what to do about it. `DiffkitError` is the base to catch; the
built-in base beside it (ValueError, TypeError) keeps code that expects NumPy's errors working.
"""

from __future__ import annotations


class DiffkitError(Exception):
    """Base of all errors of this package."""


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


class ShapeError(DiffkitError, ValueError):
    """Shapes that do not fit an operation or an argument."""


class DtypeError(DiffkitError, TypeError):
    """A dtype that cannot be used here, such as differentiating by an integer."""


class ArgumentError(DiffkitError, TypeError):
    """A call that misses a variable, names an unknown one, or mixes two ways of calling."""


class TracingError(DiffkitError, TypeError):
    """Python code that asked a traced value for something that only a number has (`if`, `float`, ...)."""


class UnsupportedError(DiffkitError, NotImplementedError):
    """An engine or machine that cannot do this case, with the reason."""


class ExceededError(DiffkitError, RuntimeError):
    """A stated budget (operations, seconds, nodes) that was used up, with how far the work got."""


class OpError(DiffkitError, ValueError):
    """A record of an operation that is incomplete or clashes with another."""


class DataError(DiffkitError, ValueError):
    """A file (corpus, tape) whose content cannot be used, with the line."""
