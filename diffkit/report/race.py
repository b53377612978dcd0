"""The page of a race: contours with the paths, loss curves, a moving picture of both, the table and all tries."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ..optim.racing.result import TOLERANCES, Entrant, RaceResult, Run
from ..optim.racing.showing import evaluations, gap, legend, rate, remark
from ..tape.store import write_atomically
from .landscape import Landscape, landscape
from .pages import _asset, environment
from .svg import Figure, Log, num
from .words import figure_number, percent, plural

#: colours of entrants; beyond them the same again, dashed
COLOURS = 8
WIDTH, HEIGHT = 440, 360
#: iterates drawn of a run
MOST_POINTS = 300
#: a loss closer to the minimum than this part of the start's is drawn at the bottom
LEAST = 1e-16


def race_html(result: RaceResult) -> str:
    """The page, in one file, without anything from elsewhere."""
    land = landscape(result)
    script = _asset("page.js") + _asset("race.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        environment()
        .get_template("race.html.j2")
        .render(
            r=result,
            p=result.problem,
            rows=[_row(k, e, result) for k, e in enumerate(result.entrants)],
            tolerances=[f"{t:.0e}".replace("e-0", "e-") for t in TOLERANCES],
            tries=_tries(result),
            verdict=verdict(result),
            says=[*result.rules(), *legend(result)],
            share=percent(land.plane.share) if land and result.problem.dimension > 2 else "",
            contours=Markup(_contours(result, land)) if land else "",
            curves=Markup(_curves(result)),
            tuning=Markup(_tuning(result)),
            race_style=Markup(_asset("race.css")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )


def write_race(path: str | os.PathLike[str], result: RaceResult) -> None:
    """Writes the page, all or nothing."""
    write_atomically(path, race_html(result))


def verdict(result: RaceResult) -> str:
    """Who won, in a sentence."""
    first = result.entrants[0]
    if first.state == "diverged":
        return "Nobody ended below where it began."
    with_rate = f" with learning rate {first.rate:.3g}" if first.rate is not None else ""
    closest = next((t for t in TOLERANCES[::-1] if first.reached[t] is not None), None)
    if closest is None:
        return f"{first.name}{with_rate} came closest: f − f* = {gap(first, result)}."
    tolerance = f"{closest:.0e}".replace("e-0", "e-")
    return (
        f"{first.name}{with_rate} came first; all but {tolerance} of the way took it "
        f"{plural(first.reached[closest] or 0, 'gradient evaluation')}."
    )


# ---- tables ----
def colour(k: int) -> str:
    return f"r{k % COLOURS}{' dashed' if k >= COLOURS else ''}"


def _row(k: int, e: Entrant, result: RaceResult) -> dict[str, Any]:
    return {
        "name": e.name, "colour": colour(k), "rate": "own steps" if e.rate is None else rate(e), "gap": gap(e, result),
        "remark": remark(e), "state": e.state, "reached": [evaluations(e.reached[t]) for t in TOLERANCES],
        "seconds": f"{e.seconds:.3f}", "formula": e.formula,
    }  # fmt: skip


def _tries(result: RaceResult) -> list[tuple[str, list[tuple[str, str]]]]:
    """Of each that was tuned, its loss − f* by learning rate: (text, kind)."""
    rows = []
    for e in result.entrants:
        if e.rate is None:
            continue
        cells = []
        for t in e.tries:
            shown = figure_number(t.final - result.minimum) if math.isfinite(t.final) else "∞"
            cells.append((shown, "best" if t.rate == e.rate else "lost" if t.state == "diverged" else ""))
        rows.append((e.name, cells))
    return rows


# ---- figures ----
def thinned(run: Run, most: int = MOST_POINTS) -> np.ndarray:
    """Which iterates are drawn: all that are finite, or some evenly, the last among them."""
    fine = np.isfinite(run.points).all(axis=1) & ~np.isnan(run.values)
    last = int(np.argmin(fine)) if not fine.all() else len(fine)
    return np.unique(np.linspace(0, last - 1, min(last, most)).round().astype(int))


def _run(figure: Figure, k: int, points: Sequence[tuple[float, float]], spent: Sequence[int]) -> None:
    """A path that the page's script can run along, and the dot at its end."""
    d = " ".join(f"{num(x)} {num(y)}" for x, y in points)
    times = " ".join(map(str, spent))
    figure.parts.append(f'<path class="run {colour(k)}" data-run="{k}" data-e="{times}" d="M{d}"/>')
    x, y = points[-1]
    figure.parts.append(f'<circle class="{colour(k)}" data-run="{k}" r="3.6" cx="{num(x)}" cy="{num(y)}"/>')


