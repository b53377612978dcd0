"""Cube root and the length of a vector."""

from __future__ import annotations

from typing import Any


def cbrt(k: Any, x: Any) -> Any:
    return k.library("cbrt", x)


def hypot(k: Any, x: Any, y: Any) -> Any:
    return k.library("hypot", x, y)
