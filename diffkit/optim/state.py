"""What an optimiser remembers between updates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import optree


@dataclass(frozen=True)
class State:
    """A value like any other: updates give a new one. Registered with optree, namespace "diffkit"."""

    #: updates done
    count: int
    #: by name, what the rule keeps: nests like the parameters
    slots: dict[str, Any] = field(default_factory=dict)
    #: by name, numbers that a schedule which watches the loss keeps
    rate: dict[str, Any] = field(default_factory=dict)


optree.register_pytree_node(
    State,  # type: ignore[arg-type]
    lambda state: ((state.count, state.slots, state.rate), None, ("count", "slots", "rate")),  # type: ignore[attr-defined]
    lambda _, children: State(*children),  # type: ignore[arg-type,return-value]
    namespace="diffkit",
)
