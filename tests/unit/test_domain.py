"""Where a value is NaN, so is its derivative: in every engine, layout and machine."""

import numpy as np
import pytest

import diffkit as dk

ENGINES = ["symbolic", "forward", "reverse"]
v, w = dk.symbols("v w")
many = dk.symbol("many", shape=(40,))  # more than are swept or pushed at once


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("f", "at"),
    [
        (dk.log(v) * w, (-1.0, 2.0)),
        (v + dk.log(w), (1.0, np.nan)),
        (v + dk.sin(w), (1.0, np.nan)),
        (dk.floor(v) + 0 * w, (np.nan, 1.0)),
        (v * w, (np.inf, 0.0)),
        (v - 2 * v + w, (np.inf, 1.0)),
    ],
)
def test_points_where_the_value_is_nan(f, at, engine, machine):
    gradient = dk.value_and_grad(f, wrt=[v, w], engine=engine, machine=machine)
    given = {"v": at[0], "w": at[1]}
    for values in (given, {n: np.array([x, 1.5]) for n, x in given.items()}):
        value, found = gradient({n: values[n] for n in f.variables} | {n: values[n] for n in gradient.names})
        for g in (value, *found.values()):
            assert np.isnan(np.ravel(g)[0])
            assert np.ndim(g) == 0 or not np.isnan(g[1])


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
@pytest.mark.parametrize("engine", ["forward", "reverse"])
def test_elements_where_the_value_is_nan(engine, machine):
    """One element of a vector has no derivative; the others keep theirs."""
    at = np.ones(40)
    at[3] = -1.0
    found = dk.jacobian(dk.log(many) * w, wrt=["many", "w"], engine=engine, machine=machine)(many=at, w=2.0)
    assert np.isnan(found["many"][3]).all() and np.isnan(found["w"][3])
    rest = np.delete(np.arange(40), 3)
    assert np.array_equal(found["many"][rest], 2 * np.eye(40)[rest])
    if (
        engine == "forward"
    ):  # the sums of a reverse sweep over many seeded rows have the lost element in them, times zero
        assert np.array_equal(found["w"][rest], np.zeros(39))


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
def test_a_tangent_that_is_the_same_everywhere_is_summed_over_all(machine):
    three, a = dk.symbol("three", shape=(3,)), dk.symbol("a")
    f = dk.sum(dk.log(three) + a)
    for engine in ("forward", "reverse"):
        found = dk.grad(f, engine=engine, machine=machine)(three=np.ones(3), a=1.0)
        assert found["a"] == 3.0 and found["three"].tolist() == [1.0] * 3
