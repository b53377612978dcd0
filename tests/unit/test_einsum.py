"""einsum: values beside NumPy's, derivatives beside JAX's, how it is computed, and what is refused."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product

import numpy as np
import pytest
from helpers import DTYPES, run

import diffkit as dk
from diffkit.expr.node import variable
from diffkit.tape import record

pytestmark = pytest.mark.filterwarnings("error")

#: subscripts and the lengths of the operands' axes
_SPECS = """
    i->i 3 | i-> 3 | i 3 | ij->ji 23 | ba 23 | ii 33 | ii->i 33 | iij->ji 223 | iji->j 232 | iii 222 | iijj->ij 2233
    | ijkj->ki 2323 | ... 23 | ...i->i... 234 | i...i 323 | , , | ,i ,3 | i,i 3,3 | i,i->i 3,3 | i,j 2,3 |
    i,j->ji 2,3 | i,j-> 2,3 | ij,j 23,3 | ij,jk 23,34 | ij,jk->ki 23,34 | ij,kj->ik 23,43 | ji,jk->ki 32,34 |
    ij,ij->ij 23,23 | ij,ij-> 23,23 | ij,ij->i 23,23 | ij,ji->j 23,32 | ij,j->ij 23,3 | ij,i->ji 23,2 |
    bij,bjk->bik 234,242 | bij,bkj->kib 234,224 | bij,jk->bik 234,42 | ij,bjk->bik 34,242 |
    bqhd,bkhd->bhqk 2324,2524 | bhqk,bkhd->bqhd 2235,2524 | bqd,dhk->bqhk 234,423 | bqhk,hkd->bqd 2323,234 |
    abcd,cdef->aebf 2232,3223 | abc,cba-> 234,432 | abc,cba->b 234,432 | iij,jk->ik 223,32 |
    ...ij,...jk->...ik 234,42 | ...ij,...jk->...ik 2134,342 | ...i,...i->... 23,13 | i...,i...->... 23,23 |
    ...,... 21,3 | ij...,jk...->ik... 232,341 | ij,jk,kl->il 23,34,42 | ij,jk,kl,li-> 23,34,42,22 | i,j,k->kji 2,3,4
    | i,ij,j 2,23,3 | bi,ijk,bj->bk 42,232,43 | i,i,i,i-> 3,3,3,3 | i,i,i->i 3,3,3 | ab,bc,cd,de->ea 22,23,32,23 |
    ijk,il,jm,kn->lmn 232,23,32,22 | ij,jk 21,34 | i,i->i 1,3 | bi,bj->ij 12,32 | ij,jk 03,32 | ij,jk 20,02 |
    zA,Ab 23,32
