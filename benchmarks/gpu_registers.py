"""What the kernels of the cuda machine need of a GPU's processor, by operation and formula. No GPU takes part.

    python -m benchmarks.gpu_registers            operations, for the newest generation
    python -m benchmarks.gpu_registers --all      operations and the corpus, for all of them (some 10 minutes)

Writes gpu_registers.json and gpu_registers.md to reports/benchmarks. Exit status: 0 all well, 2 kernels cannot be compiled here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import diffkit as dk
from diffkit.engines import engine
from diffkit.errors import UnavailableError
from diffkit.expr.functions import RULES
from diffkit.expr.node import variable
from diffkit.machines.cpu.plan import plan
from diffkit.machines.cuda.assembling import GENERATIONS, assembled, assembler, compiled
from diffkit.machines.cuda.package import package
from diffkit.ops import TABLE
from diffkit.report.corpus import Formula, read_corpus
from diffkit.tape import Tape, record
from diffkit.tape.store import write_atomically

FORMAT, VERSION = "diffkit-gpu-registers", 1

Entry = dict[str, Any]


def operations() -> Iterator[tuple[Entry, Tape]]:
    """Every elementwise operation with its first parameters, in both precisions: its value, and value and derivative."""
    for op in TABLE.values():
        if op.family != "elementwise":
            continue
        for dtype in ("float64", "float32"):
            inputs = [variable(f"x{k}", dtype="bool" if k < op.conditions else dtype) for k in range(op.arity or 0)]
            tape = record(RULES.primitive(op.name, *inputs, **dict(op.params)), inputs)
            yield {"name": op.name, "dtype": dtype, "tape": "value"}, tape
            if op.differentiable and not op.detached:
                gradient = engine("reverse").program(tape, range(op.conditions, len(inputs))).tape
                yield {"name": op.name, "dtype": dtype, "tape": "gradient"}, gradient


def formulas() -> Iterator[tuple[Entry, Tape]]:
    for f in read_corpus():
        if isinstance(f, Formula):
            yield {"name": f.name, "dtype": "float64", "tape": "gradient"}, dk.tape(f.text, engine="reverse")


def measured(tape: Tape, generations: Sequence[tuple[int, int]]) -> Entry:
    planned = plan(tape)
    found = {f"sm_{g[0]}{g[1]}": assembled(compiled(planned, g), g) for g in generations}
    return {
        "instructions": len(planned.code),
        **{name: {"registers": a.registers, "stack": a.stack, "spilled": a.spilled} for name, a in found.items()},
    }


def markdown(data: Entry) -> str:
    """One row a kernel, those with the most registers first."""
    names = data["generations"]
    lines = [
        "# Registers of the cuda machine's kernels",
        "",
        f"Registers of a thread, and bytes that it spills, if any; compiled by {data['package']}, assembled by nvJitLink "
        f"{data['assembler']}.",
        "",
        f"| kernel | dtype | tape | instructions | {' | '.join(names)} |",
        f"|---|---|---|{'---:|' * (len(names) + 1)}",
    ]
    shown = lambda a: f"{a['registers']}" + f" ({a['spilled']} spilled)" * bool(a["spilled"])
    for e in sorted(data["kernels"], key=lambda e: (-e[names[-1]]["registers"], e["name"], e["dtype"], e["tape"])):
        columns = [e["name"], e["dtype"], e["tape"], str(e["instructions"]), *(shown(e[n]) for n in names)]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--all", "everything", is_flag=True, help="the corpus too, and every generation")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/benchmarks"), show_default=True)
def main(everything: bool, out: Path) -> None:
    """Compile, assemble, write down."""
    try:
        version = ".".join(map(str, assembler().version()))
    except UnavailableError as missing:
        click.echo(str(missing), err=True)
        sys.exit(2)
    generations = GENERATIONS if everything else GENERATIONS[-1:]
    kernels = []
    for entry, tape in [*operations(), *(formulas() if everything else ())]:
        kernels.append({**entry, **measured(tape, generations)})
        click.echo(f"{entry['name']} {entry['dtype']} {entry['tape']}", err=True)
    data = {
        "format": FORMAT,
        "version": VERSION,
        "package": package().name,
        "assembler": version,
        "generations": [f"sm_{major}{minor}" for major, minor in generations],
        "kernels": kernels,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "gpu_registers.json", json.dumps(data, indent=1) + "\n")
    write_atomically(out / "gpu_registers.md", markdown(data))


if __name__ == "__main__":
    main()
