"""Benchmarks: diffkit and its peers side by side, in one run, on the same numbers.

    diffkit bench                        every workload, full size
    diffkit bench p1 p2 --peers heyoka   some of them, against one peer

`harness` measures (who, how, in which order), `peers` (of columns) and `array_peers` (of whole arrays) build every tool's
derivative in the form that was fastest for it, `adbench` holds that suite's objectives, `machine` finds the ceilings of the
hardware, `results` writes what was found, and each `p…` file is one workload: a formula, its data, and the targets that
diffkit is held to. docs/benchmarks.md tells how to read the figures.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: id of a workload -> its module
WORKLOADS = {
    "p1": "p1_black_scholes",
    "p1c": "p1c_first_answer",
    "p2": "p2_bundle_adjustment",
    "p3": "p3_one_point",
    "p4": "p4_chain",
    "p5": "p5_corpus",
    "p6": "p6_reverse_cost",
    "p7": "p7_float32",
    "p8": "p8_scaling",
    "p10": "p10_gmm",
    "p11": "p11_lstm",
    "p12": "p12_bundle_adjustment",
    "p13": "p13_mlp",
    "p14": "p14_small_mlp",
    "p15": "p15_lenet",
    "p16": "p16_sparse_hessian",
    "p17": "p17_long_scan",
    "p18": "p18_optimizer_step",
    "p19": "p19_training_epoch",
}


def module(name: str) -> Any:
    """A module of this package by name, or a workload by its id."""
    return import_module(f"{__name__}.{WORKLOADS.get(name, name)}")