def _contours(result: RaceResult, land: Landscape) -> str:
    figure = Figure(
        WIDTH, HEIGHT, f"Contours of {result.problem.title} with the paths of {len(result.entrants)} optimisers"
    )
    left, right, top, bottom = 44, WIDTH - 8, 22, HEIGHT - 40
    x, y = land.axes(left, right, bottom, top)
    figure.x_axis(x, top, bottom, land.names[0])
    figure.y_axis(y, left, right, "")
    figure.text(4, 12, land.names[1], "title")
    figure.parts.append(
        f'<svg x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" '
        f'viewBox="{left} {top} {right - left} {bottom - top}" overflow="hidden">'
    )
    for piece in land.paths(x, y):
        figure.path(piece, "band")
    for best in result.problem.minimisers:
        across, up = land.plane.within(best[None])[0].tolist()
        a, b = x(across), y(up)
        figure.path(f"M{num(a - 5)} {num(b)}h10M{num(a)} {num(b - 5)}v10", "minimum")
    for k, e in reversed(list(enumerate(result.entrants))):
        run = e.shown
        keep = thinned(run)
        _run(
            figure,
            k,
            [(x(a), y(b)) for a, b in land.plane.within(run.points[keep]).tolist()],
            run.evaluations[keep].tolist(),
        )
    figure.parts.append("</svg>")
    return str(figure)


def _curves(result: RaceResult) -> str:
    """Loss − f* against evaluations."""
    from .charts import Linear

    figure = Figure(WIDTH, HEIGHT, "Loss above the minimum against gradient evaluations")
    left, right, top, bottom = 48, WIDTH - 10, 30, HEIGHT - 40
    gaps = [np.maximum(e.shown.values - result.minimum, 0.0) for e in result.entrants]
    start = max(float(gaps[0][0]), 1e-300)
    seen = np.concatenate([g[np.isfinite(g) & (g > 0)] for g in gaps] + [np.array([start])])
    # what diverges leaves the picture at the top
    low = math.log10(max(float(seen.min()), LEAST * start))
    high = math.log10(min(float(seen.max()), 1e3 * start))
    y = Log(math.floor(low - 0.1), math.ceil(high + 0.1), bottom, top)
    x = Linear(0, max(result.steps, 1), left, right)
    figure.x_axis(x, top, bottom, "gradient evaluations")  # type: ignore[arg-type]
    figure.y_axis(y, left, right, "loss − f*")
    figure.parts.append(f'<path class="cursor" data-left="{left}" data-right="{right}" d="M{right} {top}V{bottom}"/>')
    for k, (e, g) in reversed(list(enumerate(zip(result.entrants, gaps, strict=True)))):
        keep = thinned(e.shown)
        spent = e.shown.evaluations[keep].tolist()
        _run(figure, k, [(x(t), y(v)) for t, v in zip(spent, g[keep].tolist(), strict=True)], spent)
    return str(figure)


def _tuning(result: RaceResult) -> str:
    """Loss − f* at the end against the learning rate; gaps where a rate diverged."""
    tuned = [(k, e) for k, e in enumerate(result.entrants) if e.rate is not None and len(e.tries) > 1]
    if not tuned:
        return ""
    figure = Figure(WIDTH, 270, "Loss at the end by learning rate")
    left, right, top, bottom = 48, WIDTH - 10, 30, 230
    start = max(float(tuned[0][1].runs[0].values[0]) - result.minimum, 1e-300)
    found = [t.final - result.minimum for _, e in tuned for t in e.tries if t.state != "diverged"]
    least = min((v for v in found if v > 0), default=start)
    y = Log(math.floor(math.log10(max(least, LEAST * start)) - 0.1), math.ceil(math.log10(start) + 0.1), bottom, top)
    x = Log(math.log10(result.grid[0]) - 0.1, math.log10(result.grid[-1]) + 0.1, left, right)
    figure.x_axis(x, top, bottom, "learning rate")
    figure.y_axis(y, left, right, "loss − f*")
    for k, e in tuned:
        fine = [(x(t.rate or 1.0), y(t.final - result.minimum)) for t in e.tries if t.state != "diverged"]
        if fine:
            figure.parts.append(f'<g data-run="{k}">')
            figure.polyline(fine, f"run {colour(k)}")
            figure.parts += [f'<circle class="{colour(k)}" r="2.4" cx="{num(a)}" cy="{num(b)}"/>' for a, b in fine]
            figure.parts.append("</g>")
    return str(figure)
