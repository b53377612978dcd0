"""Optimisers that see gradients alone: one rule each, which runs as a tape."""
