"""Newton, BFGS and L-BFGS by init and update: against textbook formulas, and what they say of bad input."""

import numpy as np
import optree
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, ShapeError
from diffkit.optim.objective import Objective
from diffkit.optim.second_order.bfgs import updated_inverse
from diffkit.optim.second_order.lbfgs import two_loops
from diffkit.optim.second_order.newton import IndefiniteError, solved
from diffkit.optim.second_order.trust import steihaug


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def quadratic(n, condition, seed=0):
    """A, b of ½xᵀAx − bᵀx, A symmetric with this condition number."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    a = q @ np.diag(np.logspace(0, np.log10(condition), n)) @ q.T
    return (a + a.T) / 2, rng.normal(size=n)


def textbook_inverse(h, s, y):
    """Nocedal and Wright, equation 6.17, as it is written."""
    rho = 1 / (y @ s)
    left = np.eye(len(s)) - rho * np.outer(s, y)
    return left @ h @ left.T + rho * np.outer(s, s)


def pairs_of(n, count, seed=0):
    rng = np.random.default_rng(seed)
    a, _ = quadratic(n, 100, seed)
    s = rng.normal(size=(count, n))
    return [(v, a @ v + 0.01 * rng.normal(size=n)) for v in s]


# ---- formulas ----
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_rank_two_update_is_the_textbooks(n):
    h = np.eye(n)
    for s, y in pairs_of(n, 5):
        if s @ y <= 0:
            continue
        new = updated_inverse(h, s, y)
        np.testing.assert_allclose(new, textbook_inverse(h, s, y), rtol=1e-12, atol=1e-12 * np.abs(new).max())
        np.testing.assert_array_equal(new, new.T)
        np.testing.assert_allclose(new @ y, s, rtol=1e-9, atol=1e-11)  # the secant equation
        h = new


@pytest.mark.parametrize("n, count", [(1, 1), (3, 2), (10, 10), (25, 60)])
def test_two_loops_are_the_dense_matrix(n, count):
    pairs = pairs_of(n, count, seed=n)
    s, y = pairs[-1]
    h = np.eye(n) * (s @ y) / (y @ y)
    for s, y in pairs:
        h = textbook_inverse(h, s, y)
    g = np.random.default_rng(1).normal(size=n)
    wanted = h @ g
    np.testing.assert_allclose(two_loops(pairs[::-1], g), wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


@pytest.mark.parametrize("m", [1, 3, 10])
def test_directions_of_lbfgs_are_the_dense_ones(m):
    """Iterates of LBFGS without a line search against BFGS matrices built from the same pairs."""
    a, b = quadratic(6, 50)
    opt = dk.optim.LBFGS(learning_rate=0.3, history_size=m, line_search_fn=None, flavor="paper")
    x = np.zeros(6)
    state = opt.init(x)
    points, gradients = [], []
    for k in range(15):
        g = a @ x - b
        points.append(x)
        gradients.append(g)
        new, state = opt.update(g, state, x)
        pairs = [(p - q, u - v) for p, q, u, v in zip(points[1:], points, gradients[1:], gradients, strict=False)][-m:]
        if pairs:
            s, y = pairs[-1]
            h = np.eye(6) * (s @ y) / (y @ y)
            for s, y in pairs:
                h = textbook_inverse(h, s, y)
            np.testing.assert_allclose(new - x, -0.3 * h @ g, rtol=1e-10, atol=1e-12)
        else:
            np.testing.assert_allclose(new - x, -0.3 * g * min(1, 1 / np.linalg.norm(g)), rtol=1e-14)
        x = new
        assert state.count == k + 1


def test_bfgs_and_lbfgs_with_all_pairs_from_the_same_start():
    """Both give one direction after one pair, which is all that their scalings share."""
    f = lambda x: rosenbrock(x)
    x = np.array([-1.2, 1.0])
    steps = []
    for opt in (dk.optim.BFGS(), dk.optim.LBFGS(flavor="paper")):
        p, state = x, opt.init(x)
        for _ in range(2):
            p, state = opt.update(dk.grad(f)(p), state, p, fun=f)
        steps.append(p)
    np.testing.assert_allclose(*steps, rtol=1e-12)


def test_newton_in_one_step():
    a, b = quadratic(12, 1e4)
    f = lambda x: 0.5 * x @ (a @ x) - b @ x
    opt = dk.optim.Newton()
    x = np.ones(12)
    x, _ = opt.update(dk.grad(f)(x), opt.init(x), x, fun=f)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-9)


def test_newton_damped_and_slow():
    a, b = quadratic(4, 10)
    f = lambda x: 0.5 * x @ (a @ x) - b @ x
    opt, x = dk.optim.Newton(learning_rate=0.5, damping=3.0), np.ones(4)
    new, _ = opt.update(a @ x - b, opt.init(x), x, fun=f)
    np.testing.assert_allclose(new, x - 0.5 * np.linalg.solve(a + 3 * np.eye(4), a @ x - b), rtol=1e-12)


@pytest.mark.parametrize("indefinite", ["shift", "saddle-free"])
def test_newton_goes_downhill_where_the_hessian_is_indefinite(indefinite):
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 20):
        h = rng.normal(size=(n, n))
        h = h + h.T - 0.1 * np.eye(n)
        g = rng.normal(size=n)
        assert g @ solved(h, g, indefinite) > 0
    values = np.diag([-2.0, 4.0])
    np.testing.assert_allclose(solved(values, np.array([1.0, 1.0]), "saddle-free"), [0.5, 0.25])


def test_newton_plain_and_error():
    h, g = np.diag([-2.0, 4.0]), np.array([1.0, 1.0])
    np.testing.assert_allclose(solved(h, g, "plain"), [-0.5, 0.25])
    with pytest.raises(IndefiniteError, match=r"least eigenvalue -2"):
        solved(h, g, "error")
    with pytest.raises(IndefiniteError, match=r"singular.*damping"):
        solved(np.zeros((2, 2)), g, "plain")
    np.testing.assert_allclose(solved(np.zeros((2, 2)), g, "shift"), g)  # no curvature at all: the gradient
    assert np.isnan(solved(np.array([[np.nan]]), np.ones(1), "shift")).all()


def test_curvature_that_is_not_positive():
    """A pair against the grain is left out, or damped until yᵀs = 0.2 yᵀHy."""
    h = np.diag([1.0, 2.0, 3.0])
    s, y = np.array([1.0, 0.0, 0.0]), np.array([-1.0, 0.5, 0.0])
    slots = {"x": s, "g": y, "pairs": 1, "H": h}
    assert dk.optim.BFGS().learned(slots, s, y) is slots
    made = dk.optim.BFGS(curvature="damp").learned(slots, s, y)["H"]
    assert np.linalg.eigvalsh(made).min() > 0
    damped = made @ y  # the secant equation gives the pair's s
    assert damped @ y == pytest.approx(0.2 * (y @ h @ y))
    for flavor, least in (("torch", 1e-10), ("paper", 0.0)):
        opt = dk.optim.LBFGS(flavor=flavor, history_size=2)
        memory = opt.memory(1)
        pair = np.array([1e-6]), np.array([1e-5])  # yᵀs = 1e-11
        assert opt.learned(memory, *pair)["pairs"] == (1 if least < 1e-11 else 0)


def test_steihaug_stays_in_the_ball_and_follows_negative_curvature():
    indefinite = Objective(lambda x: x[0] ** 2 - 3 * x[1] ** 2 + x[0], np.zeros(2))
    at = indefinite.start(np.array([0.5, 0.1]))
    found = steihaug(indefinite, at, 0.7)
    assert found.on_boundary and np.linalg.norm(found.step) == pytest.approx(0.7)
    assert found.decrease == pytest.approx(at.value - indefinite.value(at.x + found.step))
    a, b = quadratic(5, 10)
    convex = Objective(lambda x: 0.5 * x @ (a @ x) - b @ x, np.zeros(5))
    at = convex.start(np.ones(5))
    found = steihaug(convex, at, 100.0)
    assert not found.on_boundary
    assert np.linalg.norm(a @ (at.x + found.step) - b) <= 0.5 * np.linalg.norm(at.gradient)
    assert found.decrease == pytest.approx(at.value - convex.value(at.x + found.step))


# ---- the protocol ----
OPTIMIZERS = {
    "newton": lambda: dk.optim.Newton(),
    "newton searched": lambda: dk.optim.Newton(line_search_fn="strong_wolfe"),
    "bfgs": lambda: dk.optim.BFGS(),
    "lbfgs": lambda: dk.optim.LBFGS(line_search_fn="strong_wolfe"),
    "lbfgs optax": lambda: dk.optim.LBFGS(flavor="optax"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nests_reach_the_minimum(name):
    """Named parameters of several shapes and dtypes; update is pure."""

    def f(p):
        return (
            ((p["w"] @ np.ones(2) - 1) ** 2).sum() + (p["w"] ** 2).sum() + (p["b"] - 3) ** 2 + (p["c"][0] - p["b"]) ** 2
        )

    opt = OPTIMIZERS[name]()
    params = {"w": np.ones((3, 2)), "b": 0.5, "c": [np.float32(1.0)]}
    state = opt.init(params)
    for _ in range(20):
        grads = dk.grad(f)(params)
        before = optree.tree_map(np.copy, (params, state.slots))
        new, state_after = opt.update(grads, state, params, fun=f)
        optree.tree_map(np.testing.assert_array_equal, before, (params, state.slots))
        params, state = new, state_after
    np.testing.assert_allclose(params["w"], 1 / 3, atol=1e-5)
    assert params["b"] == pytest.approx(3, abs=1e-5) and params["c"][0] == pytest.approx(3, abs=1e-5)
    assert params["c"][0].dtype == np.float32 and params["w"].dtype == np.float64 and state.count == 20
    leaves = optree.tree_leaves(state, none_is_leaf=True, namespace="diffkit")
    assert all(isinstance(v, (np.ndarray, int, float)) for v in leaves)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_in_place_is_the_same(name):
    f = lambda p: rosenbrock(p["x"])
    made = []
    for in_place in (False, True):
        opt = OPTIMIZERS[name]()
        params = {"x": np.array([-1.2, 1.0])}
        array, state = params["x"], opt.init(params)
        for _ in range(15):
            params, state = opt.update(dk.grad(f)(params), state, params, fun=f, in_place=in_place)
            assert (params["x"] is array) == in_place
        made.append((params, state.slots))
    optree.tree_map(np.testing.assert_array_equal, *made)


def test_text_by_name_and_value():
    text = "100*(y - x**2)**2 + (1 - x)**2"
    opt = dk.optim.BFGS()
    params = {"x": -1.2, "y": 1.0}
    state = opt.init(params)
    gradient = dk.value_and_grad(text)
    for _ in range(60):
        value, grads = gradient(params)
        params, state = opt.update(grads, state, params, fun=text, value=value)
    assert params["x"] == pytest.approx(1, abs=1e-8) and params["y"] == pytest.approx(1, abs=1e-8)


def test_a_schedule_is_the_first_step():
    opt = dk.optim.LBFGS(lambda count: 0.5 / (count + 1))
    x = np.array([3.0, 4.0])
    new, state = opt.update(x, opt.init(x), x)
    np.testing.assert_allclose(new, x - 0.5 / 7 * x)  # torch's: min(1, 1/‖g‖₁)
    assert opt.rate(state) == 0.25


def test_nan_gradients_are_not_hidden():
    x = np.ones(2)
    for opt in (dk.optim.LBFGS(), dk.optim.Newton()):
        new, _ = opt.update(np.array([np.nan, 1.0]), opt.init(x), x, fun=lambda v: (v * v).sum())
        assert np.isnan(new).any()


def test_str_prints_the_formula():
    assert "Algorithm 7.4" in str(dk.optim.LBFGS()) and "1e-10" in str(dk.optim.LBFGS())
    assert "of the first step min(1, 1/‖d‖₁)·learning_rate" in str(dk.optim.LBFGS())
    assert "before the first pair min(1, 1/‖d‖₂)·learning_rate" in str(dk.optim.LBFGS(flavor="paper"))
    assert "min(1, 1/‖d‖₂)" in str(dk.optim.BFGS(line_search_fn=None)) and "first_length" not in str(dk.optim.BFGS())
    assert "6.17" in str(dk.optim.BFGS()) and "ssᵀ" in str(dk.optim.BFGS())
    assert "saddle" not in str(dk.optim.Newton()).split("\n", 1)[1] and "∇²f" in str(dk.optim.Newton(damping=0.1))
    assert "|Λ|" in str(dk.optim.Newton(indefinite="saddle-free"))
    assert repr(dk.optim.LBFGS(lr=0.5, memory_size=3)) == "LBFGS(learning_rate=0.5, history_size=3)"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: dk.optim.LBFGS(history_size=0), "history_size of LBFGS is a number of pairs"),
        (lambda: dk.optim.LBFGS(line_search_fn="wolfe"), "line_search_fn of LBFGS is one of None, 'strong_wolfe'"),
        (lambda: dk.optim.BFGS(curvature="no"), "curvature of BFGS is one of"),
        (lambda: dk.optim.BFGS(c1=0.9, c2=0.1), "needs c1 < c2"),
        (lambda: dk.optim.BFGS(c2=1.5), r"c2 of BFGS must lie in \(0, 1\)"),
        (lambda: dk.optim.Newton(indefinite="yes"), "indefinite of Newton is one of"),
        (lambda: dk.optim.Newton(damping=-1.0), "damping"),
        (lambda: dk.optim.Newton(lr=0.0), "must be positive"),
        (lambda: dk.optim.LBFGS(max_iter=3), "no option 'max_iter'"),
    ],
)
def test_options_that_are_not(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_bad_input_to_update():
    x = np.ones(2)
    for opt in (dk.optim.Newton(), dk.optim.BFGS()):
        with pytest.raises(ArgumentError, match=r"fun=…"):
            opt.update(x, opt.init(x), x)
    opt = dk.optim.LBFGS()
    with pytest.raises(ArgumentError, match="structured as params"):
        opt.update({"a": x}, opt.init(x), x)
    with pytest.raises(ShapeError):
        opt.update(np.ones(3), opt.init(x), x)
    with pytest.raises(TypeError, match="float64 or float32"):
        opt.init(np.array([1, 2]))
