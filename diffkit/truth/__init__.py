"""The truth: derivatives with a proof, to judge engines by."""

from .truth import Truth, certify

__all__ = ["Truth", "certify"]
