"""Trace tables and derivations: the lecture's worked example number by number (LECTURES.md, A5), and each rule by name."""

from __future__ import annotations

import numpy as np
import pytest

import diffkit as dk
from diffkit.explain import explain, trace_table

WORKED = "(exp(x1/x2) + x1/x2) * (x1/x2 - log(x2))"
POINT = {"x1": 0.5, "x2": 1.0}
#: node -> value, tangent for x1, tangent for x2, adjoint
E = np.exp(0.5)
NODES = {
    "v1": (0.5, 1.0, -0.5, 0.5 * E + 0.5 + E + 0.5),
    "v2": (E, E, -0.5 * E, 0.5),
    "v3": (E + 0.5, E + 1, -0.5 * E - 0.5, 0.5),
    "v4": (0.0, 0.0, 1.0, -E - 0.5),
    "v5": (0.5, 1.0, -1.5, E + 0.5),
    "f": (0.5 * E + 0.25, 3.4730819060501923, -3.885262223725224, 1.0),
}
#: as LECTURES.md prints them
PRINTED = {
    "v1": ("0.5", "1", "3.47308"), "v2": ("1.64872", "1.64872", "0.5"), "v3": ("2.14872", "2.64872", "0.5"),
    "v4": ("0", "0", "-2.14872"), "v5": ("0.5", "1", "2.14872"), "f": ("1.07436", "3.47308", "1"),
}  # fmt: skip
EXPRESSIONS = {"v1": "x1 / x2", "v2": "exp(v1)", "v3": "v2 + v1", "v4": "log(x2)", "v5": "v1 - v4", "f": "v3 * v5"}


@pytest.fixture(scope="module")
def forward():
    return trace_table(WORKED, POINT)


@pytest.fixture(scope="module")
def reverse():
    return trace_table(WORKED, (0.5, 1), mode="reverse")


@pytest.mark.parametrize("name", NODES)
def test_worked_example_forward(forward, name):
    value, by_x1, by_x2, _ = NODES[name]
    row = forward[name]
    assert row.expression == EXPRESSIONS[name]
    assert row.value == pytest.approx(value, abs=1e-15)
    assert row.derivatives["x1"] == pytest.approx(by_x1, abs=1e-14)
    assert row.derivatives["x2"] == pytest.approx(by_x2, abs=1e-14)


@pytest.mark.parametrize("name", NODES)
def test_worked_example_reverse(reverse, name):
    row = reverse[name]
    assert row.value == pytest.approx(NODES[name][0], abs=1e-15)
    assert row.derivatives["f"] == pytest.approx(NODES[name][3], abs=1e-14)


def test_worked_example_has_these_nodes_in_this_order(forward, reverse):
    assert (
        [r.name for r in forward.rows]
        == [r.name for r in reverse.rows]
        == ["x1", "x2", "v1", "v2", "v3", "v4", "v5", "f"]
    )


def test_worked_example_gradient(forward, reverse):
    for table in (forward, reverse):
        assert table.gradient["x1"] == pytest.approx(3.4730819060501923)
        assert table.gradient["x2"] == pytest.approx(-3.885262223725224)
    assert forward["x1"].derivatives == {"x1": 1.0, "x2": 0.0}


def test_worked_example_as_printed(forward, reverse):
    for name, (value, tangent, adjoint) in PRINTED.items():
        cells = _line(str(forward).split("∂/∂x2")[1], name)
        assert value in cells and tangent in cells
        assert adjoint in _line(str(reverse).split("Adjoints, from")[1], name)
    assert "3.47308" in _line(str(reverse), "∂f/∂x1") and "-3.88526" in _line(str(reverse), "∂f/∂x2")


def test_worked_example_rules(forward, reverse):
    rules = [
        "v̇1 = ẋ1/x2 - v1*ẋ2/x2",
        "v̇2 = v2*v̇1",
        "v̇3 = v̇2 + v̇1",
        "v̇4 = ẋ2/x2",
        "v̇5 = v̇1 - v̇4",
        "ḟ = v5*v̇3 + v3*v̇5",
    ]
    assert [r.rule for r in forward.rows[2:]] == rules
    rules = {
        "f": "f̄ = 1",
        "v5": "v̄5 = f̄*v3",
        "v4": "v̄4 = -v̄5",
        "v3": "v̄3 = f̄*v5",
        "v2": "v̄2 = v̄3",
        "v1": "v̄1 = v̄2*v2 + v̄3 + v̄5",
    }
    assert {n: reverse[n].rule for n in rules} == rules
    assert reverse["x2"].rule == "x̄2 = v̄4/x2 - v̄1*v1/x2"


