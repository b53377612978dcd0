"""The command line. Exit status: 0 all well, 1 a gradient is wrong, 2 the input could not be used, 3 could not be decided.

A command is a module of its own and the function in it of the same name; `reading` is what they share.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import DiffkitError
from .loading import benchmarks
from .reading import MACHINE

#: modules of this package
COMMANDS = ("bench", "check", "compare", "doctor", "grad", "lectures", "race", "report")
WRONG, UNUSABLE, UNDECIDED = 1, 2, 3
#: as shells say of a program that was stopped from the keyboard
INTERRUPTED = 130


class _Group(click.Group):
    """Loads a command when it is named. Every error that diffkit raises on purpose is a message and status 2, no traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return getattr(import_module(f".{name}", __name__), name) if name in COMMANDS else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DiffkitError as problem:
            _fail(str(problem))
        except BrokenPipeError:
            raise  # who reads has read enough: Click ends quietly
        except OSError as problem:
            _fail(f"{problem.filename or 'file'}: {problem.strerror or problem}")


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(UNUSABLE)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="diffkit")
def main() -> None:
    """Write a function once, differentiate it four ways, and know which answer to trust.

    \b
    diffkit grad    "x**2*sin(y)" --at x=1 y=2
    diffkit compare "exp(x/y)" --at x=0.5 y=1 --html out.html
    diffkit report                                  # the corpus of real formulas, as a page
    diffkit check   module:loss --at x=0.5,1        # is a gradient right, and what is wrong with it
    diffkit bench   p1 --peers jax                  # how fast, beside other frameworks
    diffkit race    rosenbrock                      # optimisers on a problem, tuned and counted alike
    diffkit lectures B1 B5                          # what lectures on training claim, run and judged
    diffkit doctor

    Exit status: 0 all well, 1 a gradient is wrong, 2 the input could not be used or a GPU that it asks for is not there,
    3 could not be decided.
    """


__all__ = ["INTERRUPTED", "MACHINE", "UNDECIDED", "UNUSABLE", "WRONG", "benchmarks", "main"]