"""
SPECS = [
    (spec, [tuple(map(int, lengths)) for lengths in shapes.split(",")])
    for spec, shapes in map(str.split, _SPECS.split("|"))
]


def arrays(shapes, dtype="float64"):
    rng = np.random.default_rng(len(shapes))
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def traced(spec, shapes, dtype="float64"):
    inputs = [variable(f"x{k}", s, dtype) for k, s in enumerate(shapes)]
    return record(np.einsum(spec, *inputs), inputs)


specs = pytest.mark.parametrize(("spec", "shapes"), SPECS, ids=[f"{s}-{i}" for i, (s, _) in enumerate(SPECS)])


@pytest.mark.parametrize("dtype", DTYPES)
@specs
def test_values_as_numpy(spec, shapes, dtype):
    values = arrays(shapes, dtype)
    (found,) = run(traced(spec, shapes, dtype), *values)
    expected = np.einsum(spec, *(v.astype(float) for v in values))
    assert found.shape == expected.shape and found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-13 if dtype == "float64" else 2e-5))


@specs
def test_every_point_of_a_loop_has_its_own_value(spec, shapes):
    values = [np.stack([v, 2 * v, -v]) for v in arrays(shapes)]
    if len(values) > 1:
        values[-1] = values[-1][0]  # one operand is the same at all points
    (found,) = run(traced(spec, shapes), *values)
    for k in range(3):
        one = [v[k] if v.ndim > len(s) else v for v, s in zip(values, shapes, strict=True)]
        np.testing.assert_allclose(found[k], np.einsum(spec, *one), rtol=0, atol=1e-13)


@specs
def test_gradients_as_jax(spec, shapes):
    jax = pytest.importorskip("jax")
    values = arrays(shapes)
    lengths = {
        c: n
        for p, s in zip(spec.split("->")[0].split(","), shapes, strict=True)
        for c, n in zip(p, s, strict="." not in p)
        if n != 1
    }

    def stretch(x, part):  # JAX has no subscript of two sizes
        return x if "." in part else jax.numpy.broadcast_to(x, [lengths.get(c, 1) for c in part])

    def theirs(*x):
        parts = spec.split("->")[0].split(",")
        return jax.numpy.sum(jax.numpy.sin(jax.numpy.einsum(spec, *map(stretch, x, parts))))

    with jax.enable_x64(True):
        expected = jax.grad(theirs, argnums=tuple(range(len(shapes))))(*map(jax.numpy.asarray, values))
        expected = [np.asarray(e) for e in expected]
    for engine, machine in product(("reverse", "forward"), ("numpy", "cpu")):
        f = dk.grad(
            lambda *x: np.sum(np.sin(np.einsum(spec, *x))), tuple(range(len(shapes))), engine=engine, machine=machine
        )
        for found, e in zip(f(*values), expected, strict=True):
            assert found.shape == e.shape
            np.testing.assert_allclose(found, e, rtol=0, atol=1e-12)


def test_random_subscripts_as_numpy():
    """Letters, repeats, ellipses, lengths of 1 and results at random; what NumPy refuses is refused."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        size = {c: int(rng.integers(1, 4)) for c in "abcde"}
        dots = [int(n) for n in rng.integers(1, 4, rng.integers(0, 3))] if rng.random() < 0.4 else []
        parts, shapes = [], []
        for _ in range(rng.integers(1, 5)):
            part = [str(c) for c in rng.choice(list(size), rng.integers(0, 4), replace=bool(rng.random() < 0.3))]
            shape = [size[c] for c in part]
            if dots and rng.random() < 0.8:
                at, own = int(rng.integers(0, len(part) + 1)), dots[int(rng.integers(0, len(dots) + 1)) :]
                part.insert(at, "...")
                shape[at:at] = [n if rng.random() < 0.7 else 1 for n in own]
            parts.append("".join(part))
            shapes.append(tuple(shape))
        spec = ",".join(parts)
        if rng.random() < 0.7:
            used = sorted({c for p in parts for c in p if c != "."})
            kept = [str(c) for c in rng.permutation(used)[: rng.integers(0, len(used) + 1)]]
            kept.insert(int(rng.integers(0, len(kept) + 1)), "..." if "..." in spec and rng.random() < 0.9 else "")
            spec += "->" + "".join(kept)
        values = arrays(shapes)
        try:
            expected = np.einsum(spec, *values)
        except ValueError:
            refused += 1
            with pytest.raises(dk.ShapeError):
                traced(spec, shapes)
            continue
        (found,) = run(traced(spec, shapes), *values)
        assert found.shape == expected.shape, (spec, shapes)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=f"{spec} {shapes}")
    assert 0 < refused < 40


# ---- how it is computed -------------------------------------------------------------------------------------------
def operations(tape):
    return Counter(k.op.name for k in tape.kinds if k.op.family != "leaf")


@pytest.mark.parametrize(
    ("spec", "shapes", "expected"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)], {"matmul": 1}),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 2)], {"matmul": 1}),
        ("ij,kj->ik", [(2, 3), (4, 3)], {"matmul": 1, "transpose": 1}),
        ("ij,jk->ki", [(2, 3), (3, 4)], {"matmul": 1, "transpose": 2}),
        ("bij,jk->bik", [(2, 3, 4), (4, 2)], {"matmul": 1, "reshape": 2}),
        ("i,i->", [(5,), (5,)], {"matmul": 1, "reshape": 3}),
        ("ij,ij->i", [(2, 3), (2, 3)], {"multiply": 1, "sum": 1}),
        ("ij,j->ij", [(2, 3), (3,)], {"multiply": 1, "reshape": 1}),
        ("ij->ji", [(2, 3)], {"transpose": 1}),
        ("ij->i", [(2, 3)], {"sum": 1}),
    ],
)
def test_no_more_than_needed(spec, shapes, expected):
    assert operations(traced(spec, shapes)) == expected


@pytest.mark.parametrize(
    "spec", ["abcd,cdef->aebf", "bqhd,bkhd->bhqk", "bi,ijk,bj->bk", "ijk,il,jm,kn->lmn", "abc,cba->"]
)
def test_what_is_summed_is_summed_by_matrix_products(spec):
    shapes = next(s for text, s in SPECS if text == spec)
    found = operations(traced(spec, shapes))
    assert found["matmul"] and not found["sum"] and not found["broadcast_to"]


def test_the_order_of_products_is_the_cheap_one():
    """A chain through a narrow middle: (ij·jk) first would need 100·2·100 and 100·100·2 products, the other order fewer."""
    tape = traced("ij,jk,kl->il", [(2, 100), (100, 100), (100, 1)])
    assert max(np.prod(k.shape) for k in tape.kinds if k.op.name == "matmul") <= 100
    (value,) = run(traced("ij,jk,kl->il", [(2, 3), (3, 4), (4, 1)]), *(v := arrays([(2, 3), (3, 4), (4, 1)])))
    np.testing.assert_allclose(value, v[0] @ v[1] @ v[2], rtol=1e-13)


