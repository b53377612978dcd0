"""Kernels compiled for real, for GPUs of three generations, and assembled: what they need of a processor. No GPU takes part."""

import re
from functools import partial

import helpers
import pytest
from helpers import DTYPES, each
from helpers_cuda import small_array_cases

import diffkit as dk
from diffkit.engines import engine as find_engine
from diffkit.errors import UnavailableError
from diffkit.machines.cpu.plan import plan
from diffkit.machines.cuda.assembling import GENERATIONS, assembled, assembler, compiled, compiled_interpreter
from diffkit.machines.cuda.elementwise import points_each, written
from diffkit.report.corpus import Formula, read_corpus
from diffkit.tape import record

try:
    assembler()
except UnavailableError as missing:
    pytest.skip(f"kernels are not compiled here: {missing}", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::Warning:numba")

#: registers of a thread. With 128 a multiprocessor still has four warps for each of its schedulers; beyond 255 they are spilled
OPERATION_REGISTERS, FORMULA_REGISTERS = 128, 168

#: Black and Scholes' price of a call
P1 = (
    "S*0.5*(1 + erf((log(S/K) + (r + sigma*sigma/2)*T)/(sigma*sqrt(T))*0.7071067811865476))"
    " - K*exp(-r*T)*0.5*(1 + erf((log(S/K) + (r - sigma*sigma/2)*T)/(sigma*sqrt(T))*0.7071067811865476))"
)
FORMULAS = [f for f in read_corpus() if isinstance(f, Formula)]
CASES = helpers.cases()
#: by default every operation is compiled for one of these, in turn; the slow tests compile it for all
COMBINED = [(dtype, generation) for generation in GENERATIONS for dtype in DTYPES]

#: instructions that the assembler may join or make less exact: it leaves those with a rounding of their own alone
INEXACT = re.compile(r"\b(?:mul|mad|fma|div|sqrt)\.(?:f64|f32)\b|\.ftz\b|\.approx\b|\bdiv\.full\b")

in_each = partial(pytest.mark.parametrize, ids=lambda g: f"sm_{g[0]}{g[1]}")


def checked(ptx, generation):
    """What the assembler makes of it."""
    assert not INEXACT.findall(ptx)
    assert f".target sm_{generation[0]}{generation[1]}" in ptx
    return assembled(ptx, generation)


def check_operation(tape, generation):
    found = checked(compiled(plan(tape), generation), generation)
    assert (found.stack, found.spilled) == (0, 0)
    assert found.registers <= OPERATION_REGISTERS


def derived(case, dtype):
    """The tape of an operation's value and derivative; of its value alone, where it has none."""
    if not case.op.differentiable or case.op.detached:
        return case.tape(dtype)
    return find_engine("reverse").program(case.tape(dtype), case.numeric).tape


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[c.id for c in CASES])
def test_operation(number, case):
    dtype, generation = COMBINED[number % len(COMBINED)]
    check_operation(derived(case, dtype), generation)


@pytest.mark.slow
@in_each("generation", GENERATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@each(CASES)
def test_operation_everywhere(case, dtype, generation):
    check_operation(case.tape(dtype), generation)
    check_operation(derived(case, dtype), generation)


def check_formula(formula, generation):
    found = checked(compiled(plan(dk.tape(formula.text, engine="reverse")), generation), generation)
    assert (found.stack, found.spilled) == (0, 0)
    assert found.registers <= FORMULA_REGISTERS


@pytest.mark.parametrize("formula", FORMULAS[::40], ids=lambda f: f.name)
def test_formula(formula):
    check_formula(formula, GENERATIONS[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "formula"), list(enumerate(FORMULAS)), ids=[f.name for f in FORMULAS])
def test_formula_everywhere(number, formula):
    """For one of the generations in turn; benchmarks/gpu_registers.py compiles each for all."""
    check_formula(formula, GENERATIONS[number % len(GENERATIONS)])


@pytest.mark.slow
@pytest.mark.parametrize("case", small_array_cases(), ids=lambda c: c.id)
def test_array_operation(case):
    """Their elements are registers."""
    checked(compiled(plan(case.tape()), GENERATIONS[-1]), GENERATIONS[-1])


def test_uniform_inputs():
    tape = plan(dk.tape("x*y + z", engine="reverse"))
    for uniform in ([True, False, False], [True, True, True]):
        assert checked(compiled(tape, GENERATIONS[-1], uniform), GENERATIONS[-1]).spilled == 0


@pytest.mark.parametrize(
    ("text", "each"), [("x + 1", 4), ("exp(x)", 4), ("x*y + z", 2), (P1, 2), ("x*y*z*u*v*w*(x + 1)*s*t*r*q*p*o", 1)]
)
def test_points_that_a_thread_takes_at_a_time(text, each):
    """Few bytes in flight ask for more; what many points need of registers, and of time to compile, stays bounded."""
    tape = plan(dk.tape(text, engine="reverse"))
    uniform = [False] * len(tape.inputs)
    assert points_each(tape, uniform, len(written(tape, uniform, 1).lines)) == each
    found = checked(compiled(tape, GENERATIONS[-1]), GENERATIONS[-1])
    assert (found.stack, found.spilled) == (0, 0)
    assert found.registers <= OPERATION_REGISTERS


def test_one_value_of_everything_is_one_point():
    tape = plan(dk.tape("x*y", engine="reverse"))
    assert points_each(tape, [True, True], 10) == 1
    assert points_each(tape, [True, False], 10) == 4


def test_elements_are_found_without_looking_for_negative_indices():
    """Two instructions an array: of signed indices it would be five, and as many registers."""
    ptx = compiled(plan(dk.tape("x*y + z", engine="reverse")), GENERATIONS[-1])
    assert not re.findall(r"\bshr\.s64\b|\bdiv\.", ptx)


def test_conditions_and_integers():
    n, c, x = dk.symbol("n", dtype="int64"), dk.symbol("c", dtype="bool"), dk.symbol("x", dtype="float32")
    tape = plan(record(dk.where(c & (n > 2), x * n, -x), [n, c, x]))
    assert checked(compiled(tape, GENERATIONS[0]), GENERATIONS[0]).spilled == 0


@in_each("generation", GENERATIONS)
def test_interpreter(generation):
    tape = plan(dk.tape("sin(x)*exp(y) + where(x > y, x^y, 2)", engine="reverse"))
    found = checked(compiled_interpreter(tape, generation), generation)
    assert (found.stack, found.spilled) == (0, 0)
    assert found.registers <= OPERATION_REGISTERS


RULES = [
    (cls, flavor)
    for cls in (dk.optim.SGD, dk.optim.AdaGrad, dk.optim.AdaDelta, dk.optim.RMSProp, dk.optim.Adam, dk.optim.AdamW)
    for flavor in cls.flavors
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("cls", "flavor"), RULES, ids=[f"{c.__name__}-{f}" for c, f in RULES])
def test_steps_of_optimisers(cls, flavor, dtype):
    check_operation(cls(0.1, flavor=flavor).tape(dtype), GENERATIONS[-1])
