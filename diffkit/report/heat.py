"""Heat maps of errors: arrays as small PNGs inside a page, with the numbers behind every cell for whoever points at it."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..check.gradients import CheckResult
from ..check.gradients.result import Leafwise

#: cells along a side, cells of all maps of a check, slices of an array of more axes, arguments that are drawn
MOST_SIDE, MOST_CELLS, MOST_SLICES, MOST_ARGUMENTS = 200, 60_000, 4, 24
#: decades of |given − expected| in tolerances that the colours tell apart
LOW, HIGH = -3.0, 9.0
#: decades, colour: blue is within the tolerance, the rest is not
_STOPS = ((-3, "e6eef5"), (-0.001, "7fb0d8"), (0, "f8d27a"), (2, "ee8434"), (5, "c5261f"), (9, "4d0420"))
#: places in the palette behind the colours: nothing is known; given is not a number
_UNKNOWN, _NAN, COLOURS = 240, 241, 240
_EXTRA = ("9aa0a6", "d01fd0")


@dataclass(frozen=True)
class HeatMap:
    """One picture. Numbers are in rows, as little-endian doubles in base64."""

    #: of the argument, and of the slice: "w", "[3, :, :]"
    name: str
    slice: str
    #: cells
    rows: int
    columns: int
    #: entries that a cell stands for, down and across; the worst of them is shown
    block: tuple[int, int]
    #: (*outputs, *shape), how many axes are the outputs', and the leading indices of the slice
    shape: tuple[int, ...]
    outputs: int
    lead: tuple[int, ...]
    #: names of the cells, where they are arguments of a number each
    labels: tuple[str, ...]
    png: str
    given: str
    expected: str
    bar: str
    #: of the entry in its slice, flat
    places: str
    #: the worst cell
    worst: int
    #: on the page, in pixels
    width: int
    height: int
    #: the worst entry in words
    caption: str

    @property
    def about(self) -> dict[str, Any]:
        """What the page's script asks for."""
        names = ("name", "rows", "columns", "shape", "outputs", "lead", "labels", "worst")
        return {n: getattr(self, n) for n in names}


def palette() -> np.ndarray:
    """(242, 3) uint8."""
    decades = np.linspace(LOW, HIGH, COLOURS)
    stops = np.array([_rgb(c) for _, c in _STOPS], float)
    ramps = [np.interp(decades, [d for d, _ in _STOPS], stops[:, k]) for k in range(3)]
    return np.concatenate([np.stack(ramps, 1), [_rgb(c) for c in _EXTRA]]).round().astype(np.uint8)


def _rgb(text: str) -> list[int]:
    return list(bytes.fromhex(text))


def _measured(result: CheckResult) -> list[Leafwise]:
    return [leaf for leaf in result.leaves if leaf.expected is not None and leaf.bar is not None]


def decades(leaf: Leafwise) -> np.ndarray:
    """log10 of |given − expected| in tolerances; −inf where nothing is known, inf where given is not finite.

    What the check found off lies above 0, and everything else below.
    """
    expected = np.asarray(leaf.expected)
    with np.errstate(all="ignore"):
        found = np.log10(np.abs(leaf.given - expected) / leaf.tolerance)
    found = np.where(np.isnan(found) | (leaf.given == expected), -np.inf, np.maximum(found, LOW))
    found = np.where(leaf.given == expected, LOW, found)
    found = np.where(np.isnan(expected), -np.inf, found)
    off = np.zeros(found.shape, bool) if leaf.off is None else leaf.off
    found = np.where(off, np.maximum(found, 0.02), np.minimum(found, -0.05))
    return np.where(off & ~np.isfinite(leaf.given), np.inf, found)


