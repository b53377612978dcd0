"""What a lint reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from ...expr.node import Expr, topological
from ...expr.printing import brief, length, spell, to_text

CODES = ("unsafe-where", "zero-times-infinity", "cancellation", "overflow", "kink", "discontinuity", "domain")
#: error: the answer at the given point is not usable; warning: it can go wrong; note: something to know
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One remark: what (a code of CODES), how bad, the sub-expression it is about, what can go wrong, and what to write instead."""

    code: str
    severity: str
    place: str
    message: str
    #: the sub-expression written better, as text that `dk.parse` reads; None where none is known
    rewrite: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.severity}: {self.code}: {self.place}", f"    {self.message}"]
        return "\n".join([*lines, f"    write: {self.rewrite}"] if self.rewrite else lines)


@dataclass(frozen=True)
class LintReport(Sequence[Finding]):
    """Findings, worst first. Like a list: true when there are findings, so ``if dk.lint(f): …`` means that something was found."""

    findings: tuple[Finding, ...]
    function: str

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, index: int | slice) -> Finding | tuple[Finding, ...]:
        return self.findings[index]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes found, each once, in order."""
        return tuple(dict.fromkeys(f.code for f in self.findings))

    def of(self, code: str) -> tuple[Finding, ...]:
        """The findings with one code."""
        return tuple(f for f in self.findings if f.code == code)

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.function}: nothing found"
        head = f"{self.function}: {len(self.findings)} finding{'s' * (len(self.findings) != 1)}"
        return "\n".join([head, *map(str, self.findings)])

    def __repr__(self) -> str:
        return f"<LintReport of {self.function}: {', '.join(self.codes) or 'nothing found'}>"


# ---- expressions in findings ----------------------------------------------------------------------------------------
#: longest sub-expression written out as a place, and as a rewrite; most nodes of a rewrite
PLACE, REWRITE, NODES = 120, 2000, 500


def place(n: Expr) -> str:
    return brief(n, PLACE)


def text(f: Expr | None) -> str | None:
    """An expression as text that parses; None where it is too long to be of use, or not scalar."""
    if (
        f is None
        or size(f, NODES) > NODES
        or length(f, spell, REWRITE) > REWRITE
        or any(n.shape for n in topological(f))
    ):
        return None
    return to_text(f)


def size(f: Expr, limit: int) -> int:
    """Number of nodes, counted up to the limit and no further."""
    seen, stack = {id(f)}, [f]
    while stack and len(seen) <= limit:
        for a in stack.pop().args:
            if id(a) not in seen:
                seen.add(id(a))
                stack.append(a)
    return len(seen)
