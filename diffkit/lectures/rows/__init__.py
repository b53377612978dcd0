"""One file a row: b01_gradient_descent.py holds row B1 as ROW. Nothing else is to be told of a new one."""
