"""Lint: what can go wrong with a formula and its derivative, where, and what to write instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...expr.printing import brief
from ...transforms.arguments import bind_names, distinct_variables, expression_of
from .findings import SEVERITIES, LintReport
from .graph import Graph
from .pointwise import findings_at
from .static import static_findings


def lint(f: Any, at: Any = None) -> LintReport:
    """Findings about an expression or text, worst first: a code, the sub-expression, what can go wrong, a rewrite if known.

    at: one point or many (a dict by name, or a tuple in the order of `f.variables`; loop dims welcome). With it the report also
    says what does go wrong there.

    - unsafe-where: a branch of `where` that leaves its domain where it is not taken (NaN gradients in JAX and PyTorch).
    - zero-times-infinity: a finite value with a derivative that is NaN or infinite.
    - cancellation: a difference that loses digits. With `at`: how many.
    - overflow: an infinity, or a 0, on the way to a moderate value.
    - kink, discontinuity: where the derivative is a convention, and where it does not see a jump.
    - domain (with `at`): the value is NaN; where that arose, and why.

    The report is true when there are findings.

        >>> print(lint("(1 - cos(x))/x**2", at=(1e-4,))[0].rewrite)
        2*sin(x/2)**2
    """
    f = expression_of(f)
    names: list[str] = [v.name for v in distinct_variables(f)]  # type: ignore[misc]
    graph = Graph(f)
    found = static_findings(graph)
    if at is not None:
        given = bind_names(names, tuple(at) if isinstance(at, (tuple, list)) else (at,), {})
        for key, finding in findings_at(graph, given).items():
            known = found.pop(key, None)  # what happens at the point replaces what could happen
            found[key] = finding if known is None or finding.rewrite else replace(finding, rewrite=known.rewrite)
    ordered = sorted(found.values(), key=lambda finding: SEVERITIES.index(finding.severity))
    return LintReport(tuple(ordered), brief(f, 100))
