"""Rows of parts C, D and E: a fault in what a row is about is noticed by its claims."""

from __future__ import annotations

import numpy as np
import optree
import pytest

import diffkit as dk
from diffkit.lectures import chosen_rows, run_row


def scaled(f, factor):
    """Every result of f, times a factor."""
    return lambda *args, **options: optree.tree_map(lambda y: factor * y, f(*args, **options))


def all_bent(transform):
    """A transform of functions whose results are off by 2 %."""
    return lambda *args, **options: scaled(transform(*args, **options), 1.02)


def bent(transform):
    """A transform of functions whose results are off in one entry."""

    def changed(*args, **options):
        made = transform(*args, **options)

        def result(*x):
            found = np.array(made(*x), float)
            found.flat[-1] *= 1.02
            return found

        return result

    return changed


def smoothing_too_much(f):
    return lambda *args, label_smoothing=0.0, **options: f(*args, label_smoothing=1.1 * label_smoothing, **options)


def too_far(f):
    return lambda images, rng, pixels: f(images, rng, pixels + 1)


NN = dk.nn
FAULTS = {
    "C1": (NN, "l2", scaled(NN.l2, 1.02)),
    "C2": (NN, "l1", scaled(NN.l1, 1.02)),
    "C3": (dk, "grad", bent(dk.grad)),
    "C4": (NN, "dropout", scaled(NN.dropout, 1.1)),
    "C5": (NN, "softmax_cross_entropy", smoothing_too_much(NN.softmax_cross_entropy)),
    "C6": (dk, "hessian", bent(dk.hessian)),
    "C7": (NN, "random_shift", too_far(NN.random_shift)),
    "C8": (NN, "l2", scaled(NN.l2, 1.02)),
    "C9": (NN, "l2", scaled(NN.l2, 1.02)),
    "D1": (dk, "grad", all_bent(dk.grad)),
    "D2": (NN, "selu", scaled(NN.selu, 1.1)),
    "D3": (dk, "grad", all_bent(dk.grad)),
    "D4": (NN, "conv2d", scaled(NN.conv2d, 1.001)),
    "D5": (NN, "fuse_batch_norm", scaled(NN.fuse_batch_norm, 1.001)),
    "D6": (NN, "group_norm", scaled(NN.group_norm, 1.001)),
    "D7": (NN, "gru_cell", scaled(NN.gru_cell, 1.001)),
    "D8": (NN, "residual", lambda f, x, shortcut=None: 1.001 * x + f(x)),
    "D9": (dk, "grad", all_bent(dk.grad)),
    "D10": (NN, "rnn_cell", scaled(NN.rnn_cell, 1.001)),
    "D11": (NN, "init_kaiming_normal", NN.init_xavier_normal),
    "E1": (dk, "hvp", scaled(dk.hvp, 1.01)),
    "E2": (dk, "hessian", bent(dk.hessian)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_noticed(name, monkeypatch):
    (row,) = chosen_rows([name])
    monkeypatch.setattr(*FAULTS[name])
    outcome = run_row(row)
    assert not outcome.error, outcome.error
    assert outcome.claims and not outcome.holds


def test_norm_penalty_sets_all_weights_to_zero_from_the_edge_on():
    """The row finds its zeros: it is not told where they begin."""
    (row,) = chosen_rows(["C1"])
    found = row.run()
    zero = np.linalg.norm(found["fits"]["norm"], axis=1) == 0
    assert zero.any() and not zero.all()
    assert (zero == (found["lambdas"] >= found["edge"])).all()


def test_level_line_is_drawn_through_the_point_where_it_touches_the_ball():
    (row,) = chosen_rows(["C9"])
    balls = {c.title: c for c in row.charts(row.run()) if "ball" in c.title}
    for title, size in (("The L1 ball", lambda x, y: np.abs(x) + np.abs(y)), ("The L2 ball", np.hypot)):
        ball, _, level = balls[title].lines
        assert level.label.startswith("level line")
        np.testing.assert_allclose(np.min(size(level.x, level.y)), size(ball.x[0], ball.y[0]), rtol=1e-6)
        low, high = balls[title].landscape.x[[0, -1]]
        assert low < np.min(ball.x) < np.max(ball.x) < high, "the whole ball is in the picture"


def test_slopes_beside_0_are_measured():
    """Not those of an engine: at 0 the values of two of them are ½, beside which a tiny step would vanish."""
    (row,) = chosen_rows(["D1"])
    for name, (given, below, above) in row.run()["kinks"].items():
        if name in ("sigmoid", "tanh", "swish", "GELU", "GELU, tanh form", "softplus"):
            np.testing.assert_allclose((below, above), given, rtol=1e-6, err_msg=name)


def test_gradients_that_explode_along_skips_are_noticed(monkeypatch):
    """Verdicts of what skips keep have an upper end: 5 % a layer too much is noticed also where the branch is scaled."""
    (row,) = chosen_rows(["D10"])
    monkeypatch.setattr(NN, "residual", lambda f, x, shortcut=None: 1.05 * x + f(x))
    (remedy,) = [claim for claim in run_row(row).claims if "scale the branch" in claim.says]
    assert not remedy.holds
