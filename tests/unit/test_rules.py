"""Every record of the op table against oracles that know nothing of it. A new record is covered without a new test."""

import helpers
import helpers_oracles as oracles
import numpy as np
import pytest
from helpers import DTYPES, RULE_ENGINES, differentiable_cases, each

from diffkit.ops import TABLE

pytestmark = pytest.mark.filterwarnings("error")

dtypes = pytest.mark.parametrize("dtype", DTYPES)
engines = pytest.mark.parametrize("engine", RULE_ENGINES)


def test_every_elementwise_operation_has_an_oracle():
    missing = [op.name for op in TABLE.values() if op.family == "elementwise" and op.name not in oracles.ELEMENTWISE]
    assert not missing, f"add the value over mpmath numbers to helpers_oracles.ELEMENTWISE: {missing}"


@dtypes
@each(helpers.cases())
def test_value(case, dtype):
    verdicts = helpers.value_verdicts(case, dtype)
    assert not verdicts.wrong, verdicts.text
    assert verdicts.judged >= 16


@engines
@dtypes
@each(differentiable_cases())
def test_partials(case, dtype, engine):
    verdicts = helpers.slope_verdicts(case, dtype, engine)
    assert not verdicts.wrong, verdicts.text
    assert verdicts.judged >= 12
