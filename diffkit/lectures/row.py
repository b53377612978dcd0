"""What a row of the gallery is: a formula, an example that a learner can copy, and claims that its run proves or refutes."""

from __future__ import annotations
import __future__

import inspect
import linecache
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .chart import Chart, Table

#: what an example may use beside its own text
PREAMBLE = "import numpy as np\n\nimport diffkit as dk\n\n\n"
#: what shows a learner who has copied it what it gives
CALL = '\n\nif __name__ == "__main__":\n    print({name}())\n'


@dataclass(frozen=True)
class Claim:
    """One thing that a row says, whether it holds on this run, and the numbers that tell."""

    says: str
    holds: bool
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A system that the lectures teach.

    says: what it is, in a sentence or two. formulas: LaTeX. example: a function of no arguments whose source, between PREAMBLE
    and CALL, is complete: that text is what runs and what is shown. It returns a dict of numbers and arrays, which `claims`,
    `charts` and `tables` are made of. slips: what is wrong in a lecture, and how it is done here. tables_first: tables stand
    above the charts.
    """

    id: str
    title: str
    says: str
    formulas: Sequence[str]
    example: Callable[[], dict]
    claims: Callable[[dict], Sequence[Claim]]
    charts: Callable[[dict], Sequence[Chart]] = lambda result: ()
    tables: Callable[[dict], Sequence[Table]] = lambda result: ()
    slips: Sequence[str] = ()
    sources: str = ""
    tables_first: bool = False

    @cached_property
    def code(self) -> str:
        """The example as it is shown, and run."""
        return PREAMBLE + inspect.getsource(self.example) + CALL.format(name=self.example.__name__)

    @cached_property
    def judging(self) -> str:
        """What makes the claims of what the example gives."""
        return inspect.getsource(self.claims)

    @property
    def order(self) -> tuple[str, int]:
        """Of rows by their part and number: B2 before B10."""
        letter, number = re.fullmatch(r"([A-Z])(\d+)", self.id).groups()  # type: ignore[union-attr]
        return letter, int(number)

    @property
    def page(self) -> str:
        return f"{self.id.lower()}.html"

    def run(self) -> dict[str, Any]:
        """What the code gives, run as a text of its own: it can use nothing that is not shown."""
        name = f"<lecture {self.id}>"
        linecache.cache[name] = (len(self.code), None, self.code.splitlines(keepends=True), name)
        space: dict[str, Any] = {"__name__": f"lecture_{self.id}"}
        exec(compile(self.code, name, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True), space)
        return space[self.example.__name__]()