def _line(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


def test_one_variable_only():
    table = trace_table(WORKED, POINT, wrt="x1")
    assert table.columns == ["x1"] and table["v4"].derivatives == {"x1": 0.0}
    adjoints = str(trace_table(WORKED, POINT, mode="reverse", wrt="x2"))
    assert "∂f/∂x2" in adjoints and "∂f/∂x1" not in adjoints


def test_terminal_table_fits(forward, reverse, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, str(forward).splitlines()[1:])) <= 80 + 20  # accents have no width
    for form in (forward.to_markdown(), reverse.to_markdown(), forward._repr_html_(), reverse._repr_html_()):
        assert "3.47308" in form
    assert r"\dot{v}_{1} = \frac{\dot{x}_{1}}{x_{2}} - \frac{v_{1} \, \dot{x}_{2}}{x_{2}}" in forward.to_latex()
    assert r"\frac{\partial f}{\partial x_{2}}" in reverse.to_latex()


# ---- other tables ---------------------------------------------------------------------------------------------------
def test_selections():
    table = trace_table("where(x > 0, maximum(x, y), abs(y)) + 2*pi", (1.0, 2.0))
    assert table["v1"].expression == "x > 0" and table["v1"].derivatives == {} and bool(table["v1"].value)
    assert table["v2"].rule == "v̇2 = step(x, y, at=0.5)*ẋ + (1 - step(x, y, at=0.5))*ẏ"
    assert table["v3"].rule == "v̇3 = sign(y)*ẏ"
    assert table["v4"].rule == "v̇4 = where(v1, v̇2, v̇3)"
    assert table["v5"].expression == "2 * pi" and table["v5"].rule == ""
    assert table.gradient == {"x": 0.0, "y": 1.0}
    reverse = trace_table("where(x > 0, maximum(x, y), abs(y)) + 2*pi", (1.0, 2.0), mode="reverse")
    assert reverse.gradient == {"x": 0.0, "y": 1.0} and reverse["v3"].derivatives == {"f": 0.0}
    assert reverse["v5"].derivatives == {}  # a constant has no adjoint


def test_arrays():
    x, w = dk.symbol("x", (2,)), dk.symbol("w", (2,))
    f = dk.sum(x * w) ** 2
    at = {"x": np.array([1.0, 2.0]), "w": np.array([3.0, 4.0])}
    forward = trace_table(f, at, wrt="x")
    assert forward.columns == ["x[0]", "x[1]"] and forward.gradient == {"x[0]": 66.0, "x[1]": 88.0}
    reverse = trace_table(f, at, mode="reverse")
    np.testing.assert_allclose(reverse.gradient["w"], [22.0, 44.0])
    assert "[22., 44.]" in str(reverse)


def test_plain_inputs_and_unusual_names():
    assert trace_table("x", (2.0,)).gradient == {"x": 1.0}
    assert trace_table("x", (2.0,), mode="reverse").gradient == {"x": 1.0}
    names = [r.name for r in trace_table("sin(f)*v1 + 1", (1.0, 2.0)).rows]
    assert names == ["f", "v1", "w1", "w2", "w3"]
    alpha = trace_table("exp(alpha)", (1.0,))
    assert r"\dot{f} = f \, \dot{\alpha}" in alpha.to_latex()


def test_every_elementwise_operation_has_rows():
    """Rules as shown, evaluated, are the numbers shown: for each operation of the table."""
    from diffkit.expr.functions import RULES
    from diffkit.ops import CAST, TABLE

    for op in TABLE.values():
        if op.family != "elementwise" or op is CAST or op.result == "bool":
            continue
        args = [dk.symbol("xyz"[k]) for k in range(op.arity)]
        if op.name == "where":
            args[0] = args[1] > 0.5
        f = RULES.primitive(op.name, *args)
        low = max([lo for lo, _ in op.intervals[:1]], default=-1)
        point = dict(zip(f.variables, (low + 0.7, 0.4, 0.9), strict=False))
        forward, reverse = (trace_table(f, point, mode=mode) for mode in ("forward", "reverse"))
        for name in f.variables:
            assert forward.gradient[name] == pytest.approx(reverse.gradient[name], rel=1e-12, abs=1e-300), op.name
        assert "…" not in forward["f"].rule and forward["f"].rule.startswith("ḟ = ")


