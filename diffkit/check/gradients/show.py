"""A check in words and as plain data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .result import CheckResult, Entry

#: entries that are listed
LISTED = 10

WORDS = {
    "pass": "the derivative is right",
    "fail": "the derivative is wrong",
    "kink": "the function has a kink here, so there is no one right gradient",
    "noise": "the function is too noisy to tell",
    "nondeterministic": "the function or its gradient changes from call to call",
    "undecided": "it could not be decided",
}


def to_terminal(r: CheckResult) -> str:
    lines = [f"{r.verdict}: {r.name}: {WORDS[r.verdict]}"]
    if r.wrong:
        lines.append(f"  {r.wrong:,} of {r.judged:,} derivatives are off ({r.method})")
    elif r.verdict == "pass":
        bars = "" if math.isnan(r.resolution) else f" of up to {r.resolution:.0e} of their size"
        lines.append(
            f"  {r.judged:,} derivative{'s agree' if r.judged != 1 else ' agrees'} within error bars{bars} ({r.method})"
        )
    if r.suspects:
        lines.append("  suspected causes:" if r.verdict != "pass" else "  seen:")
        for s in r.suspects:
            several = s.leaves and len(r.leaves) > 1
            of = f" (by {', '.join(s.leaves[:6])}{', …' * (len(s.leaves) > 6)})" if several else ""
            lines.append(f"    {s.code}: {s}{of}")
    for b in r.blame:
        lines += ["  to blame:", *(f"    {line}" for line in str(b).splitlines())]
    if r.entries:
        lines += ["", *_table(r.entries[:LISTED])]
        if r.wrong > len(r.entries[:LISTED]):
            lines.append(f"  … and {r.wrong - len(r.entries[:LISTED]):,} more")
        lines.append("")
    evidence = []
    if not math.isnan(r.taylor_order):
        evidence.append(
            f"Taylor remainder grows with the power {r.taylor_order:.2f} of the distance (2: right, 1: wrong)"
        )
    if r.kinks:
        evidence.append(f"left and right slopes differ at {r.kinks:,} of them")
    if r.unresolved:
        evidence.append(f"{r.unresolved:,} are smaller than what can be told from the values")
    if r.verdict in ("noise", "nondeterministic", "undecided"):
        evidence.append(f"noise of the values {r.noise:.2g}, difference between two calls {r.spread:.2g}")
    lines += [f"  {e}" for e in evidence]
    lines += [f"  note: {n}" for n in r.notes]
    lines.append(
        f"  {r.calls:,} calls of the function, {r.gradient_calls:,} of the gradient, {r.seconds:.2g} s, {r.dtype}"
    )
    return "\n".join(lines)


def _table(entries: list[Entry]) -> list[str]:
    kinky = any(not math.isnan(e.left) for e in entries)
    head = ["entry", "given", "expected", "± bar", "ulps", *(("left", "right") if kinky else ())]
    rows = []
    for e in entries:
        row = [e.name, f"{e.given:.10g}", f"{e.expected:.10g}", f"{e.bar:.1e}", f"{e.ulps:.2g}"]
        rows.append([*row, *((f"{e.left:.6g}", f"{e.right:.6g}") if kinky else ())])
    widths = [max(len(head[i]), *(len(r[i]) for r in rows)) for i in range(len(head))]
    return [
        "  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in [head, *rows]
    ]


def to_dict(r: CheckResult) -> dict[str, Any]:
    return plain(
        {
            "name": r.name, "framework": r.framework, "dtype": r.dtype, "verdict": r.verdict, "ok": r.ok,
            "suspects": [{"code": s.code, "message": s.message, "arguments": list(s.leaves)} for s in r.suspects],
            "entries": [vars(e) for e in r.entries],
            "judged": r.judged, "wrong": r.wrong, "method": r.method, "kinks": r.kinks, "unresolved": r.unresolved,
            "resolution": r.resolution,
            "calls": r.calls, "gradient_calls": r.gradient_calls, "seconds": r.seconds, "notes": r.notes,
            "taylor_order": r.taylor_order, "noise": r.noise, "spread": r.spread,
            "blame": [vars(b) for b in r.blame],
        }
    )  # fmt: skip


def plain(x: Any) -> Any:
    """JSON has neither NaN nor infinities: null, and text."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, np.generic):
        return plain(x.item())
    if isinstance(x, float) and not math.isfinite(x):
        return None if math.isnan(x) else ("inf" if x > 0 else "-inf")
    return x
