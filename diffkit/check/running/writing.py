"""Outcomes for other programs: JSON, and the XML that JUnit began and that Jenkins, GitLab and their kin read."""

from __future__ import annotations

import json as plain
import re
import socket
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from ... import __version__
from .outcome import Outcome, exit_status, summary

#: what XML 1.0 cannot hold
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(
    outcomes: Sequence[Outcome], interrupted: bool = False, json: str | None = None, junit: str | None = None,
    html: str | None = None,
) -> list[str]:  # fmt: skip
    """Write those files whose paths are given, each whole or not at all; returns the paths. json: - is standard output."""
    from ...tape.store import write_atomically

    if json == "-":
        print(to_json(outcomes, interrupted))
    elif json:
        write_atomically(json, to_json(outcomes, interrupted))
    if junit:
        write_atomically(junit, to_junit(outcomes))
    if html:
        from ...report import write_checks

        write_checks(html, outcomes)
    return [path for path in (json, junit, html) if path not in (None, "-")]  # type: ignore[misc]


def to_json(outcomes: Sequence[Outcome], interrupted: bool = False) -> str:
    """Every outcome with all that its result knows."""
    checks = [
        {"group": o.group, "check": o.name, "title": o.title, "verdict": o.verdict, "seconds": o.seconds}
        | {"error": o.error or None, "result": o.result.to_dict() if o.result is not None else None}
        for o in outcomes
    ]
    data = {
        "diffkit": __version__, "exit_status": exit_status(outcomes), "interrupted": interrupted,
        "summary": summary(outcomes), "checks": checks,
    }  # fmt: skip
    return plain.dumps(data, indent=1, ensure_ascii=False)


def to_junit(outcomes: Sequence[Outcome], when: datetime | None = None) -> str:
    """A <testsuite> a module or file, a <testcase> a check.

    A wrong gradient is a <failure>, and a check that raised an <error>. One that came to no decision (kink, noise, …) is an
    <error> too, of its verdict's type: it did run, and as <skipped> it would be counted among what is well; nor was a gradient
    found wrong.
    """
    stamp = (when or datetime.now().astimezone()).isoformat(timespec="seconds")
    root = ElementTree.Element("testsuites", {"name": "diffkit check", **_totals(outcomes)})
    ordered = sorted(outcomes, key=lambda o: o.group)
    for k, (group, those) in enumerate(groupby(ordered, key=lambda o: o.group)):
        own = list(those)
        about = {"name": _clean(group), "id": str(k), "timestamp": stamp, "hostname": socket.gethostname()}
        suite = ElementTree.SubElement(root, "testsuite", {**about, **_totals(own)})
        for o in own:
            _add_case(suite, o)
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _totals(outcomes: Sequence[Outcome]) -> dict[str, str]:
    verdicts = [o.verdict for o in outcomes]
    failures = verdicts.count("fail")
    return {
        "tests": str(len(verdicts)), "failures": str(failures), "errors": str(len(verdicts) - failures - verdicts.count("pass")),
        "skipped": "0", "time": f"{sum(o.seconds for o in outcomes):.3f}",
    }  # fmt: skip


def _add_case(suite: Any, o: Outcome) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=_clean(o.group), name=_clean(o.name), time=f"{o.seconds:.3f}"
    )
    if o.verdict == "pass":
        return
    report = o.report()
    head = o.result.suspects[0] if o.result is not None and o.result.suspects else report.strip().splitlines()[-1]
    kind = "failure" if o.verdict == "fail" else "error"
    found = ElementTree.SubElement(case, kind, message=_clean(f"{o.verdict}: {head}"), type=o.verdict)
    found.text = _clean(report)


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
