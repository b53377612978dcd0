"""stop_gradient: the value passes, no derivative does; whoever has the value alone says so."""

import numpy as np
import pytest

import diffkit as dk

ENGINES = pytest.mark.parametrize("engine", ["reverse", "forward"])
MACHINES = pytest.mark.parametrize("machine", ["numpy", "cpu"])


@MACHINES
@ENGINES
def test_no_derivative_passes(engine, machine):
    f = dk.grad("x*stop_gradient(x**2)", wrt="x", engine=engine, machine=machine)
    x = np.array([0.5, -3.0, 2.0])
    np.testing.assert_array_equal(f(x=x), x**2)
    np.testing.assert_array_equal(dk.grad("stop_gradient(x)", wrt="x", engine=engine, machine=machine)(x=x), 0)
    assert dk.parse("x*stop_gradient(x**2)")(x=3.0) == 27


@ENGINES
def test_second_derivatives_take_it_for_a_constant_too(engine):
    h = dk.hessian("x**2*stop_gradient(x)*y", engine=engine, machine="numpy")(x=3.0, y=2.0)
    assert h["x"]["x"] == 2 * 3 * 2 and h["x"]["y"] == h["y"]["x"] == 2 * 3 * 3


def test_a_straight_through_estimator():
    """The value rounded, the derivative as if it were not."""
    value, slope = dk.value_and_grad(lambda x: np.sum((x + dk.stop_gradient(np.round(x) - x)) ** 2), machine="numpy")(
        np.array([0.4, 1.7])
    )
    assert value == 4 and slope.tolist() == [0, 4]


def test_it_is_an_identity_for_numbers_and_dual_numbers():
    assert dk.stop_gradient(2.5) == 2.5
    dual = dk.Dual(3.0, 1.0)
    assert (dual * dk.stop_gradient(dual)).tangent == 3


def test_a_nan_stays_seen():
    assert np.isnan(dk.grad("x + stop_gradient(log(x))", wrt="x", machine="numpy")(x=-1.0))


@pytest.mark.parametrize("engine", ["finite", "symbolic"])
def test_engines_that_have_only_the_value_say_so(engine):
    with pytest.raises(dk.UnsupportedError, match="'stop_gradient' is not that of its value"):
        dk.grad("x*stop_gradient(x)", engine=engine, machine="numpy")(x=1.0)


def test_a_comparison_reports_who_can_tell():
    c = dk.compare("x*stop_gradient(x)", at={"x": 2.0})
    assert c["finite"].outcome == c["symbolic"].outcome == "unsupported"
    assert c["reverse"].gradient["x"] == c["forward"].gradient["x"] == 2
