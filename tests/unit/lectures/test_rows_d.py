"""Rows of part D: a fault in what a row is about is noticed by its claims."""

from __future__ import annotations

import numpy as np
import optree
import pytest

import diffkit as dk
from diffkit.lectures import chosen_rows, run_row

nn = dk.nn


def scaled(f, factor):
    """Every result of f, times a factor."""
    return lambda *args, **options: optree.tree_map(lambda y: factor * y, f(*args, **options))


def bent(transform):
    """A transform of functions whose results are off by 2 %."""
    return lambda *args, **options: scaled(transform(*args, **options), 1.02)


FAULTS = {
    "D1": (dk, "grad", bent(dk.grad)),
    "D2": (nn, "selu", scaled(nn.selu, 1.1)),
    "D3": (dk, "grad", bent(dk.grad)),
    "D4": (nn, "conv2d", scaled(nn.conv2d, 1.001)),
    "D5": (nn, "fuse_batch_norm", scaled(nn.fuse_batch_norm, 1.001)),
    "D6": (nn, "group_norm", scaled(nn.group_norm, 1.001)),
    "D7": (nn, "gru_cell", scaled(nn.gru_cell, 1.001)),
    "D8": (nn, "residual", lambda f, x, shortcut=None: 1.001 * x + f(x)),
    "D9": (dk, "grad", bent(dk.grad)),
    "D10": (nn, "rnn_cell", scaled(nn.rnn_cell, 1.001)),
    "D11": (nn, "init_kaiming_normal", nn.init_xavier_normal),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_noticed(name, monkeypatch):
    (row,) = chosen_rows([name])
    monkeypatch.setattr(*FAULTS[name])
    outcome = run_row(row)
    assert not outcome.error, outcome.error
    assert outcome.claims and not outcome.holds


def test_slopes_beside_0_are_measured():
    """Not those of an engine: at 0 the values of two of them are ½, beside which a tiny step would vanish."""
    (row,) = chosen_rows(["D1"])
    for name, (given, below, above) in row.run()["kinks"].items():
        if name in ("sigmoid", "tanh", "swish", "GELU", "GELU, tanh form", "softplus"):
            np.testing.assert_allclose((below, above), given, rtol=1e-6, err_msg=name)


def test_gradients_that_explode_along_skips_are_noticed(monkeypatch):
    """Verdicts of what skips keep have an upper end: 5 % a layer too much is noticed also where the branch is scaled."""
    (row,) = chosen_rows(["D10"])
    monkeypatch.setattr(nn, "residual", lambda f, x, shortcut=None: 1.05 * x + f(x))
    (remedy,) = [claim for claim in run_row(row).claims if "scale the branch" in claim.says]
    assert not remedy.holds
