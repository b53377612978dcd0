"""Which tier runs a tape: the interpreter, which is always ready, or a fused kernel once the work has paid for compiling one."""

from __future__ import annotations

import numpy as np
from contextlib import nullcontext
from .library import library
from .plan import Plan

_tier = "auto"

def set_tier(tier):
    global _tier
    _tier = tier

class Tiers:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.addresses = np.array([library().address(s) for s in plan.symbols] or [0], np.int64)

    def fused(self, points): return None
    def measured(self, points): return nullcontext()
