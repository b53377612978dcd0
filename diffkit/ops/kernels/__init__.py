"""Elementary functions, written once for every compiled machine.

A kernel is a straight-line function ``kernel(k, *args)`` over one number in each argument. It knows nothing of lanes, dtypes in
memory or machines; the machine hands it the namespace `k`, runs it once, and records what it writes.

Values are floats of the kernel's precision (``k.double`` tells which), integers of the same width, or masks.

* floats: ``+ - * /``, unary ``-``, comparisons (a mask; false for NaN, but ``!=`` is true); Python numbers mix in.
* ``k.fma(x, y, z)`` is x·y + z with one rounding (nothing else is ever contracted); ``k.sqrt, abs, floor, ceil, trunc, rint,
  copysign(size, sign), isnan``; ``k.number(c)`` and ``k.int(c)`` make constants.
* masks: ``& | ^ ~``; ``k.select(mask, x, y)``.
* integers: ``+ - * & | ^ <<``, ``>>`` (fills with zeros), ``k.shift_signed``, comparisons; ``k.as_int(x)`` and ``k.as_float(i)``
  reinterpret bits. There is no conversion between numbers and integers, which older processors lack: see `nearest` and
  `to_float` in common.py.
* ``k.gather(table, i)``: constants of a table. ``k.rarely(mask, slow, fast, *args)``: slow(k, *args) in the lanes of the mask,
  `fast` in the others; costs a test where no lane needs it. ``k.call(function, *args)``: a long kernel as a function of its own.
* ``k.in_double(kernel, *args)``: in single precision, the double's kernel, rounded. ``k.wide``, ``k.narrow``: between precisions.

Python's `if` may ask for ``k.double`` and for nothing else. Prefer polynomials to divisions, and Estrin's scheme to Horner's where
latency counts.
"""
