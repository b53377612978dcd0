"""The moving picture of a race as a GIF, drawn by Matplotlib, which is imported when one is asked for."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError
from ..optim.racing.result import RaceResult, Run
from .landscape import landscape

FRAMES, MILLISECONDS, LAST = 60, 80, 2000
COLOURS = ("#0a66b0", "#b86a00", "#00805d", "#b0388a", "#c0392b", "#5b4bb7", "#6b7300", "#007a8c")


def write_gif(path: str | os.PathLike[str], result: RaceResult, frames: int = FRAMES) -> None:
    """Writes the paths over the contours as a moving picture, all or nothing.

    Raises ArgumentError for a problem of one variable, or whose paths or values are not finite.
    """
    target = Path(path)
    picture = gif(result, frames)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(picture)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def gif(result: RaceResult, frames: int = FRAMES) -> bytes:
    """The file's content."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    land = landscape(result)
    if land is None:
        raise ArgumentError(
            f"a moving picture of paths needs two variables at least, and paths and values that are finite; "
            f"{result.problem.name} has {result.problem.dimension} (the page of --out shows losses)"
        )
    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.contour(land.x, land.y, land.z, levels=land.levels, cmap="Greys_r", linewidths=0.6, alpha=0.6)
    for best in result.problem.minimisers:
        axes.plot(*land.plane.within(best[None])[0], "k+", ms=9)
    axes.set(xlim=(land.x[0], land.x[-1]), ylim=(land.y[0], land.y[-1]))
    axes.set(xlabel=land.names[0], ylabel=land.names[1])
    lines = []
    for k, e in enumerate(result.entrants):
        style = "-" if k < len(COLOURS) else "--"
        (line,) = axes.plot([], [], style, color=COLOURS[k % len(COLOURS)], lw=1.4, label=e.name)
        (dot,) = axes.plot([], [], "o", color=line.get_color(), ms=5)
        lines.append((e.shown, line, dot))
    figure.legend(fontsize=7, loc="outside right upper", frameon=False)
    title = axes.set_title("", fontsize=10)
    pictures = []
    for t in np.linspace(0, result.steps, max(frames, 2)):
        for run, line, dot in lines:
            points = land.plane.within(_until(run, float(t)))
            line.set_data(points[:, 0], points[:, 1])
            dot.set_data(points[-1:, 0], points[-1:, 1])
        title.set_text(f"{result.problem.title}: {int(t)} of {result.steps} evaluations")
        canvas.draw()
        pictures.append(
            Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()).quantize(
                255, method=Image.Quantize.FASTOCTREE
            )
        )
    out = io.BytesIO()
    pictures[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        loop=0,
        duration=[MILLISECONDS] * (len(pictures) - 1) + [LAST],
    )
    return out.getvalue()


def _until(run: Run, time: float) -> Any:
    """The iterates until a number of evaluations, and the place between two of them."""
    fine = np.isfinite(run.points).all(axis=1)
    points, at = run.points[fine], run.evaluations[fine]
    k = int(np.searchsorted(at, time, side="right"))
    if k >= len(at):
        return points
    between = [np.interp(time, at, points[:, c]) for c in range(points.shape[1])]
    return np.vstack([points[:k], between])
