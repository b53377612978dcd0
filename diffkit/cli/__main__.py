"""`python -m diffkit.cli`."""

from . import main

main()
