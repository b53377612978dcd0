"""Checkpoints: a run that was killed goes on with the same bits, and a file is whole or passed over."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffkit as dk
from diffkit.errors import ArgumentError, CheckpointError, DataError
from diffkit.optim.fitting import checkpoints
from diffkit.optim.fitting.checkpoints import read, write

SCRIPT = Path(__file__).with_name("run_killed.py")
X = np.random.default_rng(0).normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5]


def loss(params, batch):
    return np.mean((batch[0] @ params["w"] - batch[1]) ** 2)


def run(folder, params=None, data=(X, Y), loss=loss, **more):
    options = {
        "optimizer": dk.optim.Adam(0.1),
        "batch_size": 8,
        "steps": 12,
        "checkpoint": folder,
        "checkpoint_every": 2,
    }
    return dk.optim.fit(loss, params or {"w": np.zeros(3)}, data, **{**options, **more})


def names(folder):
    return sorted(p.name for p in Path(folder).iterdir())


# ---- going on -------------------------------------------------------------------------------------------------------
def results(path):
    with np.load(path) as found:
        return {k: found[k] for k in found.files}


def check_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "list"])
def test_killed_at_any_moment(tmp_path, kind):
    """Real processes, killed while they start, step, and write, again and again; the end has the bits of a run left alone."""
    environment = {**os.environ, "PYTHONPATH": str(Path(dk.__file__).parents[1])}
    command = lambda *args: [sys.executable, str(SCRIPT), *map(str, args), kind]
    subprocess.run(command("", tmp_path / "whole.npz"), check=True, env=environment)
    folder, moments, kills = tmp_path / "folder", random.Random(kind), 0
    folder.mkdir()
    while not (tmp_path / "parts.npz").exists():
        before = names(folder)
        process = subprocess.Popen(command(folder, tmp_path / "parts.npz"), env=environment)
        while process.poll() is None and names(folder) == before:  # it gets on in every life
            time.sleep(0.001)
        try:
            process.wait(timeout=moments.uniform(0, 0.3))
            assert process.returncode == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills
    check_same_bits(results(tmp_path / "whole.npz"), results(tmp_path / "parts.npz"))
    assert not [n for n in names(folder) if n.endswith(".part")]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("options", [
    {"epochs": 4, "steps": None, "validation": (X[:10], Y[:10]), "early_stopping": 2, "checkpoint_every": None},
    {"shuffle": "replacement", "validate_every": 3, "validation": (X[:10], Y[:10]), "optimizer": dk.optim.SGD(0.1, momentum=0.9)},
    {"data": [(X[k : k + 8], Y[k : k + 8]) for k in range(0, 40, 8)], "steps": 13, "checkpoint_every": 1},
    {"data": lambda step: (X[step : step + 5], Y[step : step + 5]), "checkpoint_every": 5},
    {"optimizer": dk.optim.LBFGS(), "batch_size": 40, "shuffle": False},
    {"accumulate": 3, "optimizer": dk.optim.SGD(dk.optim.schedules.plateau(0.1, patience=1)), "validate_every": 1,
     "validation": (X, Y)},
], ids=["epochs", "replacement", "list", "function", "lbfgs", "plateau"])  # fmt: skip
def test_stopped_at_every_step(tmp_path, options):
    """Interrupted between any two steps, and once in the middle of writing."""
    whole = run(None, **options)
    for at in range(1, whole.steps + 1):
        folder = tmp_path / str(at)

        def stop(r, at=at):
            if r.step == at:
                raise Killed

        with pytest.raises(Killed):
            run(folder, callbacks=stop, **options)
        parts = run(folder, **options)
        assert parts.params["w"].tobytes() == whole.params["w"].tobytes()
        assert parts.best_params["w"].tobytes() == whole.best_params["w"].tobytes()
        assert (parts.best_step, parts.steps, parts.epochs, parts.stopped) == (
            whole.best_step,
            whole.steps,
            whole.epochs,
            whole.stopped,
        )
        assert parts.history.keys() == whole.history.keys()
        for name in whole.history.keys() - {"seconds"}:
            assert parts.history[name].tobytes() == whole.history[name].tobytes(), (at, name)


def test_a_finished_run_is_not_repeated_and_can_be_extended(tmp_path):
    first = run(tmp_path)
    again = run(tmp_path, callbacks=lambda r: pytest.fail("a step was made"))
    assert again.params["w"].tobytes() == first.params["w"].tobytes()
    longer = run(tmp_path, steps=20)
    assert longer.params["w"].tobytes() == run(None, steps=20).params["w"].tobytes()


@pytest.mark.parametrize("steps", [5, 7, 10])
@pytest.mark.parametrize("kind", ["arrays", "list", "no length", "function"])
def test_more_steps_later_are_as_if_asked_for_at_first(tmp_path, kind, steps):
    chunks = [(X[k : k + 8], Y[k : k + 8]) for k in range(0, 40, 8)]

    class Loader:
        def __iter__(self):
            return iter(chunks)

    data = {"arrays": (X, Y), "list": chunks, "no length": Loader(), "function": lambda k: chunks[k * 2 % 5]}[kind]
    options = {"data": data, "validation": (X, Y), "checkpoint_every": None}
    run(tmp_path, steps=steps, **options)
    parts, whole = run(tmp_path, steps=12, **options), run(None, steps=12, **options)
    assert parts.history.keys() == whole.history.keys() and parts.epochs == whole.epochs
    for name in whole.history.keys() - {"seconds"}:
        assert parts.history[name].tobytes() == whole.history[name].tobytes(), name


def test_every_epoch_by_default_and_the_newest_are_kept(tmp_path):
    run(tmp_path, steps=None, epochs=4, checkpoint_every=None, keep=3)
    assert names(tmp_path) == [f"step-{k:010d}.checkpoint" for k in (10, 15, 20)]
    run(tmp_path / "few", keep=1)
    assert names(tmp_path / "few") == ["step-0000000012.checkpoint"]


def test_resume(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint in .* to go on from"):
        run(tmp_path, resume="must")
    run(tmp_path)
    afresh = run(tmp_path, steps=4, resume=False)
    assert afresh.steps == 4 and names(tmp_path) == [f"step-{k:010d}.checkpoint" for k in (2, 4)]
    assert run(tmp_path, resume="must").steps == 12


# ---- files that cannot be used --------------------------------------------------------------------------------------
@pytest.mark.parametrize("damage", [
    lambda b: b[: len(b) // 2], lambda b: b[:-1], lambda b: b"", lambda b: b[:10], lambda b: b"PK" + b[2:],
    lambda b: b[:300] + bytes([b[300] ^ 1]) + b[301:],
])  # fmt: skip
def test_a_damaged_checkpoint_is_passed_over(tmp_path, damage):
    whole = run(tmp_path)
    newest = sorted(tmp_path.iterdir())[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{newest.name} is passed over: (it|its) .*(short|not a checkpoint|changed)"):
        again = run(tmp_path)
    assert again.params["w"].tobytes() == whole.params["w"].tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path)  # written anew


def test_none_can_be_used(tmp_path):
    run(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"diffkit")
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="none of the 2 checkpoints in"):
        run(tmp_path)
    assert run(tmp_path, resume=False).steps == 12


@given(data=st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "one.checkpoint"
    arrays = {
        "a": np.arange(3.0),
        "empty": np.zeros((0, 2), np.float32),
        "scalar": np.float32(2),
        "t": np.eye(3)[:, ::2],
    }
    write(path, {"n": [1, float("inf"), None]}, arrays)
    meta, found = read(path)
    assert meta == {"n": [1, float("inf"), None]}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array) and found[name].flags.writeable
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(DataError):
        read(path)
    path.write_bytes(content[:at])
    with pytest.raises(DataError):
        read(path)


@pytest.mark.parametrize("first, other", [
    (dk.optim.SGD(lambda k: 0.1), dk.optim.SGD(lambda k: 0.01)),
    (dk.optim.SGD(lambda k: 0.1 / (1 + k)), dk.optim.SGD(lambda k: 0.1 / (1 + k // 2))),
    (dk.optim.SGD(0.1, weight_decay=lambda k: 0.0), dk.optim.SGD(0.1, weight_decay=lambda k: 1e-4)),
])  # fmt: skip
def test_another_schedule_without_a_name(tmp_path, first, other):
    run(tmp_path, optimizer=first, steps=4)
    with pytest.raises(CheckpointError, match="made with schedules="):
        run(tmp_path, optimizer=other)


def test_a_schedule_with_an_end(tmp_path):
    given = [0.1] * 12
    run(tmp_path, optimizer=dk.optim.SGD(lambda k: given[k]), steps=4)
    assert run(tmp_path, optimizer=dk.optim.SGD(lambda k: given[k])).steps == 12


def test_the_same_loss_has_the_same_digest_in_every_process():
    """Whatever was traced before it, and however Python hashes."""
    code = (
        "import numpy as np, diffkit as dk, sys\n"
        "from diffkit.optim.fitting.fingerprint import digest_of_tape\n"
        "from diffkit.optim.fitting.program import Loss\n"
        "c = np.arange(900.0).reshape(3, 300)\n"
        "def loss(p, b, rng=None):\n"
        "    h = np.tanh(b['x'] @ p['w'] + 0.1) * (rng.random((8, 3)) < 0.5) @ c\n"
        "    return np.mean(h**2) + dk.scan(lambda s, x: (s * x * 0.3, s), 1.0, p['w'][0])[0]\n"
        "for k in range(int(sys.argv[1])):\n"
        "    dk.grad(lambda x: x**k)(1.0)\n"
        "from diffkit.optim.fitting.flat import Flat\n"
        "params = {'w': np.ones((3, 3)), 'b': np.zeros(2)}\n"
        "made = Loss(loss, params, 'numpy', Flat(params))\n"
        "print(digest_of_tape(made.tape({'x': np.ones((8, 3)), 'y': np.ones(8)})))\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code, str(k)], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(Path(dk.__file__).parents[1]), "PYTHONHASHSEED": str(k)},
        ).stdout
        for k in (0, 3)
    }  # fmt: skip
    assert len(told) == 1 and len(told.pop().strip()) == 32


@pytest.mark.parametrize(("change", "told"), [
    ({"seed": 1}, "was made with seed=0, not 1"),
    ({"batch_size": 4}, "batch_size=8, not 4"),
    ({"shuffle": False}, "shuffle=True, not False"),
    ({"clip_norm": 1.0}, "clip_norm=None, not 1.0"),
    ({"optimizer": dk.optim.SGD(0.1)}, r"optimizer='Adam\(learning_rate=0.1\)', not 'SGD"),
    ({"data": (X[:39], Y[:39])}, "examples=40, not 39"),
    ({"params": {"w": np.zeros(3), "b": np.zeros(2)}}, r"params.w of shape \(3,\) \(float64\) where params has params.b of"),
    ({"params": {"w": np.zeros(3, np.float32)}}, r"\(float64\) where params has params.w of shape \(3,\) \(float32\)"),
    ({"params": {"w": np.zeros(3), "x": np.zeros(2)}}, "has nothing where params has params.x"),
    ({"params": {"w": np.array([0, 0, 1e-9])}}, "with params of other values to start from: give what"),
    ({"loss": lambda p, b: loss(p, b) + 1e-9}, "with another loss"),
    ({"loss": lambda p, b: np.mean((b[0] @ p["w"] - b[1]) ** 4)}, "with another loss"),
])  # fmt: skip
def test_a_checkpoint_of_another_run(tmp_path, change, told):
    run(tmp_path, steps=4)
    with pytest.raises(CheckpointError, match=told):
        run(tmp_path, **change)
    assert len(names(tmp_path)) == 2


def test_a_schedule_without_a_name_is_the_same_in_another_process(tmp_path):
    """Its repr has an address, which says nothing."""
    make = lambda: dk.optim.SGD(lambda k: 0.1 / (k + 1))
    run(tmp_path, optimizer=make(), steps=4)
    assert run(tmp_path, optimizer=make()).steps == 12


def test_the_folder_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="cannot be a folder of checkpoints"):
        run(tmp_path / "file")


# ---- disk full, Ctrl-C ----------------------------------------------------------------------------------------------
def test_disk_full(tmp_path, monkeypatch):
    """What was written before is whole, the half-written file is gone, and the run so far is in the error."""
    whole = run(None)
    real = os.fsync
    written = []

    def full(handle):
        written.append(handle)
        if len(written) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"step 8 cannot be written to .*No space left on device.*make room") as e:
        run(tmp_path)
    assert e.value.fit.steps == 8 and e.value.fit.stopped == "checkpoint" and isinstance(e.value.__cause__, OSError)
    assert names(tmp_path) == [f"step-{k:010d}.checkpoint" for k in (4, 6)]
    monkeypatch.undo()
    assert run(tmp_path).params["w"].tobytes() == whole.params["w"].tobytes()


def test_a_disk_that_is_really_full(tmp_path):
    """A limit on the size of files, in a process of its own: the write itself fails halfway."""
    code = (
        "import resource, signal, sys, numpy as np, diffkit as dk\n"
        "run = lambda **more: dk.optim.fit(lambda p, b: np.mean(p**2), np.ones(1500), np.ones(4), batch_size=1, steps=900,\n"
        "                                  optimizer=dk.optim.SGD(0.1), **more)\n"
        "run()\n"  # whatever is compiled is in its cache
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try:\n"
        "    run(checkpoint=sys.argv[1], checkpoint_every=100)\n"
        "except dk.CheckpointError as problem:\n"
        "    print('cannot', problem.fit.steps)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(dk.__file__).parents[1])},
    )  # fmt: skip
    assert done.stdout.startswith("cannot "), done.stderr
    at = int(done.stdout.split()[1])
    assert at > 200 and names(tmp_path) == [f"step-{k:010d}.checkpoint" for k in (at - 200, at - 100)]
    assert read(tmp_path / names(tmp_path)[-1]).meta["step"] == at - 100


def test_left_overs_of_a_killed_run_are_cleared(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    living, old = os.getpid(), tmp_path / f".step-0000000003.checkpoint.{os.getpid()}.part"
    (tmp_path / f".step-0000000002.checkpoint.{done.pid}.0a.part").write_bytes(b"half")
    (tmp_path / f".step-0000000002.checkpoint.{living}.0b.part").write_bytes(b"another run is at it")
    old.write_bytes(b"left by a process whose number is in use again")
    os.utime(old, (0, 0))
    run(tmp_path)
    assert names(tmp_path) == [
        f".step-0000000002.checkpoint.{living}.0b.part", *(f"step-{k:010d}.checkpoint" for k in (10, 12))
    ]  # fmt: skip


def test_two_runs_in_one_folder(tmp_path, monkeypatch):
    """One begins while the other writes: that goes on as if alone."""
    real, started = os.fsync, []

    def other_begins(handle):
        if not started:
            started.append(True)
            checkpoints.Checkpoints(tmp_path, 2)
        real(handle)

    monkeypatch.setattr(checkpoints.os, "fsync", other_begins)
    run(tmp_path)
    assert started and names(tmp_path) == [f"step-{k:010d}.checkpoint" for k in (10, 12)]


@pytest.mark.parametrize("folder", [3, True, 2.5])
def test_the_folder_is_a_path(folder):
    with pytest.raises(ArgumentError, match=f"checkpoint is a folder's path, not {folder}"):
        run(folder)


def test_ctrl_c(tmp_path):
    """The step at hand is finished, a checkpoint written, and the interrupt raised again with what there is."""
    whole = run(None)
    press = lambda r: os.kill(os.getpid(), signal.SIGINT) if r.step == 5 else None
    with pytest.raises(KeyboardInterrupt) as e:
        run(tmp_path, callbacks=press, checkpoint_every=100)
    assert e.value.fit.steps == 5 and e.value.fit.stopped == "interrupted"
    assert "step-0000000005.checkpoint was written" in e.value.__notes__[0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert run(tmp_path, checkpoint_every=100).params["w"].tobytes() == whole.params["w"].tobytes()
    with pytest.raises(KeyboardInterrupt) as e:
        run(None, callbacks=press)
    assert e.value.fit.steps == 5 and not hasattr(e.value, "__notes__")


def test_ctrl_c_in_the_last_validation(tmp_path):
    """It is not lost, though there is no step left."""
    press = lambda params: os.kill(os.getpid(), signal.SIGINT) or 1.0
    with pytest.raises(KeyboardInterrupt) as e:
        run(tmp_path, steps=None, epochs=1, validation=press)
    assert e.value.fit.epochs == 1 and names(tmp_path)[-1] == "step-0000000005.checkpoint"


def test_ctrl_c_twice_is_immediate():
    def press(r):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        pytest.fail("still there")

    with pytest.raises(KeyboardInterrupt) as e:
        run(None, callbacks=press)
    assert not hasattr(e.value, "fit") and signal.getsignal(signal.SIGINT) is signal.default_int_handler
