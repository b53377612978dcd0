"""The reverse engine's own: rules that are copied, a sweep for each output element, and the cost of building."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from helpers import NUMPY, run

import diffkit as dk
from diffkit.engines import engine, reverse
from diffkit.engines.engine import derivative_tape
from diffkit.expr.node import Expr, constant, variable
from diffkit.ops import TABLE
from diffkit.tape import Builder, Tape, record
from diffkit.tape.lower import lower

pytestmark = pytest.mark.filterwarnings("error")

x, y = dk.symbols("x y")
REVERSE = engine("reverse")


def chain(step, n: int, start: Expr = x) -> Expr:
    z = start
    for k in range(n):
        z = step(z, k)
    return z


def same(a: Tape, b: Tape) -> bool:
    return (list(a.kinds), list(a.args), a.inputs, a.outputs) == (list(b.kinds), list(b.args), b.inputs, b.outputs)


# ---- rules are copied ---------------------------------------------------------------------------------------------
_v, _s, _i = variable("v", (3,)), variable("s", (), "float32"), variable("i", (), "int64")
_A = np.random.default_rng(0).normal(size=(3, 3))
STEPS = {
    "smooth": (lambda z, k: np.sin(z) + y * z, x),
    "the same operand twice": (lambda z, k: z * z - z / (z + 2), x),
    "constants": (lambda z, k: dk.cos(z * 1.5) + 0.25 - z * 0.0 - 1.0 * z / -1.0, x),
    "another constant each time": (lambda z, k: dk.sin(z * (k + 0.5)) / (k + 2), x),
    "conditions": (lambda z, k: dk.where(z > y, z * y, dk.sin(z) + y) * dk.where(z < 2, dk.sqrt(z), 1.0), x),
    "conditions in arrays": (lambda z, k: dk.where(z > y, z * y, dk.sin(z) + dk.sum(z)), _v),
    "choices": (lambda z, k: dk.clip(dk.maximum(z * y, y), -3, 3) - dk.abs(z), x),
    "reciprocals": (lambda z, k: dk.reciprocal(z + y) * dk.reciprocal(y) * z, x),
    "negations": (lambda z, k: -(-z * -y) - (-z), x),
    "powers": (lambda z, k: (z**2 + y) ** 0.5 + z**y, x),
    "arrays": (lambda z, k: dk.tanh(_A @ z + _v * y).reshape(3, 1)[:, 0] * _v, _v),
    "movements": (lambda z, k: dk.stack([z[k % 3], z[1] * y, dk.sum(z)]), _v),
    "single precision": (lambda z, k: dk.sin(z) * 0.5 + z * x, _s),
    "integers": (lambda z, k: dk.sin(z) * _i + dk.where(_i > 2, z, _i), x),
    "sums of squares": (lambda z, k: z + (dk.sin(x * k) * y - 0.25 * k) ** 2, constant(0.0)),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("policy", ["default", "left", "nan"])
def test_a_copied_rule_writes_what_the_rule_writes(name, policy, monkeypatch):
    step, start = STEPS[name]
    f = chain(step, 12, start)
    tape = record(f if f.shape == () else dk.sum(f))
    wrt = [k for k, i in enumerate(tape.inputs) if tape.kinds[i].dtype != "int64"]
    made = []
    with dk.kinks(policy):
        for patience in (0, 3, 10**9):
            monkeypatch.setattr(reverse, "PATIENCE", patience)
            made.append((REVERSE.program(tape, wrt).tape, reverse.adjoint_tape(tape, wrt)))
    for program, product in made[1:]:
        assert same(program, made[0][0]) and same(product, made[0][1])


def test_an_operand_that_is_a_reciprocal_is_divided_by():
    tape = dk.tape(chain(lambda z, k: dk.sin(z) * dk.reciprocal(y + k), 20), "x", engine="reverse")
    assert (
        tape.counts()["div"] == 2 * 20 and tape.counts()["mul"] == 2 * 20
    )  # no product with a reciprocal is left in the sweep


# ---- writing ------------------------------------------------------------------------------------------------------
def test_again_is_emit_with_the_kinds_operation_and_parameters():
    builder = Builder()
    a, b = builder.input("a", (2,), "float64"), builder.input("b", (), "float32")
    scalar = (x**3).kind  # of a scalar; the same is done to an array here
    cubed = builder.again(scalar, (a,))
    assert builder.kinds[cubed].shape == (2,) and builder.kinds[cubed].kwargs == {"p": 3.0}
    assert builder.emit(TABLE["pow"], (("p", 3.0),), (a,)) == cubed == builder.again(scalar, (a,))
    total = builder.again(TABLE["add"], (cubed, b))
    assert builder.kinds[total].dtype == "float64" and builder.kinds[builder.args[total][1]].op.name == "cast"
    assert builder.emit(TABLE["add"], (), (cubed, b)) == total


def test_only_what_is_needed_is_kept_and_in_order():
    builder = Builder()
    a, b = builder.input("a", (), "float64"), builder.input("b", (), "float64")
    sin, add = TABLE["sin"], TABLE["add"]
    chain_of_waste = builder.emit(sin, (), (builder.emit(sin, (), (builder.number(7.5, "float64"),)),))
    s = builder.emit(sin, (), (a,))
    builder.emit(add, (), (s, builder.emit(TABLE["cos"], (), (s,))))
    c = builder.input("c", (), "float64")
    out = builder.emit(add, (), (s, c))
    made = builder.finish((b, a, c), (out, s))
    assert [k.kwargs.get("name", k.op.name) for k in made.kinds] == ["b", "a", "c", "sin", "add"]
    assert made.inputs == (0, 1, 2) and made.outputs == (4, 3) and list(made.args) == [(), (), (), (1,), (3, 2)]
    assert chain_of_waste < len(builder.kinds) and len(builder.finish((a,), (a, s)).kinds) == 2


def test_a_builder_goes_on_after_its_tape_is_finished():
    builder = Builder.copy_of(record(dk.sin(x)))
    first = builder.finish((0,), (1,))
    builder.emit(TABLE["cos"], (), (1,))
    assert len(first) == 1 and len(first.args) == 2


# ---- a sweep for each output element ------------------------------------------------------------------------------
PARAMETERS = dk.symbols(" ".join(f"p{k}" for k in range(15)))


def camera() -> list[Expr]:
    p = PARAMETERS
    X, Y, Z = (p[j] + dk.sin(p[3 + j]) * p[6 + j] + 2 for j in range(3))
    r = (X / Z) ** 2 + (Y / Z) ** 2
    distortion = 1 + p[9] * r + p[10] * r**2
    return [p[11] * distortion * X / Z + p[12], p[11] * distortion * Y / Z + p[13] * p[14]]


def test_two_outputs_are_as_long_as_two_gradients_that_share_their_parts():
    u, v = camera()
    gradients = [len(dk.tape(e, engine="reverse")) for e in (u, v)]
    both = len(dk.tape(dk.stack([u, v]), engine="reverse"))
    assert both <= sum(gradients) - len(record(u)) // 2 + 15  # one movement a block
    assert all(
        "scatter" not in k.op.name and "getitem" not in k.op.name
        for k in dk.tape(dk.stack([u, v]), engine="reverse").kinds
    )


def test_rows_are_the_gradients():
    u, v = camera()
    at = {p.name: np.random.default_rng(k).uniform(0.5, 1, 7) for k, p in enumerate(PARAMETERS)}
    jacobian = dk.jacobian(dk.stack([u, v]))(at)
    for k, e in enumerate((u, v)):
        gradient = dk.grad(e)({n: at[n] for n in e.variables})
        for name in at:
            np.testing.assert_array_equal(jacobian[name][:, k], gradient.get(name, np.zeros(7)))


W = dk.symbol("W", (2, 3))
OUTPUTS = {
    "array": dk.tanh(W @ np.ones(3)),
    "matrix": np.exp(W),
    "movements": dk.concatenate([W[0] * W[1], dk.tanh(W @ np.ones(3))]).reshape((5, 1))[::-1],
    "an input": W.T,
    "a constant row": dk.stack([dk.sum(W), 3.0]),
    "one element of a larger array": dk.exp(W)[1:, ::2],
    "the same row twice": dk.stack([dk.sum(W)] * 2),
    "one element": dk.sum(W).reshape((1, 1)),
    "stretched": np.broadcast_to(dk.sum(W * W), (2, 2)),
    "masked": dk.stack([dk.where(W[0, 0] > 0, dk.sqrt(W[0, 0]), 0.0), dk.log(W[0, 1])]),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_small_outputs_are_swept_one_by_one(name, monkeypatch):
    f = OUTPUTS[name]
    at = np.random.default_rng(1).uniform(0.5, 1, (4, 2, 3))
    program = REVERSE.program(record(f), [0])
    assert program.layout == "blocks"
    assert program.tape.kinds[program.tape.outputs[1]].shape == (*f.shape, 2, 3)
    _, ((block,),) = program.on(NUMPY)([at])
    np.testing.assert_allclose(block, dk.jacobian(f, engine="forward", machine="numpy")(W=at)["W"], rtol=1e-14)
    bars = program.bars(NUMPY, [at])[0][0]
    assert bars.shape == block.shape and np.isfinite(bars).all()
    # as an expression, and differentiated again
    assert [tuple(derivative_tape(program).kinds[o].shape) for o in derivative_tape(program).outputs] == [
        f.shape,
        block.shape[1:],
    ]
    monkeypatch.setattr(reverse.Reverse, "SWEEPS", 0)
    if f.size > 1:
        rows = REVERSE.program(record(f), [0])
        assert rows.layout == "seeded rows"
        np.testing.assert_allclose(rows.on(NUMPY)([at])[1][0][0], block, rtol=1e-15)


def test_a_jacobian_writes_into_given_arrays():
    f, at = OUTPUTS["movements"], np.random.default_rng(1).uniform(0.5, 1, (4, 2, 3))
    out = np.empty((4, 5, 1, 2, 3))
    dk.jacobian(f, wrt="W", machine="numpy")(W=at, out=out)
    np.testing.assert_array_equal(out, dk.jacobian(f, wrt="W", machine="numpy")(W=at))


def test_an_output_that_does_not_feel_an_infinite_slope_has_none():
    """The rows are separate sweeps: no zero meets the slope of the square root at 0."""
    jacobian = dk.jacobian(dk.stack([dk.sqrt(x), y * 2]), machine="numpy")(x=0.0, y=1.0)
    np.testing.assert_array_equal(jacobian["x"], [np.inf, 0])
    np.testing.assert_array_equal(jacobian["y"], [0, 2])


def test_large_outputs_and_long_tapes_keep_seeds():
    many = dk.stack([dk.sin(x * k) for k in range(reverse.Reverse.SWEEPS + 1)])
    assert REVERSE.program(record(many), [0]).layout == "seeded rows"
    f = dk.stack([chain(lambda z, k: dk.sin(z), 60_000), y])
    assert REVERSE.program(record(f), [0, 1]).layout == "seeded rows"


def test_several_outputs_of_a_function():
    def f(a, b):
        return a * b, dk.stack([a, b**2])

    found = dk.jacobian(f, argnums=(0, 1), machine="numpy")(2.0, 3.0)
    assert [[v.tolist() for v in row] for row in found] == [[3.0, 2.0], [[1.0, 0.0], [0.0, 6.0]]]


# ---- the cost of building -----------------------------------------------------------------------------------------
def calls(n: int) -> int:
    """How many functions are called, of Python and of C, to build the gradient of a chain of n steps."""
    count = 0

    def counting(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        lower(REVERSE.program(record(chain(STEPS["smooth"][0], n)), [0, 1]).tape)
    finally:
        sys.setprofile(None)
    return count


def test_building_costs_in_proportion_to_length():
    calls(100)
    small, large = calls(500), calls(5_000)
    assert large < 10.5 * small
    assert large < 40 * 9 * 5_000  # an instruction of the gradient takes a few calls


def test_the_gradient_of_a_long_chain_is_right():
    f = chain(STEPS["smooth"][0], 50)
    tape = dk.tape(f, engine="reverse")
    assert len(tape) == 9 * 50 - 4
    value, by_x, by_y = (v.item() for v in run(tape, 0.5, -0.9))
    h = 1e-6
    for slope, up, down in ((by_x, (0.5 + h, -0.9), (0.5 - h, -0.9)), (by_y, (0.5, -0.9 + h), (0.5, -0.9 - h))):
        difference = (run(record(f), *up)[0] - run(record(f), *down)[0]).item() / (2 * h)
        assert slope == pytest.approx(difference, rel=1e-6)
    assert value == run(record(f), 0.5, -0.9)[0].item()


def test_an_operation_that_is_replaced_brings_its_own_rule():
    for factor in (2.0, 3.0):
        dk.register_op("scaled_sine", lower=lambda o, a, c=factor: o.sin(a) * c, arity=1, replace=factor > 2)
        f = chain(lambda z, k: dk.scaled_sine(z) + y, 20)
        slope = run(dk.tape(f, "x", engine="reverse"), 0.1, 0.2)[-1].item()
        z, expected = 0.1, 1.0
        for _ in range(20):
            z, expected = factor * np.sin(z) + 0.2, expected * factor * np.cos(z)
        assert slope == pytest.approx(expected, rel=1e-12)
    TABLE.remove("scaled_sine")


MOVED = {
    "reversed": lambda x: np.sin(x[::-1]),
    "rolled": lambda x: np.log(dk.roll(x, 1) ** 2),
    "concatenated": lambda x: np.concatenate([x[3:], x[:3]]) ** 2,
    "transposed": lambda x: np.reshape(np.reshape(x, (2, 3)).T ** 2, (6,)),
    "gathered": lambda x: x[np.array([5, 0, 0, 2, 1, 3])] ** 3,
    "summed up to": lambda x: dk.cumsum(x),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_condition_goes_the_way_of_the_elements(name):
    """Which elements are alive follows the adjoint through what moves them."""
    x = np.array([0.7, -0.4, 1.3, -2.0, 0.2, -0.9])

    def f(x):
        return np.sum(np.where(x > 0, MOVED[name](x), 2.0))

    reverse, forward, finite = (dk.grad(f, engine=e)(x) for e in ("reverse", "forward", "finite"))
    np.testing.assert_allclose(reverse, forward, rtol=1e-13)
    np.testing.assert_allclose(reverse, finite, rtol=1e-6)


@pytest.mark.parametrize("machine", ["numpy", "cpu"])
@pytest.mark.parametrize(
    ("f", "x", "y"),
    [
        (lambda x, y: dk.sum(dk.where(y > 1, y, dk.sqrt(x - 1) * y)), (3,), (2, 3)),
        (lambda x, y: dk.sum(dk.where(y > 1, y, dk.sqrt(x - 1) * y)), (2, 3), (3,)),
        (lambda x, y: dk.sum(dk.where(y > 1, y, dk.sqrt(x - 1) + y)), (3, 1), (1, 2)),
        (lambda x, y: dk.sum(dk.where(y > 1, y, dk.sqrt(x - 1) * y)), (), (2, 3)),
    ],
)
def test_a_branch_not_taken_is_dead_element_by_element(f, x, y, machine):
    """Where the condition, the value and what it is made of have different shapes that broadcast."""
    at = np.full(x, 0.5), np.full(y, 2.0)
    if x[-1:] == (3,):  # the last column alone is taken
        at[0][..., -1], at[1][..., -1] = 2.0, 0.5
    reverse, forward = (dk.grad(f, argnums=(0, 1), engine=e, machine=machine)(*at) for e in ("reverse", "forward"))
    for a, b in zip(reverse, forward, strict=True):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=1e-15)


def test_what_is_dead_below_a_product_is_asked_of_choices_alone() -> None:
    """A layer whose units are off costs no look at whole weights; a branch not taken stays exactly zero below products."""
    w, x = dk.symbol("w", shape=(3, 4)), dk.symbol("x", shape=(2, 3))
    selects = lambda f: [k.shape for k in dk.tape(dk.sum(f), wrt="w").kinds if k.op.name == "where"]
    assert (3, 4) not in selects(dk.relu(x @ w)) and (2, 4) in selects(dk.relu(x @ w))
    assert (3, 4) in selects(dk.where(x @ w > 0, x @ w, 0.0))
    f = dk.sum(dk.where(w * 0 > 1, w @ dk.ones_like(w).T @ w, 0.0))
    slope = dk.grad(f, wrt="w")(w=np.full((3, 4), np.inf))
    np.testing.assert_array_equal(slope, 0.0)
