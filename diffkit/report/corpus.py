"""Corpora: CSV files of formulas with ranges. Ours ships in diffkit/corpus, a user's is any file with the same three columns.

Needed columns are `name`, `formula` and `variables`; `title`, `field`, `source` and `notes` are shown where there are any,
all others are passed over. Variables are written `x=1:5 y=0:1[m/s]`: a name, a range, perhaps a unit.

A file that is no corpus at all is a DataError. A row that cannot be used becomes an `Unusable` with its line and the
reason, and the other rows go on.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, DiffkitError
from ..expr.printing import shorten

NEEDED = ("name", "formula", "variables")
#: longest field read; a longer one is not a formula
FIELD_LIMIT = 4_000_000
_RANGE = re.compile(r"\s*([^\s=:\[\],;]+)\s*=\s*([^\s:\[\],;]+)\s*:\s*([^\s:\[\],;]+)\s*(?:\[([^\]]*)\])?\s*[,;]?")


@dataclass(frozen=True)
class Variable:
    name: str
    low: float
    high: float
    unit: str = ""


@dataclass(frozen=True)
class Formula:
    """A row of a corpus that can be used. `unused` names variables that have a range and do not occur in the formula."""

    name: str
    text: str
    variables: tuple[Variable, ...]
    title: str = ""
    field: str = ""
    source: str = ""
    notes: str = ""
    line: int = 0
    unused: tuple[str, ...] = ()

    def points(self, count: int, seed: int = 0) -> dict[str, np.ndarray]:
        """`count` points, uniform in the ranges. A variable's depend on nothing but the seed, its name and the formula's."""
        return {
            v.name: np.random.default_rng([seed, zlib.crc32(self.name.encode()), zlib.crc32(v.name.encode())]).uniform(
                v.low, v.high, count
            )
            for v in self.variables
        }


@dataclass(frozen=True)
class Unusable:
    """A row that cannot be used."""

    line: int
    name: str
    reason: str
    text: str = ""


def built_in_corpus() -> Any:
    """The corpus that ships with diffkit: an object with read_bytes."""
    return resources.files("diffkit") / "corpus" / "formulas.csv"


def read_corpus(path: Any = None) -> list[Formula | Unusable]:
    """The rows of a corpus in the file's order; diffkit's own corpus if no path is given.

    Raises DataError where the file cannot be read, has no header with the needed columns, or no row below it.
    """
    source, shown = (built_in_corpus(), "the built-in corpus") if path is None else (Path(path), str(path))
    try:
        data = source.read_bytes()
    except OSError as problem:
        raise DataError(f"cannot read {shown}: {problem.strerror or problem}") from None
    return parse_corpus(_decode(data, shown), shown)


def parse_corpus(text: str, shown: str = "the corpus") -> list[Formula | Unusable]:
    """The same from the text of a file."""
    rows = _rows(text, shown)
    line, header = next(rows, (1, []))
    if not header:
        raise DataError(f"{shown} is empty. Its first line must name the columns: {','.join(NEEDED)}")
    columns = [h.strip().lower() for h in header]
    missing = [n for n in NEEDED if n not in columns]
    if missing:
        raise DataError(
            f"{shown}, line {line}: the header has no column {' and no column '.join(map(repr, missing))} "
            f"(it reads {shorten(','.join(header), 80)!r}). The first line must name the columns: {','.join(NEEDED)}"
        )
    found: list[Formula | Unusable] = []
    lines: dict[str, int] = {}
    for line, cells in rows:
        entry = _entry(line, cells, columns)
        if isinstance(entry, Formula) and lines.setdefault(entry.name, line) != line:
            entry = Unusable(
                line, entry.name, f"line {lines[entry.name]} has the same name; names must differ", entry.text
            )
        found.append(entry)
    if not found:
        raise DataError(f"{shown} has a header and no rows. Add one a formula, for example: bell,exp(-x^2),x=-2:2")
    return found


def _decode(data: bytes, shown: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{shown} is UTF-16. Save it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise DataError(
            f"{shown}, line {line}: not UTF-8 (byte {data[problem.start]:#04x}). Save the file as CSV in UTF-8"
        ) from None


def _rows(text: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of every row that is not blank."""
    first = next((s for s in text.splitlines() if s.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    limit = csv.field_size_limit(FIELD_LIMIT)
    line = 1
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as problem:
        raise DataError(f"{shown}, line {line}: {problem}. Is a quote not closed?") from None
    finally:
        csv.field_size_limit(limit)


def _entry(line: int, cells: Sequence[str], columns: Sequence[str]) -> Formula | Unusable:
    given = dict(zip(columns, (_clean(c) for c in cells), strict=False))
    name, text = given.get("name", "") or f"line {line}", given.get("formula", "")
    try:
        if any(c.strip() for c in cells[len(columns) :]):
            raise DataError(
                f"{len(cells)} fields where the header has {len(columns)}: put a field that contains a comma in double quotes"
            )
        variables = parse_ranges(given.get("variables", ""))
        unused = _check(text, variables)
    except (DiffkitError, ArithmeticError, RecursionError, MemoryError) as problem:
        return Unusable(line, name, str(problem) or type(problem).__name__, text)
    extra = {key: given.get(key, "") for key in ("title", "field", "source", "notes")}
    return Formula(name, text, variables, **extra, line=line, unused=unused)


def _clean(cell: str) -> str:
    """White space as single spaces, and no control characters: names are printed on terminals."""
    return "".join(c for c in " ".join(cell.split()) if c.isprintable())


def parse_ranges(text: str) -> tuple[Variable, ...]:
    """`x=1:5 y=0:1[m/s]` as variables. DataError says which part cannot be read."""
    variables: list[Variable] = []
    position = 0
    while text[position:].strip():
        match = _RANGE.match(text, position)
        if not match:
            raise DataError(
                f"cannot read {shorten(text[position:].strip(), 40)!r} in the variables: "
                "write name=low:high, for example x=1:5 y=0:1[m/s]"
            )
        name, low, high, unit = match.groups()
        if any(v.name == name for v in variables):
            raise DataError(f"the variable {name} has two ranges")
        variables.append(Variable(name, *_bounds(name, low, high), (unit or "").strip()))
        position = match.end()
    return tuple(variables)


def _bounds(name: str, low: str, high: str) -> tuple[float, float]:
    numbers = []
    for text in (low, high):
        try:
            numbers.append(float(text))
        except ValueError:
            raise DataError(f"the range of {name} is {low}:{high}, and {shorten(text, 30)!r} is not a number") from None
    if not all(map(math.isfinite, numbers)) or not math.isfinite(numbers[1] - numbers[0]):
        raise DataError(f"the range of {name} is {low}:{high}; both ends and their difference must be finite")
    if numbers[0] >= numbers[1]:
        raise DataError(f"the range of {name} is {low}:{high}; the first number must be the smaller one")
    return numbers[0], numbers[1]


def _check(text: str, variables: Sequence[Variable]) -> tuple[str, ...]:
    """Raise for a formula that cannot be evaluated with these variables; the names it does not use."""
    from ..expr.text import parse

    if not text:
        raise DataError("the formula is empty")
    used = parse(text).variables
    declared = [v.name for v in variables]
    missing = [n for n in used if n not in declared]
    if missing:
        raise DataError(
            f"no range for {', '.join(missing)}: add {' '.join(f'{n}=low:high' for n in missing)} to the variables"
        )
    if not used:
        raise DataError("the formula has no variable to differentiate by")
    return tuple(n for n in declared if n not in used)
