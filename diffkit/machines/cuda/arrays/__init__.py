"""Array programs on a GPU: any tape.

The cpu machine's planner turns a tape over arrays into a program (../../cpu/arrays/program.py). All that it works on lies in one
piece of device memory (memory.py), so every address is known when the program is lowered (lowering.py) to a list of launches, which
a call replays (steps.py). A launch is told its work by words that lie in device memory too (nests.py).
"""

from .executable import CudaArrayExecutable

__all__ = ["CudaArrayExecutable"]
