"""Numbers recorded as a run goes: columns that grow by a few bytes a row."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np


class Table:
    """Rows of named numbers; where a row lacks a name, NaN stands."""

    def __init__(self) -> None:
        self.length = 0
        self.columns: dict[str, array] = {}

    def add(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = array("d", [math.nan]) * self.length
            column.append(value)
        self.length += 1
        if len(row) < len(self.columns):
            for column in self.columns.values():
                if len(column) < self.length:
                    column.append(math.nan)


class History:
    """Tables of steps (loss, learning_rate, gradient_norm, seconds, aux), of epochs and of validations."""

    TABLES = ("step", "epoch", "validation")

    def __init__(self) -> None:
        self.tables = {name: Table() for name in self.TABLES}
        self.steps, self.epochs, self.validations = self.tables.values()

    def arrays(self) -> dict[str, np.ndarray]:
        """All columns: those of steps under their own names, of others as epoch_loss, validation_accuracy, …"""
        return {
            name if table == "step" else f"{table}_{name}": np.array(column)
            for table, rows in self.tables.items()
            for name, column in rows.columns.items()
        }

    # ---- checkpoints ----
    def saved(self) -> dict[str, np.ndarray]:
        return {
            f"history/{table}/{name}": np.array(column)
            for table, rows in self.tables.items()
            for name, column in rows.columns.items()
        }

    @classmethod
    def restored(cls, arrays: Mapping[str, Any]) -> History:
        history = cls()
        for key, values in arrays.items():
            if key.startswith("history/"):
                _, table, name = key.split("/", 2)
                rows = history.tables[table]
                rows.columns[name] = array("d", values.tobytes())
                rows.length = len(values)
        return history
