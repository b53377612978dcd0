"""Rows A1–A10 and B1–B8: a verdict fails where one thing in the code is wrong, and figures are those of closed forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from diffkit.lectures import Row, chosen_rows, run_row

#: a row, something that its code says, and what would be wrong in its place
WRONG = [
    ("A1", "(f(x + h) - f(x)) / h", "1.001 * (f(x + h) - f(x)) / h"),
    ("A2", "sqrt(x), -2*x)", "sqrt(x), -3*x)"),
    ("A3", "dk.Dual(0.5, 1.0)", "dk.Dual(0.5, 0.999)"),
    ("A4", '"v3*(v1 - v4)"', '"v3*(v1 + v4)"'),
    ("A5", "(x1/x2 - log(x2))", "(x1/x2 - 1.001*log(x2))"),
    ("A6", "delta = h - y", "delta = h - 0.999 * y"),
    ("A7", "* (z > 0)", "* (z > -0.5)"),
    ("A8", "base = None if central else f(x)", "base = f(x)"),
    ("A9", "(1 - t**2)) / 30", "(1 - t**2)) / 29"),
    ("A10", "* (1 - out**2)", "* (1 - out)"),
    ("B1", "learning_rate=1 / L", "learning_rate=0.99 / L"),
    ("B2", "by_rule + label * x", "by_rule + 0.5 * label * x"),
    ("B2", "batch_size=24", "batch_size=20"),
    ("B3", "n / 60 * g", "n / 59 * g"),
    ("B4", 'momentum=0.9, flavor="DS"', 'momentum=0.899, flavor="DS"'),
    ("B5", "x + 0.9 * state", "x + 0.899 * state"),
    ("B6", "optimizer = dk.optim.AdaGrad(learning_rate=0.1)", "optimizer = dk.optim.RMSProp(learning_rate=0.1)"),
    ("B7", "np.sqrt(u + eps) / np.sqrt(s + eps)", "np.sqrt(u) / np.sqrt(s + eps)"),
    ("B8", "alpha=0.9),\n    }", "alpha=0.899),\n    }"),
]


def _with_code(row: Row, code: str) -> Row:
    changed = dataclasses.replace(row)
    vars(changed)["code"] = code  # in the place of the one that the row would read from its source
    return changed


@pytest.mark.parametrize(("name", "said", "wrong"), WRONG, ids=[f"{n}: {w}" for n, _, w in WRONG])
def test_verdict_fails_where_the_code_is_wrong(name, said, wrong):
    (row,) = chosen_rows([name])
    assert row.code.count(said) == 1
    outcome = run_row(_with_code(row, row.code.replace(said, wrong)))
    assert not outcome.error, outcome.error
    assert not outcome.holds


def test_gradient_descent_on_a_quadratic_is_its_closed_form():
    (row,) = chosen_rows(["B1"])
    result, steep = row.run(), np.array([1.0, 10.0, 100.0])
    for name, rate in result["rates"].items():
        after = np.sum(steep * (1 - rate * steep) ** 400) / 2
        assert result["runs"][name][-1] == pytest.approx(after, rel=1e-12), "after 200 steps"


def test_values_of_a_run_are_those_of_its_path_to_the_end():
    (row,) = chosen_rows(["B8"])
    result = row.run()
    for name, path in result["paths"].items():
        x, y = path[-1]
        end = np.exp(-3 * (x + 2)) + 0.05 * (x - 4) ** 2 + 5 * y**2
        assert len(result["values"][name]) == len(path)
        assert result["values"][name][-1] == pytest.approx(end, rel=1e-12)


def test_relu_network_by_hand_has_units_on_and_off():
    (row,) = chosen_rows(["A7"])
    assert sorted(set(row.run()["on"].tolist())) == [False, True]
