"""The house of docs/architecture.md, held against the code: imports point down, and heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import diffkit

ROOT = Path(diffkit.__file__).parent

#: top to bottom; a module may import from its own layer and from those below
LAYERS = [
    {"cli"},
    {"report"},
    {"lectures"},
    {"doctor"},
    {"compare"},
    {"check"},
    {"optim", "nn", "data"},
    {"truth"},
    {"explain"},
    {"transforms"},
    {"sparse"},
    {"engines"},
    {"machines"},
    {"tape"},
    {"expr"},
    {"ops"},
    {"errors", "lazy", "numerics"},
]
LEVEL = {name: k for k, layer in enumerate(LAYERS) for name in layer}

#: methods that are shorthand for a function above them, imported when called
SHORTHAND = {
    ("expr.node", "transforms"),
    ("expr.registration", "tape"),
    ("expr.scan", "tape"),
    ("compare.result", "report"),
    ("check.gradients.result", "report"),
    ("optim.racing.result", "report"),
    ("check.running.writing", "report"),
    ("check.pytest_plugin", "report"),
    ("tape.tape", "transforms"),
}

#: library -> the only places that may import it
ROOMS = {
    "numba": ("machines",),
    "llvmlite": ("machines",),
    "opt_einsum": ("expr.einsum",),
    "threadpoolctl": ("machines.cpu.arrays.interpreting.blas",),
    "sympy": ("expr", "engines.symbolic", "truth"),
    "flint": ("truth",),
    "matplotlib": ("report",),
    "click": ("cli",),
    "pytest": ("check.pytest_plugin",),
    "lark": ("expr.text",),
}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(p for p in parts if p != "__init__")
        if name:
            found.append((name, path))
    return found


def imports(name: str, path: Path) -> list[tuple[str, int]]:
    """Absolute names of everything a module imports, with lines; relative ones resolved."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ["diffkit", *package[: len(package) - node.level + 1]]
            target = ".".join([*base, *(node.module.split(".") if node.module else [])])
            found += (
                [(target, node.lineno)] if node.module else [(f"{target}.{a.name}", node.lineno) for a in node.names]
            )
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.lineno))
    return found


@pytest.mark.parametrize(("name", "path"), modules(), ids=[n for n, _ in modules()])
def test_imports_point_down(name: str, path: Path) -> None:
    own = name.split(".")[0]
    assert own in LEVEL, f"{own} has no place in the house; give it one in LAYERS and docs/architecture.md"
    for target, line in imports(name, path):
        parts = target.split(".")
        if parts[0] != "diffkit" or len(parts) == 1 or parts[1] not in LEVEL:
            continue
        if (name, parts[1]) in SHORTHAND:
            continue
        assert LEVEL[parts[1]] >= LEVEL[own], f"{path}:{line}: {name} imports {target}, which is above it"


@pytest.mark.parametrize("engine", ["symbolic", "forward", "reverse", "finite"])
def test_engines_are_peers(engine: str) -> None:
    path = ROOT / "engines" / f"{engine}.py"
    others = {"symbolic", "forward", "reverse", "finite"} - {engine}
    for target, line in imports(f"engines.{engine}", path):
        assert target.split(".")[-1] not in others, f"{path}:{line}: {engine} imports {target}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=[n for n, _ in modules()])
def test_libraries_stay_in_their_rooms(name: str, path: Path) -> None:
    for target, line in imports(name, path):
        rooms = ROOMS.get(target.split(".")[0])
        if rooms:
            assert any(name == r or name.startswith(r + ".") for r in rooms), f"{path}:{line}: {name} imports {target}"


@pytest.mark.parametrize("library", ["sympy", "numba", "llvmlite", "matplotlib", "scipy", "rich", "jinja2", "lark"])
def test_import_is_light(library: str) -> None:
    code = f"import sys, diffkit, diffkit.transforms; diffkit.symbols('x y'); sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_small_answers_load_no_compiler() -> None:
    code = (
        "import sys\nfrom diffkit.cli import main\n"
        "try:\n    main(['grad', 'x**2*sin(y)', '--at', 'x=1', 'y=2'])\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'numba', 'llvmlite', 'sympy', 'matplotlib', 'scipy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
