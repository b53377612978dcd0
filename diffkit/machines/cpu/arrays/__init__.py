"""Array programs: tapes over arrays, at the speed of BLAS and of the cache.

Where the tape runner of scalars (plan.py) spreads an array to one register an element, an array program keeps it whole: views
instead of copies, instructions with strides, products by BLAS, a loop over lanes along one axis (axes.py).
"""

from .executable import ArrayExecutable

__all__ = ["ArrayExecutable"]
