"""Many checks of gradients at once: collected from files, made one by one, written down for people and for other programs."""

from .collecting import Check, Item, checks_of_file, checks_of_folder, items_of, loaded, random_array
from .outcome import VERDICTS, Outcome, exit_status, run, summary, trimmed
from .showing import Bar, closing, details, line
from .writing import to_json, to_junit, write

__all__ = [
    "VERDICTS",
    "Bar",
    "Check",
    "Item",
    "Outcome",
    "checks_of_file",
    "checks_of_folder",
    "closing",
    "details",
    "exit_status",
    "items_of",
    "line",
    "loaded",
    "random_array",
    "run",
    "summary",
    "to_json",
    "to_junit",
    "trimmed",
    "write",
]
