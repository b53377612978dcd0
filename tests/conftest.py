"""For all tests: one profile of Hypothesis (the same examples on every run, no deadline) and a table that can be changed."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile("ci")


@pytest.fixture
def table():
    """The op table, put back afterwards, with every namespace that an operation is published in."""
    import diffkit as dk
    from diffkit.expr import functions
    from diffkit.ops import TABLE

    spaces = (TABLE._ops, TABLE._aliases, vars(functions), vars(functions.RULES), vars(dk))
    kept, methods = [(space, dict(space)) for space in spaces], set(vars(dk.Expr))
    yield TABLE
    for space, before in kept:
        for name in set(space) - set(before):
            del space[name]
        space.update(before)
    for name in set(vars(dk.Expr)) - methods:
        delattr(dk.Expr, name)
