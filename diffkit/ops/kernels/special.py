"""Error functions, log-gamma and digamma."""

from __future__ import annotations

from typing import Any


def erf(k: Any, x: Any) -> Any:
    return k.library("erf", x)


def erfc(k: Any, x: Any) -> Any:
    return k.library("erfc", x)


def lgamma(k: Any, x: Any) -> Any:
    return k.library("lgamma", x)
