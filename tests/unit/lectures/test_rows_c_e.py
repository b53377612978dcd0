"""Rows of parts C and E: a fault in what a row is about is noticed by its claims."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.lectures import chosen_rows, run_row


def scaled(f, factor):
    return lambda *args, **options: factor * f(*args, **options)


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