def heat_maps(result: CheckResult) -> list[HeatMap]:
    """Of every argument whose entries were all measured, the worst first; arguments of one number each share a strip."""
    numbers = [leaf for leaf in _measured(result) if leaf.given.size == 1]
    arrays = [leaf for leaf in _measured(result) if leaf.given.size > 1]
    arrays.sort(key=lambda leaf: -_worst(decades(leaf)))
    side = min(MOST_SIDE, math.isqrt(MOST_CELLS // max(1, len(arrays[:MOST_ARGUMENTS]))))
    maps = [_strip(numbers)] if len(numbers) > 1 else []
    for leaf in arrays[:MOST_ARGUMENTS]:
        maps += _slices(leaf, decades(leaf), leaf.output_axes, side)
    return maps


def left_out(result: CheckResult) -> int:
    """How many arguments heat_maps leaves out."""
    return max(0, sum(leaf.given.size > 1 for leaf in _measured(result)) - MOST_ARGUMENTS)


def entry_name(name: str, index: Sequence[int], outputs: int) -> str:
    """ "out[2] by w[3, 1]": as a check names its entries."""
    own = [str(i) for i in index[outputs:]]
    entry = f"{name}[{', '.join(own)}]" if own else name
    return f"out[{', '.join(str(i) for i in index[:outputs])}] by {entry}" if outputs else entry


def _worst(severity: np.ndarray) -> float:
    return float(severity.max(initial=-np.inf))


def _strip(leaves: Sequence[Leafwise]) -> HeatMap:
    flat = lambda name: np.array([np.asarray(getattr(leaf, name)).reshape(()) for leaf in leaves], float)
    severity = np.array([decades(leaf).reshape(()) for leaf in leaves])
    numbers = (flat("given"), flat("expected"), flat("bar"))
    labels = tuple(leaf.name for leaf in leaves)
    return _map("arguments of one number", "", severity[None], numbers, (len(leaves),), 0, (), labels, MOST_SIDE)


def _slices(leaf: Leafwise, severity: np.ndarray, outputs: int, side: int) -> list[HeatMap]:
    shape = leaf.given.shape
    numbers = (leaf.given, np.asarray(leaf.expected), np.asarray(leaf.bar))
    if len(shape) <= 2:
        rows = " (outputs down, entries across)" * (outputs == 1 and len(shape) == 2)
        return [_map(leaf.name, rows, np.atleast_2d(severity), numbers, shape, outputs, (), (), side)]
    leads = list(np.ndindex(*shape[:-2]))
    order = sorted(leads, key=lambda at: -_worst(severity[at]))[:MOST_SLICES]
    more = f", the worst {len(order)} of {len(leads):,} slices" * (len(leads) > len(order))
    return [
        _map(
            leaf.name, f"[{', '.join(map(str, at))}, :, :]{more}", severity[at], tuple(n[at] for n in numbers), shape, outputs,
            at, (), side // 2 if len(order) > 1 else side,
        )
        for at in sorted(order)
    ]  # fmt: skip


def _map(
    name: str, where: str, severity: np.ndarray, numbers: Sequence[np.ndarray], shape: tuple[int, ...], outputs: int,
    lead: tuple[int, ...], labels: tuple[str, ...], side: int,
) -> HeatMap:  # fmt: skip
    severity, places, block = _coarser(severity, side if severity.shape[0] > 1 else MOST_SIDE)
    rows, columns = severity.shape
    scale = min(28.0, 440 / columns, 440 / rows)
    shown = [n.reshape(-1)[places.reshape(-1)] for n in numbers]
    worst = int(np.argmax(severity))
    index = (*lead, *np.unravel_index(places.reshape(-1)[worst], shape[len(lead) :]))
    entry = labels[worst] if labels else entry_name(name, index, outputs)
    given, expected, bar = (float(n[worst]) for n in shown)
    known = "not known" if math.isnan(expected) else f"{expected:.9g} ± {bar:.1e}"
    block_words = f"; a cell is the worst of {block[0]} × {block[1]} entries" * (block != (1, 1))
    packed_given, packed_expected, packed_bar = (_packed(n, "<f8") for n in shown)
    return HeatMap(
        name, where, rows, columns, block, shape, outputs, lead, labels, _png(_indices(severity)),
        packed_given, packed_expected, packed_bar, _packed(places.reshape(-1), "<i4"), worst,
        round(min(440, max(64, columns * scale))), round(min(440, max(28, rows * scale))),
        f"worst: {entry}: given {given:.9g}, expected {known}{block_words}",
    )  # fmt: skip


def _coarser(severity: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """At most side × side cells, each the worst of a block; and which entry that is, as a flat place in the array."""
    rows, columns = severity.shape
    down, across = -(-rows // side), -(-columns // side)
    places = np.arange(severity.size).reshape(rows, columns)
    if down == across == 1:
        return severity, places, (1, 1)
    high, wide = -(-rows // down), -(-columns // across)
    blocks = np.full((high * down, wide * across), -np.inf)
    blocks[:rows, :columns] = severity
    blocks = blocks.reshape(high, down, wide, across).swapaxes(1, 2).reshape(high, wide, -1)
    within = blocks.argmax(axis=2)
    at_row = np.arange(high)[:, None] * down + within // across
    at_column = np.arange(wide)[None] * across + within % across
    return blocks.max(axis=2), places[at_row, at_column], (down, across)


def _indices(severity: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        steps = (np.clip(severity, LOW, HIGH) - LOW) / (HIGH - LOW) * (COLOURS - 1)
    found = np.where(severity == -np.inf, _UNKNOWN, np.round(steps))
    return np.where(severity == np.inf, _NAN, found).astype(np.uint8)


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


def _png(indices: np.ndarray) -> str:
    """A picture of palette colours, in base64: a byte a pixel, deflated."""
    rows, columns = indices.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), indices], axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", palette().tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    parts = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
