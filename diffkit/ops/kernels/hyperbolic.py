"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from typing import Any


def sinh(k: Any, x: Any) -> Any:
    return k.library("sinh", x)


def cosh(k: Any, x: Any) -> Any:
    return k.library("cosh", x)


def tanh(k: Any, x: Any) -> Any:
    return k.library("tanh", x)


def arcsinh(k: Any, x: Any) -> Any:
    return k.library("asinh", x)


def arccosh(k: Any, x: Any) -> Any:
    return k.library("acosh", x)


def arctanh(k: Any, x: Any) -> Any:
    return k.library("atanh", x)
