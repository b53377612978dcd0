"""Groups of elementwise instructions in array programs: equal bits, compiled when they pay, kept between processes."""

import numpy as np
import pytest
from helpers import same_bits_in_both_tiers
from test_arrays import CASES, Random, mlp, mlp_arguments

import diffkit as dk
from diffkit.engines.forward import tangent_tape
from diffkit.engines.reverse import adjoint_tape
from diffkit.machines.cpu import set_threads, set_tier
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cpu.arrays.compiling import groups
from diffkit.machines.cpu.arrays.compiling.fusion import Fusion, common
from diffkit.machines.cpu.arrays.opcodes import CALL, EACH, GROUP
from diffkit.machines.cpu.arrays.program import Host
from diffkit.tape import record


@pytest.fixture(autouse=True)
def _tiers():
    yield
    set_tier("auto")
    set_threads(None)


def same_bits(tape, values):
    executable = ArrayExecutable(tape)
    same_bits_in_both_tiers(executable, values)
    return executable


def opcodes(program):
    found = []
    for phase in program.phases:
        if not isinstance(phase, Host):
            pc = phase.begin
            while pc < phase.end:
                found.append(int(program.code[pc]))
                pc += int(program.code[pc + 1])
    return found


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    random = Random(seed, [7, 40, 300][seed % 3], ["float64", "float32"][seed % 2])
    pool = random.program(12)
    outputs = pool[-4:]
    same_bits(record(outputs, random.inputs, [f"o{k}" for k in range(4)]), random.values())
    total = dk.sum(dk.tanh(outputs[-1])) + dk.sum(dk.tanh(outputs[-2]))
    tape, one = record(total, random.inputs), np.array(1.0, random.dtype)
    same_bits(adjoint_tape(tape, range(len(random.inputs))), [*random.values(), one])
    same_bits(tangent_tape(tape, range(len(random.inputs))), [*random.values(), *random.values()])


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_with_loop_dims(seed):
    random = Random(seed, 9)
    tape = record(random.program(10)[-3:], random.inputs, ["a", "b", "c"])
    rng = np.random.default_rng(seed)
    same_bits(tape, [rng.standard_normal((*((70,) if rng.integers(2) else ()), *x.shape)) for x in random.inputs])


@pytest.mark.slow
@CASES
@pytest.mark.parametrize("loop", [(), (37,)], ids=str)
def test_derivatives_of_every_operation(case, loop):
    tape, values = case.tape(), case.values("float64", loop)
    wrt = [k for k, v in enumerate(values) if v.dtype.kind == "f"]
    result = tape.kinds[tape.outputs[0]]
    if wrt and result.dtype == "float64":
        same_bits(adjoint_tape(tape, wrt), [*values, np.ones((*loop, *result.shape))])


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 31, 33, 100, 2049])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tails(n, dtype):
    x, y, s = dk.symbol("x", (n,), dtype), dk.symbol("y", (3, n), dtype), dk.symbol("s", (), dtype)
    f = dk.where(y * s > x, dk.exp(x) * y + s, dk.sin(y) - s) / (1 + dk.square(x))
    rng = np.random.default_rng(n)
    values = [rng.standard_normal(k.shape).astype(dtype) for k in (x, y, s)]
    same_bits(record(f, [x, y, s]), values)
    same_bits(record(f, [x, y, s]), [np.stack([v] * 5) for v in values])


def chain(n=5000):
    x, y = dk.symbol("x", (n,)), dk.symbol("y", (n,))
    f = dk.sum(dk.exp(-dk.abs(x)) * y + dk.square(x - y) / (1 + x * x))
    return record(f, [x, y]), [np.linspace(-2, 3, n), np.linspace(0, 1, n)]


def test_a_chain_becomes_one_instruction():
    tape, values = chain()
    executable = same_bits(tape, values)
    program = executable.point().program
    assert sum(o in (CALL, EACH) for o in opcodes(program)) >= 8
    assert [o for o in opcodes(Fusion(program).program) if o in (CALL, EACH, GROUP)] == [GROUP]
    (body,) = Fusion(program).bodies
    assert len(body.stores) == 1 and sum(p.read for p in body.pointers) <= 4


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_at_any_thread_count(dtype):
    arguments = mlp_arguments(3000, dtype=dtype)
    results = []
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        for threads in (1, 2, 3):
            set_threads(threads)
            results.append(dk.value_and_grad(mlp)(*arguments))
    for value, gradient in results[1:]:
        assert value == results[0][0]
        for k, g in gradient.items():
            np.testing.assert_array_equal(g, results[0][1][k])


