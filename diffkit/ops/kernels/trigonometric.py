"""Sine, cosine, tangent and their inverses."""

from __future__ import annotations

from typing import Any


def sin(k: Any, x: Any) -> Any:
    return k.library("sin", x)


def cos(k: Any, x: Any) -> Any:
    return k.library("cos", x)


def tan(k: Any, x: Any) -> Any:
    return k.library("tan", x)


def arcsin(k: Any, x: Any) -> Any:
    return k.library("asin", x)


def arccos(k: Any, x: Any) -> Any:
    return k.library("acos", x)


def arctan(k: Any, x: Any) -> Any:
    return k.library("atan", x)


def arctan2(k: Any, x: Any, y: Any) -> Any:
    return k.library("atan2", x, y)
