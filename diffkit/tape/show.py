"""A tape as text for people."""

from __future__ import annotations

from typing import Any

from ..expr.kind import Kind, constant_value
from ..ops import CONSTANT, VARIABLE
from .body import Body
from .tape import Tape

#: longer tapes are cut in the middle
MOST_LINES = 400


def value_name(i: int) -> str:
    return f"v{i}"


def instruction(tape: Tape, i: int, name=value_name, bodies: dict[Any, int] | None = None) -> str:
    """Right-hand side of one line: ``v3 * v4``, ``exp(v1)``, ``sum(v2, axes=(-1,))``. `bodies` are known by numbers."""
    kind = tape.kinds[i]
    if kind.op is VARIABLE:
        return f"input {kind.kwargs['name']}"
    if kind.op is CONSTANT:
        return constant_text(kind)
    args = [
        name(a) if tape.kinds[a].op is not CONSTANT or tape.kinds[a].shape else constant_text(tape.kinds[a])
        for a in tape.args[i]
    ]
    if kind.op.infix and len(args) == 2:
        return f"{args[0]} {kind.op.infix[0]} {args[1]}"
    if kind.op.infix and len(args) == 1:
        return f"{kind.op.infix[0]}{args[0]}"
    if kind.op.name == "pow":
        return f"{args[0]} ** {kind.kwargs['p']:g}"
    shown = {k: f"body{bodies[v]}" if bodies and isinstance(v, Body) else repr(v) for k, v in kind.params}
    parameters = [f"{k}={v}" if len(v) < 60 else f"{k}=…" for k, v in shown.items()]
    return f"{kind.op.name}({', '.join([*args, *parameters])})"


def constant_text(kind: Kind) -> str:
    value = constant_value(kind)
    return f"{value.item()!r}" if value.shape == () else f"array{list(value.shape)}"


def listing(tape: Tape) -> str:
    """All lines: number, instruction, shape where it is not scalar, and the outputs by name. Bodies of loops come first."""
    bodies: dict[Any, int] = {}
    _collect(tape, bodies)
    parts = [f"body{n}:\n" + "\n".join(f"  {line}" for line in _lines(b.tape, bodies)) for b, n in bodies.items()]
    counted = ", ".join(f"{n} {c}" for c, n in tape.counts().items() if c != "total")
    return "\n".join([*parts, *_lines(tape, bodies), f"{len(tape)} instructions" + (f": {counted}" if counted else "")])


def _collect(tape: Tape, bodies: dict[Any, int]) -> None:
    """Numbers for the bodies of loops, those inside others first."""
    for kind in dict.fromkeys(tape.kinds):
        for _, body in kind.params:
            if isinstance(body, Body) and body not in bodies:
                _collect(body.tape, bodies)
                bodies[body] = len(bodies)


def _lines(tape: Tape, bodies: dict[Any, int]) -> list[str]:
    shown = [i for i, k in enumerate(tape.kinds) if k.op is not CONSTANT or k.shape]
    width = max((len(value_name(i)) for i in shown), default=2)
    lines = []
    for i in shown:
        kind = tape.kinds[i]
        note = f"    {kind.dtype}{list(kind.shape)}" if kind.shape or kind.dtype not in ("float64", "weak") else ""
        lines.append(f"{value_name(i):>{width}} = {instruction(tape, i, bodies=bodies)}{note}")
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"{'':>{width}} … {len(lines) - 2 * half:,} more lines …", *lines[-half:]]
    labels = (
        tape.labels if len(tape.labels) == len(tape.outputs) else tuple(f"output {k}" for k in range(len(tape.outputs)))
    )
    for label, o in zip(labels, tape.outputs, strict=True):
        scalar = tape.kinds[o].op is CONSTANT and tape.kinds[o].shape == ()
        lines.append(f"{label} -> {constant_text(tape.kinds[o]) if scalar else value_name(o)}")
    return lines
