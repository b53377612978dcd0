"""examples/character_lstm.py: its bits against a loop of NumPy's, its codes against counting by hand, and that it learns."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from itertools import pairwise
from math import log2
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_softmax

import diffkit as dk

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "character_lstm.py"))


def parameters(k: int, units: int) -> dict:
    return {
        "features": dk.nn.init_normal((k, 3), seed=0),
        "lstm": dk.nn.init_lstm(3, units, seed=1),
        "out": dk.nn.init_linear(units, k, seed=2),
    }


def test_bits() -> None:
    params, windows = parameters(6, 5), np.random.default_rng(0).integers(0, 6, (2, 8))
    total = 0.0
    for window in windows:
        h = c = np.zeros(5)
        for before, after in pairwise(window):
            layer = params["lstm"][0]
            i, f, g, o = np.split(
                params["features"][before] @ layer["weight_x"] + h @ layer["weight_h"] + layer["bias"], 4
            )
            c = expit(f) * c + expit(i) * np.tanh(g)
            h = expit(o) * np.tanh(c)
            total -= log_softmax(h @ params["out"]["weight"] + params["out"]["bias"])[after] / np.log(2)
    np.testing.assert_allclose(EXAMPLE["bits"](params, windows), total / 14, rtol=1e-12)


def test_codes_that_count() -> None:
    seen, held_out = list("abracadabra"), list("cabarb")
    alphabet = sorted(set(seen))
    one, two = EXAMPLE["counted"](*(np.searchsorted(alphabet, c) for c in (seen, held_out)), len(alphabet))
    times, followed, pairs = Counter(seen), Counter(seen[:-1]), Counter(pairwise(seen))
    p = {c: (times[c] + 1) / (11 + 5) for c in alphabet}
    after = lambda a, b: (pairs[a, b] + p[b]) / (followed[a] + 1)
    np.testing.assert_allclose(one, -sum(log2(p[c]) for c in held_out) / 6, rtol=1e-12)
    np.testing.assert_allclose(two, -sum(log2(after(a, b)) for a, b in pairwise(held_out)) / 5, rtol=1e-12)


def test_it_writes_what_follows() -> None:
    """Weights that make 1 follow 0, 2 follow 1 and so on, whatever the state."""
    k = 4
    params = parameters(k, 8)
    params["lstm"][0].update(weight_x=np.zeros((3, 32)), weight_h=np.zeros((8, 32)))
    params["features"] = np.eye(k)[:, :3]
    gates = np.zeros((3, 4, 8))
    gates[[0, 1, 2], 2, [0, 1, 2]] = 20.0  # g: which character it is
    params["lstm"][0].update(weight_x=gates.reshape(3, 32), bias=np.repeat([20.0, -20.0, 0.0, 20.0], 8))
    follow = np.zeros((8, k))
    follow[[0, 1, 2], [1, 2, 3]] = 100.0
    params["out"] = {"weight": follow, "bias": np.array([40.0, 0.0, 0.0, 0.0])}
    assert EXAMPLE["written"](params, np.array([3, 0]), 6) == [1, 2, 3, 0, 1, 2]


def test_learns_a_pattern(capsys) -> None:
    """That a line begins again is more than pairs can tell."""
    text = "she sells sea shells by the sea shore; " * 400
    assert EXAMPLE["main"](text, steps=250) < 0.2
    told = capsys.readouterr().out
    assert "by counting pairs" in told and "step  250" in told


def test_without_a_text(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(SystemExit, match="give a text file"):
        EXAMPLE["manual"]()


def test_too_short_a_text() -> None:
    """An empty one too, which is not the manual; the shortest will do."""
    for length in (0, 60, EXAMPLE["SHORTEST"] - 1):
        with pytest.raises(SystemExit, match=f"has {length} characters; at least {EXAMPLE['SHORTEST']} are needed"):
            EXAMPLE["main"]("ab" * (length // 2) + "a" * (length % 2))
    assert EXAMPLE["main"]("ab" * (EXAMPLE["SHORTEST"] // 2), steps=1) < 5


@pytest.mark.slow
def test_manual(capsys) -> None:
    pytest.importorskip("pydoc_data.topics")
    found = EXAMPLE["main"]()
    told = capsys.readouterr().out.splitlines()[0]
    assert found < 2.3 < 3 < float(told.split(",")[1].split()[0])
