"""`minimize`: a function of any nest, step by step until nothing goes lower, by diffkit's optimisers or SciPy's."""
