"""Nonlinear least squares.

`system.py`: residuals and their exact Jacobian; `marquardt.py`: the method; `solve.py`: the function that is called; `result.py`.
"""
