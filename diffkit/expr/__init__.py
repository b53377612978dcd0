"""The language: expressions, functions under NumPy's names, text, tracing, SymPy, generated source."""
