"""Functions of inputs and parameters, one idea a file."""
