"""The tape: a straight-line program over numbered values (a Wengert list), and what can be done to one."""

from .record import expressions, record
from .store import load_tape
from .tape import Builder, Tape

__all__ = ["Builder", "Tape", "expressions", "load_tape", "record"]
