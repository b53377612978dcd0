"""Which part of a function has a wrong derivative rule, where the gradient is a framework's own."""

from .blame import Blame, blame

__all__ = ["Blame", "blame"]
