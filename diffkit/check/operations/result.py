"""The outcome of checking an operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: agree; differ where and as much as may be; differ; not compared, `note` says why
VERDICTS = ("agree", "remark", "differ", "not compared")


@dataclass(frozen=True)
class Disagreement:
    """Two answers at one point, and how far apart they may be."""

    point: Mapping[str, Any]
    one: float
    other: float
    bar: float

    def __str__(self) -> str:
        at = ", ".join(f"{n}={_number(v)}" for n, v in self.point.items())
        return f"at {at}: {self.one:.17g}, {self.other:.17g} (± {self.bar:.2g})"


@dataclass
class Row:
    """One comparison."""

    #: "value", "∂/∂x", "∂²/∂x∂y", "dtype and shape", …
    what: str
    #: what was held against what
    one: str
    other: str
    dtype: str
    #: at how many points (of a structured operation: entries)
    points: int
    verdict: str
    #: the worst of what is farther apart than it may be
    worst: Disagreement | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict != "differ"


@dataclass(frozen=True)
class Fault:
    """A field of the record that is wrong, or should be there."""

    #: "partials", "jvp", "vjp", "lower", "kernel", "sympy", "numpy", "shape", "result", …
    field: str
    message: str
    #: names of the arguments whose derivative it spoils; empty: the value
    arguments: tuple[str, ...] = ()
    #: of check_gradient's codes ("sign", "factor", …), where one fits; "" otherwise
    code: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass
class OpCheck:
    """`bool(r)` is True where nothing differs that must not."""

    name: str
    params: Mapping[str, Any]
    arguments: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.faults and all(r.ok for r in self.rows)

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_failed(self) -> OpCheck:
        """AssertionError, with the report, unless `ok`."""
        if not self.ok:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        given = "".join(f", {k}={_short(v)}" for k, v in self.params.items())
        head = f"{'right' if self.ok else 'wrong'}: {self.name}({', '.join(self.arguments)}{given})"
        lines = [head, *(f"  {f}" for f in self.faults), "", *_table(self.rows)]
        lines += [f"  note: {n}" for n in self.notes]
        return "\n".join([*lines, f"  {self.seconds:.2g} s"])

    def __repr__(self) -> str:
        return f"<OpCheck of {self.name}: {'right' if self.ok else ', '.join(f.field for f in self.faults) or 'wrong'}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, fit for JSON."""
        from ..gradients.show import plain as plain

        return plain(
            {
                "name": self.name, "params": {k: _short(v) for k, v in self.params.items()}, "ok": self.ok,
                "arguments": list(self.arguments),
                "faults": [{**vars(f), "arguments": list(f.arguments)} for f in self.faults],
                "rows": [{**vars(r), "worst": vars(r.worst) if r.worst else None} for r in self.rows],
                "notes": self.notes, "seconds": self.seconds,
            }
        )  # fmt: skip


def _table(rows: list[Row]) -> list[str]:
    head = ["", "compared", "", "dtype", "points", ""]
    cells = [[r.what, r.one, r.other, r.dtype, f"{r.points:,}" if r.points else "", r.verdict] for r in rows]
    widths = [max(len(line[k]) for line in [head, *cells]) for k in range(len(head))]
    lines = []
    for line, row in zip([head, *cells], [None, *rows], strict=True):
        text = "  ".join(
            c.rjust(w) if k == 4 else c.ljust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        note = f": {row.note}" if row is not None and row.note else ""
        lines.append(f"  {text.rstrip()}{note}")
        if row is not None and row.worst is not None:
            lines.append(f"      {row.worst}")
    return lines


def _short(v: Any) -> str:
    text = repr(v)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _number(v: Any) -> str:
    if isinstance(v, (bool, np.bool_)):
        return str(bool(v))
    if np.ndim(v):
        return f"array of shape {np.shape(v)}"
    return f"{v:.17g}" if isinstance(v, (float, np.floating)) else str(v)
