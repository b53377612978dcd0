"""`dk.check_gradient` judged by a catalogue: no wrong gradient passes, no right one fails, and causes are named."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import diffkit as dk

from .catalogue import CODES, VERDICTS, Case, absent, catalogue

CASES = catalogue()
WRONG, RIGHT = [c for c in CASES if not c.right], [c for c in CASES if c.right]


def each(cases: list[Case]) -> Any:
    return pytest.mark.parametrize(
        "case", [pytest.param(c, id=c.name, marks=[pytest.mark.slow] * c.slow) for c in cases]
    )


@cache
def checked(case: Case) -> Any:
    fun, at, grad, keywords = case.make()
    with np.errstate(all="ignore"):
        return dk.check_gradient(fun, at, grad, **keywords)


@each(WRONG)
def test_wrong_gradients_do_not_pass(case):
    result = checked(case)
    assert not result.ok
    assert result.verdict in case.verdicts, str(result)


@each(RIGHT)
def test_right_gradients_do_not_fail(case):
    result = checked(case)
    assert result.verdict in case.verdicts, str(result)
    assert result.ok == (result.verdict == "pass")


def test_the_right_cause_is_named_first():
    """In nine of ten wrong gradients; the message lists the others."""
    judged = [c for c in WRONG if not c.slow]
    named = {c: next((s.code for s in checked(c).suspects), None) for c in judged}
    missed = [
        f"{c.name}: {code}, not {' or '.join(sorted(c.codes))}" for c, code in named.items() if code not in c.codes
    ]
    assert len(missed) <= len(judged) / 10, f"{len(missed)} of {len(judged)}:\n" + "\n".join(missed)


def test_the_catalogue_is_large_enough():
    """Every code occurs; both kinds come in every dress."""
    assert set().union(*(c.codes for c in WRONG)) >= (CODES if not absent() else CODES - {"dropout-active"})
    assert all(c.verdicts <= VERDICTS for c in CASES)
    assert len(WRONG) >= 70
    assert len(RIGHT) >= 300


@pytest.mark.parametrize("file", absent())
def test_files_of_missing_packages(file):
    pytest.skip(f"the catalogue's {file} is not installed")
