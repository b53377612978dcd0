"""What a fit gives."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(eq=False)
class Fit:
    """A run of `fit`: where it got, and how.

    history: arrays by name. One entry a step: loss, learning_rate, gradient_norm (before clipping), seconds, and the scalars of
    aux. One an epoch: epoch_loss (the mean over its examples), epoch_step. One a validation: validation_loss, validation_step,
    metrics. stopped: "epochs", "steps", "early stopping", "callback"; of a fit that an error carries "diverged", "interrupted",
    "checkpoint" or "failed".
    """

    params: Any
    #: of the optimiser
    state: Any
    history: dict[str, np.ndarray]
    #: of the lowest validation loss (or as early_stopping has it), and after how many steps; the last ones without validation
    best_params: Any
    best_step: int
    #: epochs that are complete, and updates
    epochs: int
    steps: int
    stopped: str
    seconds: float

    @property
    def loss(self) -> float:
        """Of the last step's batch, before its update; NaN without steps."""
        return _last(self.history.get("loss"))

    def __repr__(self) -> str:
        told = [f"stopped by {self.stopped} after {self.steps} steps ({self.epochs} epochs, {self.seconds:.3g} s)"]
        mean = _last(self.history.get("epoch_loss"))
        told.append(f"loss {self.loss:.6g}" if math.isnan(mean) else f"loss {mean:.6g} in the last epoch")
        validation = {k: v for k, v in self.history.items() if k.startswith("validation_") and k != "validation_step"}
        told += [f"{k.replace('_', ' ', 1)} {_last(v):.6g}" for k, v in validation.items()]
        if validation:
            told.append(f"best after step {self.best_step}")
        return f"Fit: {', '.join(told)}"

    def to_json(self, path: Any = None) -> str:
        """History and summary as JSON (what is not finite as null), also written to `path` if given. Parameters are not in it."""
        summary = {k: getattr(self, k) for k in ("steps", "epochs", "best_step", "stopped", "seconds")}
        columns = {k: [x if math.isfinite(x) else None for x in v.tolist()] for k, v in self.history.items()}
        text = json.dumps({**summary, "history": columns}, indent=1)
        if path is not None:
            path = Path(path)
            temporary = path.with_name(f".{path.name}.part")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        return text


def _last(column: np.ndarray | None) -> float:
    return math.nan if column is None or not len(column) else float(column[-1])
