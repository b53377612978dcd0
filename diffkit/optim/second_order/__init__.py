"""Optimisers that see curvature: Newton, BFGS, L-BFGS, trust regions, and the line search they share."""
