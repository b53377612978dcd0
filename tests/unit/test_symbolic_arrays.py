"""The symbolic engine on arrays: answers beside the other engines', its budget, and what a comparison says when it is used up."""

from time import sleep

import numpy as np
import pytest
from helpers import NUMPY
from helpers_arrays import array_cases

import diffkit as dk
from diffkit.engines import engine, symbolic
from diffkit.engines.symbolic import Derivation, Symbolic, count
from diffkit.errors import ArgumentError, ExceededError, UnsupportedError
from diffkit.expr.bounded import within
from diffkit.expr.functions import RULES
from diffkit.expr.node import make, topological
from diffkit.ops import TABLE, define
from diffkit.tape import record


def network(depth, width):
    """Sum of the outputs of a tanh network, as an expression of its matrices and its input."""
    x = dk.symbol("x", (width,))
    h = x
    for k in range(depth):
        h = dk.tanh(dk.symbol(f"W{k}", (width, width)) @ h)
    return dk.sum(h)


def point(f, seed=0):
    from diffkit.expr.node import free_variables

    rng = np.random.default_rng(seed)
    return {v.name: rng.normal(size=v.shape) * 0.5 for v in free_variables(f)}


@pytest.fixture
def unknown():
    """An operation without a form in scalars: right by its rules, but neither SymPy nor objects can carry it."""

    def norms(x):
        return np.linalg.svd(x)[1][..., 0]  # refuses objects

    op = define(
        "largest_singular", 1, "largest singular value", norms, family="structured", shape=lambda x: x[:-2],
        jvp=lambda o, tangents, out, x: o.sum(tangents[0] * x, axes=(-2, -1), keepdims=False) / out,
        vjp=lambda o, adjoint, out, x: (x * o.reshape(adjoint / out, shape=(*out.shape, 1, 1)),),
    )  # fmt: skip
    try:
        yield lambda x: make(op, (x,), {})  # the rules are right for a matrix of rank 1
    finally:
        TABLE.remove(op.name)


# ---- answers ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("case", array_cases(), ids=lambda c: c.id)
def test_array_operations_agree_with_the_table(case):
    tape = case.tape()
    wrt = range(len(tape.inputs))
    try:
        program = Symbolic(max_ops=600, seconds=1).program(tape, wrt)
    except (UnsupportedError, ExceededError) as reason:
        assert case.op in str(reason) or isinstance(reason, ExceededError)
        pytest.skip(str(reason))
    other = engine("reverse").program(tape, wrt)
    values = case.values(loop=(2,))
    ours, theirs = program.on(NUMPY)(values)[1][0], other.on(NUMPY)(values)[1][0]
    bars = zip(program.bars(NUMPY, values)[0], other.bars(NUMPY, values)[0], strict=True)
    for a, b, (e, d) in zip(ours, theirs, bars, strict=True):
        assert a.shape == b.shape
        assert np.all(np.abs(a - b) <= e + d)


MODELS = {
    "matrix chain": lambda a, b: a @ b @ a,
    "softmax": lambda a, b: np.exp(a @ b) / np.sum(np.exp(a @ b), axis=1, keepdims=True),
    "moved": lambda a, b: np.concatenate([a.T, b], axis=1)[::-1, 1:] * np.stack([b[0], b[1], a[:, 0]])[:, :1],
    "reduced": lambda a, b: np.prod(a, axis=0) + np.max(b, axis=1) + np.mean(a * b.T),
    "diagonal": lambda a, b: np.trace(a @ b) * np.tril(b)[1:, 0],
    "where": lambda a, b: np.where(a > 0.1, np.log(np.abs(a)), a**2) @ b,
}


@pytest.mark.parametrize("name", MODELS)
def test_models_agree_in_all_engines(name):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    f = MODELS[name]
    f = (lambda a, b: MODELS["reduced"](a, b)[0]) if name == "reduced" else f
    found = {
        e: dk.jacobian(f, (0, 1), engine=e, machine="numpy")(*values)
        for e in ("symbolic", "forward", "reverse", "finite")
    }
    for e in ("forward", "reverse", "finite"):
        for ours, theirs in zip(found["symbolic"], found[e], strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-9, err_msg=e)