def optimizer(n=400):
    """A step of Adam's, and what depends on it: work on whole arrays, in parts."""
    w, g, m, v = (dk.symbol(k, (n, n)) for k in "wgmv")
    m1, v1 = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return record([w - 0.01 * m1 / (dk.sqrt(v1) + 1e-8), m1, v1], [w, g, m, v], ["w", "m", "v"])


def test_parts_of_whole_arrays_are_joined():
    tape = optimizer()
    rng = np.random.default_rng(0)
    program = same_bits(tape, [rng.uniform(size=(400, 400)) for _ in range(4)]).point().program
    fused = Fusion(program).program
    assert len(program.phases) > 5 and len(fused.phases) == 1 and len(fused.phases[0].parts) > 1
    assert set(opcodes(fused)) == {GROUP}


def test_parts_that_read_what_others_write_are_not():
    n = 400
    x, y = dk.symbol("x", (n, n)), dk.symbol("y", (n, n))
    z = dk.sin(x) * y
    u = dk.exp(dk.transpose(z)) + z[::-1]
    tape = record([u * z, dk.sum(u, axis=0) + z, dk.square(u[:, :200] + z[200:].T)], [x, y], ["a", "b", "c"])
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((n, n)) for _ in range(2)]
    for threads in (1, 2):
        set_threads(threads)
        same_bits(tape, values)


@pytest.mark.parametrize("limit", ["MOST_STEPS", "MOST_POINTERS"])
def test_values_that_another_group_reads_are_written(limit, monkeypatch):
    monkeypatch.setattr(f"diffkit.machines.cpu.arrays.compiling.fusion.{limit}", 4)
    rng = np.random.default_rng(0)
    same_bits(optimizer(), [rng.uniform(size=(400, 400)) for _ in range(4)])
    tape, values = chain(3001)
    same_bits(tape, values)


def test_loops_that_two_have_in_common():
    assert common((6,), (2, 3)) == (2, 3)
    assert common((4, 6), (2, 12)) == (2, 2, 6)
    assert common((2, 3), (3, 2)) is None
    assert common((), (2,)) is None


def test_kernels_are_kept_between_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path))
    tape, values = chain(777)
    set_tier("fused")
    first = ArrayExecutable(tape)(values)
    assert list(tmp_path.glob("groups-*.o"))
    monkeypatch.setattr("diffkit.machines.cpu.arrays.compiling.tiers.compile_groups", None)
    second = ArrayExecutable(tape)(values)
    assert first[0].tobytes() == second[0].tobytes()


def test_they_are_compiled_in_the_background_once_they_pay(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path))
    tape, values = chain(778)
    executable = ArrayExecutable(tape)
    executable(values)
    ready = executable.point()
    assert ready._tiers.fused() is None and not ready._tiers._sought
    ready._tiers.spent = 100.0
    assert ready._tiers.fused() is None
    ready._tiers._sought["groups"][1]._ordered.future.result()
    assert ready._tiers.fused() is not None
    set_tier("interpreted")
    assert ready._tiers.fused() is None


def test_a_registered_kernel_is_left_to_the_interpreter():
    assert groups.is_known("exp_d") and not groups.is_known("nothing.1234_d")


def scanned(checkpoints=None, n=40, h=5):
    def cell(p, state, x):
        a, c = state
        f, i, o = (dk.sigmoid(v * p[k] + p[k + 3]) for k, v in enumerate((x, a, x)))
        c = c * f + i * dk.tanh(a * p[6])
        return (dk.tanh(c) * o, c), dk.sum(c * x)

    def loss(p, xs):
        start = (np.zeros(h), np.zeros(h))
        return dk.sum(dk.scan(lambda s, x: cell(p, s, x), start, xs, checkpoints=checkpoints)[1])

    rng = np.random.default_rng(0)
    return loss, (rng.standard_normal((7, h)), rng.standard_normal((n, h)))


@pytest.mark.parametrize("checkpoints", [None, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bodies_of_loops(checkpoints, dtype):
    loss, arguments = scanned(checkpoints)
    found = []
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        value, gradient = dk.value_and_grad(loss)(*(a.astype(dtype) for a in arguments))
        found.append((value.tobytes(), gradient.tobytes()))
    assert found[0] == found[1]


def test_a_loop_within_a_loop():
    def loss(c):
        inner = lambda c: dk.scan(lambda s, _: (dk.sin(s) * 1.1 + s * s * 0.1, None), c, None, length=4)[0]
        return dk.sum(dk.scan(lambda s, _: (inner(s) * 0.9 + dk.cos(s), None), c, None, length=6)[0])

    found = []
    for tier in ("interpreted", "fused"):
        set_tier(tier)
        found.append(dk.grad(loss)(np.linspace(0, 1, 7)).tobytes())
    assert found[0] == found[1]