@pytest.mark.parametrize("optimize", [True, False, "greedy", "optimal", [(1, 2), (0, 1)], [(0, 1, 2)]])
def test_the_order_can_be_chosen(optimize):
    shapes = [(2, 3), (3, 4), (4, 2)]
    values, inputs = arrays(shapes), [variable(f"x{k}", s) for k, s in enumerate(shapes)]
    f = dk.einsum("ij,jk,kl->il", *inputs, optimize=optimize)
    np.testing.assert_allclose(run(record(f, inputs), *values)[0], values[0] @ values[1] @ values[2], rtol=1e-12)


def test_second_derivatives():
    x = arrays([(3, 2)])[0]

    def f(x):
        return np.einsum("ij,kj,ki->", x, np.sin(x), x @ x.T)

    h = dk.hessian(f, machine="numpy")(x)
    step, unit = 1e-6, np.eye(6).reshape(6, 3, 2)
    g = dk.grad(f, machine="numpy")
    shifted = np.array([(g(x + step * u) - g(x - step * u)) / (2 * step) for u in unit]).reshape(3, 2, 3, 2)
    np.testing.assert_allclose(h, shifted, atol=1e-7)
    np.testing.assert_allclose(h, h.transpose(2, 3, 0, 1), atol=1e-13)


# ---- how it is written --------------------------------------------------------------------------------------------
def test_lists_of_numbers_for_subscripts():
    a, b = arrays([(2, 3), (3, 4)])
    x, y = variable("x", (2, 3)), variable("y", (3, 4))
    for form in ((x, [0, 1], y, [1, 2], [2, 0]), (x, [0, 1], y, [1, 30]), (x, [Ellipsis, 1], y, [1, 2], [Ellipsis, 2])):
        numbers = [{id(x): a, id(y): b}.get(id(part), part) for part in form]
        np.testing.assert_allclose(run(record(dk.einsum(*form), [x, y]), a, b)[0], np.einsum(*numbers), rtol=1e-13)


def test_numbers_and_nested_lists_are_operands_too():
    x, a = variable("x", (3,)), arrays([(3, 2)])[0]
    value = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(run(record(np.einsum("i,ij->j", x, a), [x]), value)[0], value @ a)
    np.testing.assert_allclose(run(record(dk.einsum("i , ij -> j", [x[0], 2.0, x[2]], a), [x]), value)[0], value @ a)
    np.testing.assert_allclose(run(record(np.einsum(",i", 2.0, x), [x]), value)[0], 2 * value)
    np.testing.assert_array_equal(dk.einsum("ij->ji", a), a.T)  # NumPy itself


# ---- what is refused ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "shapes", "words"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], "'ij,jk->ik': the subscript 'j' has the sizes 3 and 4 in core shapes (2, 3), (4, 5)"),
        ("ii", [(2, 3)], "the subscript 'i' has the sizes 2 and 3"),
        ("ii->i", [(1, 3)], "the subscript 'i' has the sizes 1 and 3"),
        ("...i,...i", [(2, 3), (4, 3)], "'...1' has the sizes 2 and 4"),
        ("ij", [(2,)], "the subscripts 'ij' do not fit core shape (2,) of 1 axes"),
        ("i", [(2, 3)], "the subscripts 'i' do not fit core shape (2, 3) of 2 axes"),
        ("i,j", [(2,)], "names 2 operands, 1 are given"),
        ("i->j", [(2,)], "the subscript 'j' of the result is in no operand"),
        ("i->ii", [(2,)], "the subscript 'i' occurs twice in the result"),
        ("i...->i", [(2, 3)], "the result must say ..."),
        ("i.j", [(2, 3)], "'.' is not a subscript"),
        ("i1", [(2, 3)], "'1' is not a subscript"),
    ],
)  # fmt: skip
def test_subscripts_that_do_not_fit(spec, shapes, words):
    with pytest.raises(dk.ShapeError, match=re.escape(words)):
        traced(spec, shapes)


def test_arguments_that_mean_nothing():
    x = variable("x", (2, 3))
    with pytest.raises(dk.UnsupportedError, match="'out'"):
        dk.einsum("ij->ji", x, out=np.ones((3, 2)))
    with pytest.raises(dk.UnsupportedError, match="'dtype'"):
        np.einsum("ij->ji", x, dtype="float32")
    with pytest.raises(dk.UnsupportedError, match="optimize='best'"):
        np.einsum("ij,jk,kl", x, np.ones((3, 2)), np.ones((2, 2)), optimize="best")
    with pytest.raises(dk.ShapeError, match="numbers below 52"):
        dk.einsum(x, [0, 99])
