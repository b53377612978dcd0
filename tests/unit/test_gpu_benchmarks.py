"""The benchmarks of the GPU, in Numba's simulator, in processes of their own: it is chosen before Numba loads.

No test judges a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffkit.cli import benchmarks

pytest.importorskip("numba")
ROOT = Path(__file__).parents[2]

#: the peers' own code on the processor, where they find no GPU; NumPy stands for CuPy
ON_THE_PROCESSOR = """
import json, sys, types, warnings
import numpy as np
from importlib.util import find_spec
from diffkit.cli import benchmarks
warnings.simplefilter("ignore")
sys.modules["cupy"] = types.SimpleNamespace(asarray=np.asarray)
peers, harness, columns = (benchmarks(n) for n in ("gpu_peers", "gpu_harness", "peers"))
peers.DEVICE, peers.jax_on_gpu = "cpu", columns.jax_modules
peers.torch_on_gpu = lambda: __import__("torch")
peers.torch_compiled_columns = peers.torch_compiled_loss = peers.jax_on_gpu
harness.released = lambda: None
bench = harness.GpuBench("tiny")
for name in ("gpu_p1", "gpu_p2", "gpu_gmm", "gpu_mlp"):
    benchmarks(name).run(bench)
print(json.dumps([[t.title, r.name, r.tool, r.outcome, r.reason] for t in bench.tables for r in t.rows]))
"""


def python(*arguments: str, simulated: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1" if simulated else "0"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )


def test_everything_runs_and_is_written(tmp_path: Path) -> None:
    done = python("-m", "benchmarks.gpu_all", "--tiny", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert {r["outcome"] for r in found["correctness"]} == {"ok"}
    assert all(r["inside_the_bar"] == 1 for r in found["correctness"])
    assert list(found["workloads"]) == ["p1", "p2", "p10", "p13"]
    for entry in found["workloads"].values():
        assert entry["error"] == "" and entry["claims"] and entry["tables"]
        for table in entry["tables"]:
            own, *others = table["rows"]
            assert (own["tool"], own["outcome"], own["repeatable"]) == ("diffkit", "measured", True), own
            # none of them runs in the simulator, and each says why
            assert all(r["outcome"] == "skipped" and r["reason"] for r in others), others
    assert "simulator" in found["machine"]["processor"] and found["machine"]["copy_bytes_per_second"] > 0


def test_without_time_rows_say_so(tmp_path: Path) -> None:
    done = python("-m", "benchmarks.gpu_all", "p2", "--tiny", "--seconds", "0", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    (table,) = found["workloads"]["p2"]["tables"]
    reasons = {r["reason"] for r in [*found["correctness"], *table["rows"]]}
    assert reasons == {"no time was left"}


def test_without_a_gpu_it_says_what_is_missing(tmp_path: Path) -> None:
    from diffkit.machines.cuda.package import problem

    if not problem():
        pytest.skip("there is a GPU here")
    done = python("-m", "benchmarks.gpu_all", "--out", str(tmp_path), simulated=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "GPU" in done.stderr
    assert not list(tmp_path.iterdir())


def test_bench_on_the_command_line(tmp_path: Path) -> None:
    words = ("-m", "diffkit.cli", "bench", "--machine", "cuda", "--size", "tiny", "--out", str(tmp_path))
    done = python(*words, "p1", "--peers", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [r["tool"] for t in found["workloads"]["p1"]["tables"] for r in t["rows"]] == ["diffkit", "diffkit"]
    for unknown, said in ((["p99"], "p99"), (["p1", "--peers", "heyoka"], "heyoka")):
        done = python(*words, *unknown)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and said in done.stderr


def test_peers_compute_the_same() -> None:
    """All but torch.compile, and CuPy's kernel in CUDA C."""
    done = python("-c", ON_THE_PROCESSOR)
    assert done.returncode == 0, done.stderr
    rows: list[Any] = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 5 * 6
    for title, name, tool, outcome, reason in rows:
        if name == "torch.compile" or (tool == "cupy" and "Black" in title):
            continue
        assert outcome == "measured" or reason.endswith("is not installed"), (title, name, outcome, reason)


def test_the_mixtures_gradient_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    gmm, gpu_gmm = benchmarks("adbench.gmm"), benchmarks("gpu_gmm")
    monkeypatch.setattr(gpu_gmm, "BLOCK", 7)
    mixture = gmm.generate(3, 4, 20, gamma=1.3, m=2)
    alpha, means, icf, x, gamma, m = mixture.arguments
    _, expected = gmm.closed_form(*mixture.arguments)
    for found in (gpu_gmm.by_hand(gamma, m, alpha, means, icf, x), gpu_gmm.reference(mixture)):
        for one, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-10, atol=1e-12)


def test_what_is_looked_at_of_a_long_array(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = benchmarks("gpu_harness")
    monkeypatch.setattr(harness, "LOOKED_AT", 2)
    assert harness.ends(np.arange(9)).tolist() == [0, 1, 7, 8]
    assert harness.ends(np.arange(4)).tolist() == [0, 1, 2, 3]
    assert harness.ends(np.float64(3)).tolist() == 3
    assert harness.ends_of_columns(np.arange(18).reshape(2, 9)).tolist() == [[0, 1, 7, 8], [9, 10, 16, 17]]
    assert harness.ends_of_columns(np.arange(8).reshape(2, 4)).shape == (2, 4)