def test_hessian_of_a_network():
    w = np.random.default_rng(0).normal(size=(2, 2))

    def f(w):
        return np.sum(np.tanh(w @ np.tanh(w @ np.ones(2))))

    ours, theirs = (dk.hessian(f, engine=e, machine="numpy")(w) for e in ("symbolic", "reverse"))
    assert ours.shape == (2, 2, 2, 2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_an_array_operation_is_expanded_by_what_it_is_written_with():
    define(
        "row_sums_added", 1, "written with others", lambda x: x + np.linalg.norm(x, 1, -1, keepdims=True),  # of positive numbers
        family="structured", shape=lambda x: x,
        lower=lambda o, x: x + o.broadcast_to(o.sum(x, axes=(-1,), keepdims=True), shape=x.shape),
    )  # fmt: skip
    try:
        f = dk.square(make(TABLE["row_sums_added"], (dk.symbol("A", (2, 2)),), {}))
        found = {e: dk.jacobian(f, engine=e, machine="numpy")(A=np.eye(2) + 1)["A"] for e in ("symbolic", "reverse")}
        np.testing.assert_allclose(found["symbolic"], found["reverse"], rtol=1e-15)
    finally:
        TABLE.remove("row_sums_added")


# ---- sums of exponentials ---------------------------------------------------------------------------------------------
WEIGHTS = np.array([0.2, 0.7, 0.1])
OF_EXPONENTIALS = {
    "logsumexp": dk.logsumexp,
    "log_softmax": lambda z: dk.log_softmax(z)[0] + 2 * dk.log_softmax(z)[2],
    "softmax": lambda z: dk.sum(dk.softmax(z) * WEIGHTS),
    "label": lambda z: dk.nn.softmax_cross_entropy(z, 2),
    "weights": lambda z: dk.nn.softmax_cross_entropy(z, WEIGHTS),
    "smoothed": lambda z: dk.nn.softmax_cross_entropy(z, 0, label_smoothing=0.1),
    "of functions": lambda z: dk.logsumexp(dk.stack([z[0] + z[1], 2 * z[1], z[2] * z[2] / 900, z[0] + z[1]])),
    "of logarithms": lambda z: dk.logsumexp(z + dk.log(1 + z * z)),  # SymPy turns exp(z + log y) into y·exp(z)
    "keepdims": lambda z: dk.logsumexp(dk.stack([z, 2 * z]), axis=1, keepdims=True)[1, 0],
}
FAR = [[800.0, 0, -800], [1e4, 1e4 + 1, 0], [-3e4, -3e4, 2 - 3e4], [700.0, 710, 709.5], [5.0, 5, 5], [0.3, -1.2, 2.0]]


@pytest.mark.parametrize("z", FAR, ids=str)
@pytest.mark.parametrize("name", OF_EXPONENTIALS)
def test_sums_of_exponentials_do_not_overflow(name, z):
    f, z = OF_EXPONENTIALS[name], np.array(z)
    # reverse's exp(x − logsumexp x) is the less exact of the two
    tolerance = {"rtol": 1e-12, "atol": 1e-15 * max(1, *abs(z))}
    for derivative in (dk.grad, dk.hessian):
        ours, theirs = (derivative(f, engine=e, machine="numpy")(z) for e in ("symbolic", "reverse"))
        assert np.all(np.isfinite(ours))
        scale = max(1, np.abs(theirs).max())
        np.testing.assert_allclose(ours / scale, theirs / scale, **tolerance)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_derivatives_of_sums_of_exponentials_are_right_to_the_last_digits(n):
    z = np.arange(n) * 0.7 + 1e8  # in exp(x − logsumexp x) half of the digits would be lost
    p = np.exp(z - z[0])
    p /= p.sum()
    for f, first in ((dk.logsumexp, p), (lambda z: dk.log_softmax(z)[0], np.eye(n)[0] - p)):
        np.testing.assert_allclose(dk.grad(f, engine="symbolic", machine="numpy")(z), first, rtol=1e-14, atol=1e-15)
    second = dk.hessian(dk.logsumexp, engine="symbolic", machine="numpy")(z)
    np.testing.assert_allclose(second, np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    "z", [[-np.inf, 0.0], [0.0, -np.inf, 1.0], [np.inf, 0.0], [-np.inf, -np.inf], [np.nan, 0.0]], ids=str
)
def test_infinite_exponents_as_in_the_other_engines(z):
    found = [dk.grad(dk.logsumexp, engine=e, machine="numpy")(np.array(z)) for e in ("symbolic", "forward", "reverse")]
    for theirs in found[1:]:
        known = ~np.isnan(theirs)
        np.testing.assert_allclose(found[0][known], theirs[known], rtol=1e-15)
    assert np.isnan(found[0]).any() == np.isnan(found[2]).any()


def test_elements_that_are_masked_out():
    keep = np.array([True, False, True])
    f = lambda z: dk.logsumexp(dk.where(keep, z, -np.inf))
    ours, theirs = (
        dk.hessian(f, engine=e, machine="numpy")(np.array([900.0, 1e3, 901.0])) for e in ("symbolic", "reverse")
    )
    assert np.all(ours[1] == 0) and np.all(np.isfinite(ours))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_derivatives_of_sums_of_exponentials_stay_short():
    """All shares are elements of one array."""
    z = dk.symbol("z", 10)
    derivative = dk.derivative(dk.logsumexp(z), "z", engine="symbolic")
    operations = [n.op.name for n in topological(derivative)]
    assert operations.count("log_softmax") == 1 and operations.count("stack") == 1 and operations.count("exp") == 10
    assert "log_softmax(z, " in str(derivative)
    c = dk.compare(dk.nn.softmax_cross_entropy(z, 1), at={"z": np.arange(10.0)}, machine="numpy", timing=False)
    assert c.agree and c["symbolic"].swell["derivative"]["graph"] < 60, str(c)


# ---- budgets ------------------------------------------------------------------------------------------------------
def test_writing_out_stops_at_the_budget_and_says_where():
    x = dk.symbol("x", (100,))
    f = dk.sum(dk.sin(dk.broadcast_to(dk.cos(x), (1000, 100))))
    with pytest.raises(
        ExceededError, match=r"over the budget max_ops=20,000: 100,\d+ operations after .* s, at node 3 of 4 \(sin\)"
    ):
        Symbolic().program(record(f), [0])
    w = dk.symbol("W", (784, 256))
    with pytest.raises(ExceededError, match="200,704 partial derivatives would be over the budget max_ops=20,000"):
        Symbolic().program(record(dk.sum(w)), [0])
    with pytest.raises(ExceededError, match="elements of the inputs"):
        Symbolic().program(record(dk.sum(dk.symbol("X", (10**4, 100)) @ dk.symbol("v", (100,)))), [1])


def test_deriving_stops_at_the_budget_and_says_how_far_it_got():
    with pytest.raises(
        ExceededError, match=r"over the budget max_ops=500: \d+ operations after .* s, at partial derivative \d+ of 52"
    ):
        Symbolic(max_ops=500).program(record(network(3, 4)), range(4))


def test_seconds_are_kept_to_and_the_error_says_how_far_it_got():
    f = network(4, 5)
    with pytest.raises(
        ExceededError, match=r"over the budget seconds=0\.3: .* operations after .* s, at (node|partial deriv)"
    ):
        Symbolic(max_ops=10**6, seconds=0.3).program(record(f), range(len(f.variables)))


def test_deriving_that_will_take_too_long_stops_early(monkeypatch):
    x = dk.symbol("x", (100,))
    monkeypatch.setattr(Derivation, "_derivative", staticmethod(lambda f, x: (sleep(0.05), f.diff(x))[1]))
    with pytest.raises(ExceededError, match=r"about \d+ s for all would be over the budget seconds=1: .* of 100"):
        Symbolic(seconds=1).program(record(dk.sum(dk.sin(x))), [0])


def test_a_failure_is_found_once(monkeypatch):
    f = network(3, 3)
    wrt = range(len(f.variables))
    with pytest.raises(ExceededError) as first:
        Symbolic(max_ops=300).program(record(f), wrt)
    monkeypatch.setattr(symbolic, "within", lambda *_: pytest.fail("it is derived again"))
    for max_ops, seconds in ((300, 20.0), (200, 20.0), (300, 1.0)):
        with pytest.raises(ExceededError, match="found before; a larger max_ops tries again") as again:
            Symbolic(max_ops, seconds).program(record(network(3, 3)), wrt)
        assert str(again.value).startswith(str(first.value))
    monkeypatch.undo()
    with pytest.raises(ExceededError, match="max_ops=301") as again:
        Symbolic(max_ops=301).program(record(f), wrt)
    assert "found before" not in str(again.value)
    with pytest.raises(ExceededError, match="max_ops=100") as again:  # another question
        Symbolic(max_ops=100).program(record(f), [0, 1])
    assert "found before" not in str(again.value)


def test_a_long_chain_of_layers_is_quick_to_write_out():
    x = dk.symbol("x")
    for function in (dk.tanh, dk.sinh, dk.cosh):  # SymPy's own take time exponential in the length
        f = x
        for _ in range(40):
            f = function(0.3 * f)
        ours, theirs = (dk.grad(f, engine=e, machine="numpy")(x=0.4)["x"] for e in ("symbolic", "reverse"))
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)


