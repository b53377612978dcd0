"""Sparse Jacobians and Hessians: the pattern is read off the tape, directions are grouped by colouring, and the entries are
picked out of the few directions that are left."""
