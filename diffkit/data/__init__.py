"""Readers of data that others publish. Names are loaded when first used."""

from __future__ import annotations

from ..lazy import lazily

__getattr__, __dir__, __all__ = lazily(
    __name__,
    {"read_nist_strd": ".nist", "Problem": ".nist"},
)