# ---- loops --------------------------------------------------------------------------------------------------------
def double_loop(w, xs, inner=2):
    def step(c, x):
        h = dk.scan(lambda h, k: (dk.tanh(w * h + x * k), None), c, dk.as_expr(np.linspace(0.5, 1, inner)))[0]
        return h, h * x

    c, ys = dk.scan(step, dk.as_expr(0.1), xs)
    return c + dk.sum(ys)


def test_a_loop_in_a_loop():
    f = double_loop(dk.symbol("w"), dk.symbol("xs", (3,)))
    values = {"w": 0.7, "xs": np.array([0.5, -1.0, 2.0])}
    ours, theirs = (dk.grad(f, engine=e, machine="numpy")(values) for e in ("symbolic", "reverse"))
    for name in values:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-11)
    c = dk.compare(f, at=values, machine="numpy", timing=False)
    assert c.agree and c["symbolic"].outcome == "ok", str(c)


def test_loops_are_written_out_within_the_budget():
    w, xs = dk.symbol("w"), dk.symbol("xs", (30,))
    loop = (
        r"a loop of 30 steps of [\d,]+ operations would be over the budget max_ops=500: stopped at .* node \d+ of \d+ "
    )
    reversal = dk.grad(lambda w: dk.scan(lambda c, x: (dk.sin(w * c) + x, None), w, xs, checkpoints=2)[0])(w)
    for f, op in ((double_loop(w, xs, 10), "scan"), (reversal, "scan_adjoint")):
        with pytest.raises(ExceededError, match=loop + rf"\({op}\)"):
            Symbolic(max_ops=500).program(record(f), [0])
    f = dk.scan(lambda c, x: (dk.sin(w * c) + x, None), w, xs)[0]
    c = dk.compare(f, at={"w": 0.3, "xs": np.ones(30)}, wrt="w", machine="numpy", timing=False, budget={"max_ops": 70})
    assert c["symbolic"].outcome == "exceeded" and "a loop of 30 steps" in c["symbolic"].reason


