"""Documents that cannot drift: examples are run, links lead somewhere, public names exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import diffkit as dk

ROOT = Path(dk.__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "README.md",
]


@pytest.fixture(autouse=True)
def forget_registered_operations():
    from diffkit.expr.registration import _forget
    from diffkit.ops import TABLE

    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        _forget(name)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_examples_run(path: Path) -> None:
    result = doctest.testfile(str(path), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_public_name_loads_and_is_documented() -> None:
    for name in dk._PLACES:
        value = getattr(dk, name)
        assert value.__doc__, f"dk.{name} has no docstring"
    for name in ("tape", "compare", "explain"):
        assert callable(getattr(dk, name)), f"dk.{name} must stay the function"
