"""What a case of the catalogue is, and how the files beside this one write theirs.

The catalogue judges `dk.check_gradient` from outside: it is written from what that promises, and knows nothing of how it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VERDICTS = frozenset({"pass", "fail", "kink", "noise", "nondeterministic", "undecided"})
#: mistakes that leave a smooth, repeatable function and a finite gradient: nothing but "fail" is a right verdict
PLAIN = frozenset(
    {"factor", "sign", "transposed", "permuted", "shifted", "missing-term", "extra-term", "wrong-axis", "mean-or-sum"}
    | {"single-entry", "zero", "wrong-shape"}
)
OTHERS = frozenset({"nan-origin", "stale", "nondeterministic", "in-place", "kink", "step-function", "overflow"})
CODES = PLAIN | OTHERS | {"cancellation", "dropout-active"}

#: (function, point, gradient to be checked or None for the framework's own, keywords of check_gradient)
Problem = tuple[Callable[..., Any] | Any, Any, Callable[..., Any] | None, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One gradient with what is right to say of it.

    `make` gives a fresh problem at every call: caches are empty, generators are seeded anew. `codes` are the right causes, any of
    which may be named first; a right gradient has none. `noisy`: the function is known to no better than 1e-8, so that nothing but
    "fail" is wrong to say.
    """

    name: str
    dress: str
    make: Callable[[], Problem]
    codes: frozenset[str] = frozenset()
    noisy: bool = False
    verdicts: frozenset[str] = frozenset({"pass"})
    slow: bool = False

    @property
    def right(self) -> bool:
        return not self.codes


class Collection:
    """Cases of one kind and dress; used as a decorator of functions that make a problem, which give the case its name."""

    def __init__(self, dress: str) -> None:
        self.dress = dress
        self.cases: list[Case] = []

    def add(self, name: str, make: Callable[[], Any], *, codes: frozenset[str] = frozenset(), **more: Any) -> None:
        assert codes <= CODES, name
        self.cases.append(Case(f"{self.dress}-{name}", self.dress, lambda: _whole(make()), codes, **more))

    def wrong(
        self, *codes: str, verdicts: frozenset[str] | None = None, slow: bool = False
    ) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """A wrong gradient; `codes` are its right causes."""
        allowed = verdicts or (frozenset({"fail"}) if PLAIN.issuperset(codes) else VERDICTS - {"pass"})

        def register(make: Callable[[], Any]) -> Callable[[], Any]:
            self.add(_name(make), make, codes=frozenset(codes), verdicts=allowed, slow=slow)
            return make

        return register

    def right(self, make: Callable[[], Any]) -> Callable[[], Any]:
        """A right gradient of a function without noise."""
        self.add(_name(make), make)
        return make

    def add_noisy(self, name: str, make: Callable[[], Any]) -> None:
        self.add(name, make, noisy=True, verdicts=VERDICTS - {"fail"})

    def noisy(self, make: Callable[[], Any]) -> Callable[[], Any]:
        """A right gradient of a function with noise."""
        self.add_noisy(_name(make), make)
        return make

    def large(self, make: Callable[[], Any]) -> Callable[[], Any]:
        """A right gradient of so many entries that checking it takes more than a few seconds."""
        self.add(_name(make), make, slow=True)
        return make


def _name(make: Callable[..., Any]) -> str:
    return make.__name__.strip("_").replace("_", "-")


def _whole(problem: tuple[Any, ...]) -> Problem:
    fun, at, grad, *keywords = problem
    return fun, at, grad, keywords[0] if keywords else {}
