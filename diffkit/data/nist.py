"""Files of NIST's Statistical Reference Datasets for nonlinear regression (https://www.itl.nist.gov/div898/strd/).

A file is prose for people: a header, the model as a formula, a table of starting and certified values, and the data in columns.
It is read by what its lines say, not by the line numbers that its header names, and its formula goes through `dk.parse`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError, ParseError
from ..expr.node import Expr
from ..expr.text import parse

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_ROW = re.compile(rf"\s*([A-Za-z]\w*)\s*=\s*({_NUMBER}(?:\s+{_NUMBER})*)\s*$")
_WORDS = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(\S.*?)\s*$")
_COLUMNS = re.compile(r"\s*Data\s*:((?:\s+[A-Za-z]\w*)+)\s*$", re.IGNORECASE)
_MODEL = re.compile(r"\s*Model\s*:", re.IGNORECASE)
_TABLE = re.compile(r"\s*(Starting\s+values|Start\s+1)\b", re.IGNORECASE)
_NOISE = re.compile(r"\+\s*e\s*$")
_REMEDY = "Give a file of the nonlinear regression problems as https://www.itl.nist.gov/div898/strd/ publishes them."

#: digits beyond which a certified value, given to 11, says nothing
CERTIFIED_DIGITS = 11.0


@dataclass(frozen=True, repr=False, eq=False)
class Problem:
    """A nonlinear regression with certified answers."""

    name: str
    #: right-hand side of the model, in the parameters and the predictors `x` (or `x1`, `x2`), as `dk.parse` reads it
    model: str
    #: what the model is fitted to, in `y`: "y", or "log(y)"
    response: str
    parameters: tuple[str, ...]
    #: names of the columns of `x`
    predictors: tuple[str, ...]
    #: two points to start from: NIST's first is far from the solution, the second near
    starts: tuple[np.ndarray, np.ndarray]
    certified: np.ndarray
    #: standard deviations of the certified parameters
    certified_sd: np.ndarray
    residual_sum_of_squares: float
    residual_sd: float
    degrees_of_freedom: int
    #: as NIST rates it: "lower", "average" or "higher"
    difficulty: str
    #: (n,), or (n, 2) where there are two predictors
    x: np.ndarray
    #: (n,)
    y: np.ndarray

    def __repr__(self) -> str:
        return (
            f"<NIST {self.name}: {self.response} = {self.model}, {len(self.parameters)} parameters, "
            f"{len(self.y)} observations, {self.difficulty} difficulty>"
        )

    @cached_property
    def residual(self) -> Expr:
        """Model less response as an expression in the parameters, the predictors and `y`."""
        return parse(self.model) - parse(self.response)

    @property
    def data(self) -> dict[str, np.ndarray]:
        """The observations by name, as `residual` takes them."""
        columns = self.x[:, None] if self.x.ndim == 1 else self.x
        return {"y": self.y, **{name: np.ascontiguousarray(columns[:, k]) for k, name in enumerate(self.predictors)}}

    def residuals(self, params: Any) -> np.ndarray:
        """Model less response at every observation, (n,), for parameters in order or by name."""
        values = self._by_name(params)
        return np.asarray(self.residual({**values, **self.data}))

    def fit(self, start: int | Sequence[float] | Mapping[str, float] = 0, **options: Any) -> Any:
        """`dk.optim.least_squares` of this problem, from start 0 or 1, or from parameters in order or by name.

        The result's `x` (and `x_sd`) is an array in the order of `parameters`; `digits(result.x)` says how right it is. Options go
        to `least_squares`. Raises ArgumentError for a start that there is not, and for other parameters than the problem's.
        """
        from ..optim.squares.solve import least_squares

        number = isinstance(start, (int, np.integer)) and not isinstance(start, bool)
        if number and start not in (0, 1):
            raise ArgumentError(f"{self.name} has starts 0 and 1, not {start}")
        x0 = self._by_name(self.starts[int(start)] if number else start)  # type: ignore[arg-type]
        return least_squares(self.residual, x0, self.data, **options).in_order(self.parameters)

    def digits(self, params: Any) -> np.ndarray:
        """Correct digits of every parameter: -log10 of its relative error (NIST's LRE), from 0 to 11, the digits certified.

        NaN of a parameter that is NaN.
        """
        given = np.array([self._by_name(params)[name] for name in self.parameters], float)
        with np.errstate(divide="ignore"):
            found = -np.log10(np.abs(given - self.certified) / np.abs(self.certified))
        return np.clip(found, 0.0, CERTIFIED_DIGITS)

    def _by_name(self, params: Any) -> dict[str, float]:
        known = f"{len(self.parameters)} parameters ({', '.join(self.parameters)})"
        if isinstance(params, Mapping):
            unknown = [name for name in params if name not in self.parameters]
            if unknown:
                raise ArgumentError(f"{self.name} has no parameter {unknown[0]!r}; it has {known}")
            params = [params[name] for name in self.parameters if name in params]
        if not isinstance(params, (list, tuple, np.ndarray)) or any(np.ndim(v) for v in params):
            raise ArgumentError(f"{self.name} has {known}, given as numbers in order or by name, not as {params!r}")
        if len(params) != len(self.parameters):
            raise ArgumentError(f"{self.name} has {known}, not {len(params)}")
        numbers = np.asarray(params)
        if numbers.dtype.kind not in "fiu":
            raise ArgumentError(f"parameters of {self.name} are real numbers, not {list(params)!r}")
        return {name: float(value) for name, value in zip(self.parameters, numbers, strict=True)}


def read_nist_strd(path: str | PathLike[str]) -> Problem:
    """A problem of NIST's nonlinear regression collection, from its file.

    Lines may end in any way, and the header's line numbers are not relied on. Raises DataError, which names the file, the line and
    the remedy, for a file that is not such a file or that is cut short, and OSError for one that cannot be read.
    """
    return _Reader(Path(path)).problem()


class _Reader:
    """The lines of one file, and what is found in them. Line numbers count from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        # as a block of comments, the header is the same header
        self.lines = [re.sub(r"^#\s?", "", line) for line in text.splitlines()]
        self.name = self._name()
        columns = [found.group(1).split() for found in map(_COLUMNS.match, self.lines) if found]
        if columns and "Y" in columns[-1]:  # a file in capitals
            self.lines = [line.lower() for line in self.lines]

    def fault(self, line: int | None, problem: str, remedy: str = _REMEDY) -> DataError:
        place = f"{self.path}, line {line}" if line else str(self.path)
        return DataError(f"{place}: {problem}. {remedy}")

    def problem(self) -> Problem:
        start = self._first(_MODEL, "no model (a line that begins with 'Model:')")
        table = self._first(_TABLE, "no table of starting and certified values below the model", start)
        response, model = self._model(start, table)
        names, columns = self._table(table)
        labels, data, header = self._data(table)
        if "y" not in labels:
            raise self.fault(header, f"no column is named y; the columns are {', '.join(labels)}")
        predictors = tuple(label for label in labels if label != "y")
        self._check_names(start, response, model, names, predictors)
        x = data[:, [labels.index(p) for p in predictors]]
        return Problem(
            name=self.name,
            model=model,
            response=response,
            parameters=names,
            predictors=predictors,
            starts=(columns[0], columns[1]),
            certified=columns[2],
            certified_sd=columns[3],
            residual_sum_of_squares=self._number(r"Residual\s+Sum\s+of\s+Squares"),
            residual_sd=self._number(r"Residual\s+Standard\s+Deviation"),
            degrees_of_freedom=int(self._number(r"Degrees\s+of\s+Freedom")),
            difficulty=self._difficulty(),
            x=x[:, 0].copy() if len(predictors) == 1 else x,
            y=data[:, labels.index("y")].copy(),
        )

    def _first(self, pattern: re.Pattern[str], missing: str, after: int = 0) -> int:
        """Number of the first line below `after` that begins with the pattern."""
        for number, line in enumerate(self.lines[after:], after + 1):
            if pattern.match(line):
                return number
        raise self.fault(None, f"this is not one of NIST's nonlinear regression files: {missing}")

    def _search(self, pattern: str) -> tuple[int, re.Match[str]] | None:
        for number, line in enumerate(self.lines, 1):
            found = re.search(pattern, line, re.IGNORECASE)
            if found:
                return number, found
        return None

    def _name(self) -> str:
        found = self._search(r"Dataset\s+Name\s*:\s*([^\s(]+)")
        return found[1].group(1) if found else self.path.stem

    def _difficulty(self) -> str:
        found = self._search(r"\b(Lower|Average|Higher)\s+Level\s+of\s+Difficulty")
        if found is None:
            raise self.fault(None, "no level of difficulty (Lower, Average or Higher)")
        return found[1].group(1).lower()

    def _number(self, label: str) -> float:
        found = self._search(rf"^\s*{label}\s*:\s*({_NUMBER})")
        if found is None:
            raise self.fault(None, f"no line '{' '.join(label.replace(chr(92) + 's+', ' ').split())}: …'")
        return _value(found[1].group(1))

    def _model(self, start: int, stop: int) -> tuple[str, str]:
        """(response, right-hand side), of equations that may go on in further lines and may define constants first."""
        equations: list[list[str]] = []
        for line in self.lines[start : stop - 1]:
            left, equals, right = line.partition("=")
            if equals:
                equations.append([left, right])
            elif equations and line.strip():
                equations[-1][1] += " " + line.strip()
        constants: dict[str, str] = {}
        for left, right in equations:
            name, formula = left.strip(), right.strip()
            if re.fullmatch(_NUMBER, formula):
                constants[name] = formula
                continue
            for constant, value in constants.items():
                if constant != "pi":  # which text knows
                    formula = re.sub(rf"\b{re.escape(constant)}\b", f"({_value(value)!r})", formula)
            return _brackets(name), " ".join(_brackets(_NOISE.sub("", formula)).split())
        raise self.fault(start, "the model has no equation such as 'y = b1*x + e'")

    def _table(self, start: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Names of the parameters, and (4, n): both starts, certified values and their standard deviations."""
        rows: dict[str, list[float]] = {}
        for number, line in enumerate(self.lines[start:], start + 1):
            found = _ROW.match(line)
            if found is None:
                words = _WORDS.match(line)
                if words is not None:
                    wrong = next(w for w in words.group(2).split() if not re.fullmatch(_NUMBER, w))
                    raise self.fault(number, f"the parameter {words.group(1)} has {wrong!r} where a number belongs")
                if rows and line.strip():
                    break
                continue
            values = [_value(v) for v in found.group(2).split()]
            if len(values) != 4:
                raise self.fault(
                    number,
                    f"the parameter {found.group(1)} has {len(values)} numbers, not 4 (two starts, the certified value, its "
                    "standard deviation)",
                )
            if found.group(1) in rows:
                raise self.fault(number, f"the parameter {found.group(1)} stands here a second time")
            rows[found.group(1)] = values
        if not rows:
            raise self.fault(start, "no parameters ('b1 = …') in the table that begins here")
        return tuple(rows), np.array(list(rows.values())).T.copy()

    def _data(self, after: int) -> tuple[list[str], np.ndarray, int]:
        """Names of the columns, the columns (n, …), and the line that names them."""
        header = self._first(_COLUMNS, "no data (a line such as 'Data:  y  x')", after)
        found = _COLUMNS.match(self.lines[header - 1])
        assert found is not None
        labels = found.group(1).split()
        rows = []
        for number, line in enumerate(self.lines[header:], header + 1):
            words = line.split()
            if not words:
                continue
            if len(words) != len(labels) or not all(re.fullmatch(_NUMBER, w) for w in words):
                raise self.fault(
                    number, f"{line.strip()[:60]!r} is not a row of {len(labels)} numbers ({', '.join(labels)})"
                )
            rows.append([_value(w) for w in words])
        expected = self._search(rf"Number\s+of\s+Observations\s*:\s*({_NUMBER})")
        if expected is not None and int(_value(expected[1].group(1))) != len(rows):
            raise self.fault(
                len(self.lines),
                f"{len(rows)} rows of data, but line {expected[0]} says {expected[1].group(1)}",
                "If the file was cut short, get it again.",
            )
        if not rows:
            raise self.fault(header, "no rows of data below this line", "If the file was cut short, get it again.")
        return labels, np.array(rows), header

    def _check_names(
        self, line: int, response: str, model: str, parameters: Sequence[str], predictors: Sequence[str]
    ) -> None:
        for text, known in ((response, ("y",)), (model, (*parameters, *predictors))):
            try:
                unknown = [v for v in parse(text).variables if v not in known]
            except ParseError as error:
                raise self.fault(line, f"the model is not a formula: {error}") from None
            if unknown:
                raise self.fault(line, f"the model has {unknown[0]!r}, which is neither a parameter nor a column")


def _value(text: str) -> float:
    return float(text.replace("D", "E").replace("d", "e"))


def _brackets(text: str) -> str:
    return text.strip().replace("[", "(").replace("]", ")")
