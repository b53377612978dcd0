"""Lowering: operations that are written with others (sigmoid, mean, pow, ...) are replaced by what they are written with."""

from __future__ import annotations

from collections.abc import Callable

from ..expr.collector import paused
from ..expr.kind import WEAK, Kind
from . import templates
from .tape import Builder, Tape
from .templates import Ref


def lower(tape: Tape, needed: Callable[[Kind], bool] = lambda kind: True) -> Tape:
    """A tape of the same values in which every operation that `needed` names is replaced, down to primitives."""
    if not any(k.op.lower is not None and needed(k) for k in set(tape.kinds)):
        return tape
    builder = Builder()
    place: list[int] = []
    with paused():
        for kind, args in zip(tape.kinds, tape.args, strict=True):
            arguments = tuple([place[a] for a in args])
            place.append(_lowered(builder, kind, arguments, needed) if args else builder.leaf(kind))
        return builder.finish((place[i] for i in tape.inputs), (place[i] for i in tape.outputs), tape.labels)


def _lowered(builder: Builder, kind: Kind, args: tuple[int, ...], needed: Callable[[Kind], bool]) -> int:
    template = (
        templates.lower(kind, [builder.kinds[a] for a in args]) if kind.op.lower is not None and needed(kind) else None
    )
    if template is None or _itself(template, kind):
        return builder.again(kind, args)
    values = list(args)
    for step, step_args in template.steps:
        arguments = tuple(values[a] for a in step_args)
        values.append(_lowered(builder, step, arguments, needed) if step_args else builder.leaf(step))
    (out,) = template.outputs
    assert isinstance(out, Ref)
    # what is written with constants alone has no dtype of its own
    return values[out.index] if kind.dtype == WEAK else builder.cast(values[out.index], kind.dtype)


def _itself(template: templates.Template, kind: Kind) -> bool:
    """A rule that answers with the operation itself says: a primitive, with these parameters."""
    return len(template.steps) == 1 and template.steps[0][0].op is kind.op