def test_errors():
    with pytest.raises(dk.ArgumentError, match="no value for 'x2'"):
        trace_table(WORKED, {"x1": 1.0})
    with pytest.raises(dk.ArgumentError, match="one point"):
        trace_table("x", (np.ones(3),))
    with pytest.raises(dk.ArgumentError, match="no variable 'z'"):
        trace_table("x", (1.0,), wrt="z")
    with pytest.raises(dk.ArgumentError, match="no mode"):
        trace_table("x", (1.0,), mode="sideways")
    with pytest.raises(dk.ShapeError, match="reverse mode starts from one number"):
        trace_table(dk.symbol("x", (2,)) * 2, (np.ones(2),), mode="reverse")
    with pytest.raises(dk.ArgumentError, match="forward mode needs a column"):
        trace_table(dk.sum(dk.symbol("x", (20,))), (np.ones(20),))
    with pytest.raises(dk.ParseError):
        trace_table("x +", (1.0,))


# ---- derivations ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "rules", "last"),
    [
        ("x**2*sin(x)", ["power rule", "derivative of sin", "product rule"], "f' = v2*v1' + v1*v2'"),
        ("sin(x)/x", ["derivative of sin", "quotient rule"], "f' = v1'/x - f/x"),
        ("exp(sin(x))", ["derivative of sin", "derivative of exp, chain rule"], "f' = f*v1'"),
        ("sin(x)**3", ["derivative of sin", "power rule, chain rule"], "f' = 3*v1**2*v1'"),
        ("3*x + 1", ["constant factor rule", "sum rule"], "f' = v1'"),
        ("x**x", ["power with variable exponent"], None),
        ("-(x - x**2)", ["power rule", "difference rule", "constant factor rule"], "f' = -v2'"),
        ("where(x > 0, x, 2*x)", ["constant factor rule", "the branch taken"], "f' = where(v1, 1, v2')"),
    ],
)
def test_rules_by_name(text, rules, last):
    made = explain(text, "x")
    assert [s.rule for s in made.steps] == rules
    assert last is None or made.steps[-1].derivative == last
    assert made.result(dict.fromkeys(made.result.variables, 0.7)) == pytest.approx(dk.grad(text, wrt="x")(x=0.7))


def test_explanation_forms():
    made = dk.explain(WORKED, wrt="x1")
    assert [str(s.node) for s in made.steps] == [
        "v1 = x1 / x2",
        "v2 = exp(v1)",
        "v3 = v2 + v1",
        "v5 = v1 - v4",
        "f = v3 * v5",
    ]
    assert made.steps[1].formula == "(exp(u))' = exp(u)*u'"
    assert made.constants == ["v4 = log(x2)"]
    assert made.steps[1].derivative.latex == "v_{2}' = v_{2} \\, v_{1}'"
    assert "product rule" in str(made) and "df/dx1 = " in str(made)
    assert made.to_markdown() == made._repr_markdown_() and "$v_{1} = \\frac{x_{1}}{x_{2}}$" in made.to_markdown()
    assert made.to_latex().count(r"\[") == 2
    assert dk.parse(str(made.derivative))(**POINT) == pytest.approx(3.4730819060501923)


def test_kinks_and_conventions_are_named():
    made = explain("maximum(x, 0) + abs(x)")
    assert made.kinks == [
        "v1 = maximum(x, 0) switches where x = 0; the derivative there: a tie is shared evenly",
        "v2 = abs(x) switches where x = 0; the derivative there: 0 at x = 0",
    ]
    with dk.kinks("left"):
        assert 'dk.kinks("left") decides' in explain("abs(x)").kinks[0]


def test_explain_errors():
    with pytest.raises(dk.ArgumentError, match="needs a variable"):
        explain("x*y")
    with pytest.raises(dk.ArgumentError, match="no variable 'z'"):
        explain("x*y", "z")
    with pytest.raises(dk.ArgumentError, match="by a scalar"):
        explain(dk.sum(dk.symbol("x", (3,))))


def test_deep_expressions_do_not_recurse():
    x = dk.symbol("x")
    f = x
    for _ in range(3000):
        f = dk.sin(f)
    assert len(explain(f).steps) == 3000
    assert len(trace_table(f, (1.0,), mode="reverse").rows) == 3001