def test_a_long_loop_without_a_budget_is_refused():
    x = dk.symbol("x")
    f = dk.scan(lambda c, _: (dk.scan(lambda h, _: (dk.sin(h), None), c, length=200)[0], None), x, length=200)[0]
    with pytest.raises(ExceededError, match="a loop of 200 steps of 202 instructions is too long"):
        f.to_sympy()


def test_indices_that_are_numbers_are_written_out():
    x = dk.symbol("x", (3, 2))
    f = RULES.gather(x * x, np.array([2, 0, -1]), axis=-2)
    ours, theirs = (
        dk.jacobian(f, engine=e, machine="numpy")(x=np.arange(6.0).reshape(3, 2))["x"] for e in ("symbolic", "reverse")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_time_for_cse_is_bounded_too(monkeypatch):
    import sympy

    def forever(*args, **kwargs):
        while True:
            pass

    monkeypatch.setattr(sympy, "cse", forever)
    s = sympy.Symbol("s")
    assert count([s**2 + 1], seconds=0.3) == {"tree": 2, "graph": 2, "cse": None}


def test_within_stops_what_does_not_end():
    def forever():
        while True:
            pass

    with pytest.raises(ExceededError, match=r"spinning took longer than 0\.2 seconds"):
        within(0.2, forever, "spinning")
    assert within(5, lambda: 7, "counting") == 7


def test_an_operation_without_a_form_is_named(unknown):
    a = dk.symbol("A", (2, 2))
    with pytest.raises(UnsupportedError, match="'largest_singular' cannot be written out in scalars"):
        dk.grad(dk.sum(unknown(a)), engine="symbolic")(A=np.eye(2))


# ---- comparing ----------------------------------------------------------------------------------------------------
def test_compare_counts_the_swell_of_arrays():
    f = network(2, 3)
    c = dk.compare(f, at=point(f), machine="numpy", timing=False)
    assert c.agree, str(c)
    swell = c["symbolic"].swell
    assert swell["f"]["tree"] == 74 and swell["derivative"]["tree"] > 9 * swell["derivative"]["cse"]
    assert "swell: 74 operations in f" in str(c)


def test_compare_reports_a_budget_used_up():
    f = network(2, 3)
    at = point(f)
    c = dk.compare(f, at=at, machine="numpy", timing=False, budget={"max_ops": 100})
    assert c["symbolic"].outcome == "exceeded" and "over the budget max_ops=100" in c["symbolic"].reason
    assert c.agree and c["reverse"].outcome == "ok" and c["symbolic"].swell is None
    assert "symbolic: " in str(c) and "symbolic: symbolic" not in str(c)
    with pytest.raises(ArgumentError, match="budget has no entry 'ops'"):
        dk.compare(f, at=at, budget={"ops": 1})


def test_compare_of_a_model_too_large_says_so_at_once():
    f = network(2, 100)
    c = dk.compare(f, at=point(f), machine="numpy", timing=False)
    assert not c.agree and c.outcome == "undecided"
    assert {c[n].outcome for n in c.columns} == {"exceeded"}
    assert c["reverse"].gradient["W0"].shape == (1, 100, 100)
    assert "not affordable" in c.point_reason[0] and "not affordable" in str(c)


def test_compare_without_a_truth_holds_engines_against_each_other(unknown):
    a = dk.symbol("A", (2, 2))
    at = {"A": np.outer([1.0, 2.0], [0.5, -1.0])}
    c = dk.compare(dk.sum(unknown(a)), at=at, machine="numpy", timing=False)
    assert c["symbolic"].outcome == "unsupported" and "largest_singular" in c["symbolic"].reason
    assert not c.agree and c.outcome == "undecided" and c.decided == 0
    assert c["reverse"].outcome == "ok" and "within the bars of forward" in c["reverse"].reason
    wrong = dk.compare(dk.sum(unknown(a)) + 0 * a[0, 0], at={"A": np.eye(2) + 0.3}, machine="numpy", timing=False)
    assert wrong.outcome == "mismatch"  # of a matrix of another rank the rules are wrong, and finite differences say so


#: what has no formula, by operation: how its reason begins
WITHOUT_A_FORM = {
    **dict.fromkeys(
        ("argmax", "argmin", "argsort", "sort", "searchsorted", "tied_mean"), "the result depends on how values compare"
    ),
    **dict.fromkeys(("eigh", "eigvalsh", "svd", "svdvals"), "roots of a polynomial"),
    "qr": "the signs of its columns",
    "pinv": "which singular values count as zeros",
}


@pytest.mark.parametrize("case", {c.op: c for c in reversed(array_cases())}.values(), ids=lambda c: c.op)
def test_compare_says_of_every_operation_why_not(case):
    """ok, *unsupported* with the reason for those above, *exceeded* with the budget and how far it got for any other."""
    f = case.build(*case.inputs("float64"))
    at = {f"x{k}": v for k, v in enumerate(case.values())}
    f = dk.sum(f * f)
    c = dk.compare(f, at={n: at[n] for n in f.variables}, engines=("symbolic",), machine="numpy", timing=False,
                   budget={"max_ops": 3000, "seconds": 2})  # fmt: skip
    found = c["symbolic"]
    if case.op in WITHOUT_A_FORM:
        assert found.outcome == "unsupported" and case.op in found.reason and WITHOUT_A_FORM[case.op] in found.reason
    elif found.outcome == "exceeded":
        assert "over the budget" in found.reason and " operations after " in found.reason and ", at " in found.reason
    else:
        assert found.outcome == "ok", found.reason


def test_compare_of_a_convolution_beyond_the_budget():
    x, w = dk.symbol("x", (1, 2, 4, 4)), dk.symbol("w", (2, 2, 3, 3))
    rng = np.random.default_rng(0)
    at = {"x": rng.normal(size=x.shape), "w": rng.normal(size=w.shape)}
    c = dk.compare(dk.sum(dk.conv2d(x, w)), at=at, wrt="w", machine="numpy", timing=False, budget={"max_ops": 200})
    assert c["symbolic"].outcome == "exceeded"
    assert "over the budget max_ops=200: " in c["symbolic"].reason and "(conv2d)" in c["symbolic"].reason
