"""From a tape to the interpreter's code: registers, slots and pairs."""

import numpy as np
import pytest
from helpers import run

import diffkit as dk
from diffkit.machines import machine as find_machine
from diffkit.machines.cpu.emit import PAIRS, pair_name, primitives
from diffkit.machines.cpu.plan import CALL, Plan, plan
from diffkit.ops import TABLE
from diffkit.tape import Builder, Tape, record

CPU = find_machine("cpu")
OPERANDS = {p.symbol: len(p.operands) for p in primitives()}
x, y, z = dk.symbols("x y z")


def random_tape(seed: int, length: int = 60) -> Tape:
    rng, builder = np.random.default_rng(seed), Builder()
    values = [builder.input(n, (), "float64") for n in "abc"]
    for _ in range(length):
        op = TABLE[str(rng.choice(["add", "multiply", "sin", "maximum", "negative", "divide", "subtract"]))]
        values.append(builder.emit(op, (), tuple(int(rng.choice(values[-8:])) for _ in range(op.arity))))
    outputs = [*rng.choice(values, 3).tolist(), values[-1], values[0]]
    return builder.finish(values[:3], outputs)


def calls(made: Plan):
    """(symbol, destination, operands) of every call."""
    for opcode, symbol, dst, a, b, c, *_ in made.code.tolist():
        assert opcode == CALL
        name = made.symbols[symbol]
        yield name, dst, (a, b, c)[: OPERANDS[name]]


@pytest.mark.parametrize("seed", range(20))
def test_no_destination_is_an_operand(seed):
    """Neither is a value overwritten that is read later: the answers of the interpreter are those of NumPy."""
    tape = random_tape(seed)
    made = plan(tape)
    assert all(dst not in operands for _, dst, operands in calls(made))
    values = np.random.default_rng(seed).uniform(0.5, 2, (3, 50))
    for computed, expected in zip(run(tape, *values, machine=CPU), run(tape, *values), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-12)


def test_registers_are_used_again():
    f = x
    for _ in range(500):
        f = dk.sin(f)
    assert plan(record(f)).lane_bytes <= 8 * 8


def test_scalar_inputs_and_outputs_lie_in_the_callers_memory():
    made = plan(record([x * y, x, dk.sin(x)]))
    assert [p.at for p in made.inputs] == [-1, -2]
    assert [p.at for p in made.outputs] == [-3, -1, -4]
    assert made.slots == 4


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: pair_name(*p))
def test_every_pair_is_joined_and_keeps_both_roundings(pair):
    first, second, position = TABLE[pair[0]], TABLE[pair[1]], pair[2]
    builder = Builder()
    inputs = [builder.input(n, (), "float64") for n in "abc"]
    inner = builder.append(
        builder.kinds[builder.emit(first, (), tuple(inputs[: first.arity]))], tuple(inputs[: first.arity])
    )
    rest = inputs[first.arity : first.arity + second.arity - 1]
    args = (*rest[:position], inner, *rest[position:])
    outer = builder.append(builder.kinds[builder.emit(second, (), (inputs[0],) * second.arity)], args)
    tape = builder.finish(inputs, [outer])
    made = plan(tape)
    assert [name for name, *_ in calls(made)] == [f"{pair_name(*pair)}_d"]
    values = np.random.default_rng(0).standard_normal((3, 1000))
    np.testing.assert_array_equal(run(tape, *values, machine=CPU)[0], run(tape, *values)[0])
    np.testing.assert_array_equal(run(tape, *values[:, 0], machine=CPU)[0], run(tape, *values[:, 0])[0])


def test_a_value_that_is_used_twice_or_is_an_output_is_no_part_of_a_pair():
    for roots in ([x * y, x * y + z], [(x * y + z) * (x * y)]):
        names = [name for name, *_ in calls(plan(record(roots)))]
        assert "multiply_d" in names
