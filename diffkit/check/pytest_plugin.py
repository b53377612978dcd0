"""For pytest: the fixture `check_gradient`, and `--diffkit-report=DIR`, which writes a page for every check that tests make.

Nothing of diffkit is imported before the fixture is used, so that the plugin costs nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .gradients import CheckResult

#: what a test's checks say, by test; in reports, which processes of pytest-xdist send to the one that writes the index
_MADE = pytest.StashKey[list[dict[str, Any]]]()
_ATTRIBUTE = "diffkit_checks"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("diffkit", "checks of gradients")
    group.addoption(
        "--diffkit-report", metavar="DIR", help="write a page for every check_gradient of the tests, and an index"
    )


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("diffkit_report")
    if folder and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Index(Path(folder)), "diffkit-index")


@pytest.fixture
def check_gradient(request: pytest.FixtureRequest) -> Callable[..., CheckResult]:
    """`diffkit.check_gradient`, whose verdict fails the test unless it is "pass" or among `allow`.

    check_gradient(fun, at, grad=None, *, allow=("noise",), **options) returns the result.
    """
    made = request.node.stash.setdefault(_MADE, [])
    folder = request.config.getoption("diffkit_report")

    def check(fun: Any, at: Any, grad: Any = None, *, allow: str | Iterable[str] = (), **options: Any) -> CheckResult:
        __tracebackhide__ = True
        result = _checked(fun, at, grad, allow, options)
        label = request.node.nodeid + (f" ({len(made) + 1})" if made else "")
        made.append(_noted(result, label, folder))
        if result.ok or result.verdict in ((allow,) if isinstance(allow, str) else allow):
            return result
        pytest.fail(f"check_gradient: {result}")

    return check


def _checked(fun: Any, at: Any, grad: Any, allow: str | Iterable[str], options: dict[str, Any]) -> CheckResult:
    """Errors without the frames of diffkit that led to the user's code."""
    __tracebackhide__ = True
    from ..errors import ArgumentError
    from .gradients import check_gradient
    from .gradients.result import VERDICTS
    from .running import trimmed

    unknown = set((allow,) if isinstance(allow, str) else allow) - set(VERDICTS)
    if unknown:
        raise ArgumentError(f"allow= has {', '.join(map(repr, sorted(unknown)))}; verdicts are {', '.join(VERDICTS)}")
    try:
        return check_gradient(fun, at, grad, **options)
    except Exception as problem:
        raise trimmed(problem)  # noqa: B904 (it is the same error)


def _noted(result: CheckResult, label: str, folder: str | None) -> dict[str, Any]:
    """The check in a line; with a folder, its page is written and its row of the index made."""
    noted: dict[str, Any] = {"line": f"{result.verdict}  {label}: {result.name}", "row": None}
    if folder:
        from ..report import check_html, index_row, page_name
        from ..tape.store import write_atomically

        page = Path(folder) / f"{page_name(label)}.html"
        write_atomically(page, check_html([result], [label]))
        noted["line"] += f"\n      {page}"
        noted["row"] = index_row(label, result, page.name)
    return noted


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    made = item.stash.get(_MADE, [])
    setattr(report, _ATTRIBUTE, [m.pop("row") for m in made if m.get("row")])  # each once, in the phase that made it
    if made and report.failed:
        report.sections.append(("checks of gradients in this test", "\n".join(m["line"] for m in made)))
    return report


class _Index:
    """Collects what tests checked, also in other processes, and writes the index at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.rows += getattr(report, _ATTRIBUTE, [])

    def pytest_sessionfinish(self) -> None:
        if self.rows:
            from ..report import checks_index
            from ..tape.store import write_atomically

            self.rows.sort(key=lambda row: row["label"])
            write_atomically(self.folder / "index.html", checks_index(self.rows))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        where = f"{len(self.rows)} in {self.folder / 'index.html'}" if self.rows else "none were made"
        terminalreporter.write_sep("-", f"checks of gradients: {where}")
