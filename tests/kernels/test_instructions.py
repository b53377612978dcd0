"""How array programs are cut into parts, and how the interpreter's functions are compiled and kept."""

import importlib.util

import pytest

import diffkit as dk
from diffkit.expr.node import variable
from diffkit.machines.cpu import shared
from diffkit.machines.cpu.arrays import ArrayExecutable
from diffkit.machines.cpu.arrays.interpreting.interpreter import FUNCTIONS_OF, table_for
from diffkit.machines.cpu.arrays.opcodes import ADD_UP, EXECUTE, FOLD, LANES, LOOP, PRODUCT, REDUCE, SUM, WHOLE
from diffkit.machines.cpu.arrays.planning.planner import plan_arrays
from diffkit.tape import record


def plan(f, *shapes, dtype="float64"):
    inputs = [variable(f"x{k}", shape, dtype) for k, shape in enumerate(shapes)]
    return plan_arrays(ArrayExecutable(record(f(*inputs), inputs)).tape, None)


def used(program):
    table = table_for(program, [])
    return {k for k in FUNCTIONS_OF if table[k]}


def test_what_an_operation_ends_in_is_shared_by_threads():
    """Of several instructions that an operation writes, the last work is in parts, and what comes before is done first."""
    program = plan(lambda x: dk.astype(x, "int64"), (600, 700), dtype="float32")
    first, last = program.phases
    assert first.parts is None and len(last.parts) > 1
    assert first.end == last.begin == last.parts[0][0] and last.end == last.parts[-1][1]


CUT = {
    "elementwise": lambda x: dk.tanh(x) + dk.transpose(dk.transpose(x)),
    "folded": lambda x: dk.sum(x, axis=0) + dk.max(dk.transpose(x), axis=1),
    "product": lambda x: x @ dk.transpose(x),
    "windows": lambda x: dk.grad(lambda y: dk.sum(dk.avg_pool2d(dk.reshape(y, (1, 1, 600, 700)), 3) ** 2))(x),
    "joined": lambda x: dk.concatenate([x, dk.tanh(x)], axis=1),
}


@pytest.mark.parametrize("name", CUT)
def test_parts_are_all_that_is_run_in_their_phase(name):
    program = plan(CUT[name], (600, 700))
    cut = [phase for phase in program.phases if phase.parts is not None]
    for phase in cut:
        ends = [phase.begin, *phase.parts[:, 1]]
        assert phase.parts[:, 0].tolist() == ends[:-1] and ends[-1] == phase.end
    assert cut
    assert [p.end for p in program.phases[:-1]] == [p.begin for p in program.phases[1:]]


def test_only_the_functions_that_a_program_needs_are_compiled():
    assert used(plan(lambda x: x * 2.0 + 1.0, (40,))) & {PRODUCT, REDUCE, SUM, LOOP, LANES} == set()
    assert {WHOLE, EXECUTE, PRODUCT} <= used(plan(lambda x, y: x @ y, (30, 40), (40, 20)))
    assert {REDUCE, SUM} <= used(plan(lambda x: dk.sum(x), (40,)))
    inner = lambda c, x: (dk.scan(lambda d, y: (d + dk.sum(y), None), c, x)[0], None)
    assert {LOOP, REDUCE} <= used(plan(lambda c, x: dk.scan(inner, c, x)[0], (3,), (4, 5, 6)))
    x = variable("x", (5000,))
    over_lanes = ArrayExecutable(record(dk.sum(dk.tanh(x)), [x])).point().program
    assert {LANES, ADD_UP} <= used(over_lanes) and FOLD in FUNCTIONS_OF


@pytest.fixture
def doubled(tmp_path):
    source = tmp_path / "doubled.py"
    source.write_text("def doubled(at, target):\n    return\n")
    spec = importlib.util.spec_from_file_location("doubled", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.doubled


def test_kept_code_is_not_used_when_what_it_was_made_of_has_changed(doubled, monkeypatch):
    hits = []
    for sources in ("one", "one", "another"):
        monkeypatch.setattr(shared, "_sources", lambda sources=sources: sources)
        hits.append(shared.Shared(doubled)._code.cache_hits)
    assert hits == [0, 1, 0]
