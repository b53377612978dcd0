"""The page of a race, without a browser: one file, of a modest size, with everything that was raced in it."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from diffkit.errors import ArgumentError
from diffkit.optim.racing import race
from diffkit.report.landscape import landscape
from diffkit.report.race import race_html, thinned, verdict, write_race
from diffkit.report.race_gif import gif, write_gif


@pytest.fixture(scope="module")
def plane():
    return race("rosenbrock", ["sgd", "adam", "lbfgs", "newton"], steps=60)


@pytest.fixture(scope="module")
def page(plane):
    return race_html(plane)


def test_the_page_holds_every_run_try_and_rule(plane, page):
    assert page.count("<figure") == 3 and page.count('class="band"') > 5
    for e in plane.entrants:
        assert page.count(f'data-run="{plane.entrants.index(e)}"') >= 4, "path and dot in both figures"
        assert e.name in page
    assert page.count('<td class="best">') == 2
    assert "gradient evaluations: a value counts as 1" in page and "torch.optim.Adam" in page


def test_the_page_asks_for_nothing_and_has_no_nan(page):
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert not re.search(r"[\" M](nan|inf)[ \"]", page, re.IGNORECASE)


def test_a_large_race_stays_below_half_a_megabyte():
    assert len(race_html(race("monkey-saddle", steps=600, grid=[0.01, 0.1])).encode()) < 500_000


def test_levels_are_the_functions(plane):
    land = landscape(plane)
    f = plane.problem.function
    j, k = 17, 40
    assert land.z[j, k] == pytest.approx(f(np.array([land.x[k], land.y[j]])) - plane.minimum)
    assert (np.diff(land.levels) > 0).all()


def test_the_window_follows_a_start_outside_and_functions_without_one():
    outside = landscape(race("beale", ["lbfgs"], start=[6.0, 0.4], steps=10))
    assert outside.x[0] < -1 and outside.x[-1] > 6
    own = landscape(race(lambda x: np.sum((x - [3.0, 50.0]) ** 2), ["lbfgs"], start=[0.0, 0.0], steps=10))
    assert own.x[0] < 0 and own.x[-1] > 3 and own.y[-1] > 50


@pytest.mark.parametrize("name", ["wood", "powell-singular:n=8", "quadratic:cond=50,n=20"])
def test_more_variables_are_shown_in_the_plane_of_the_paths(name):
    result = race(name, ["adam", "lbfgs"], steps=30)
    land = landscape(result)
    assert np.allclose(land.plane.directions @ land.plane.directions.T, np.eye(2), atol=1e-12)
    assert 0 < land.plane.share <= 1
    winner = result.entrants[0].shown.points
    assert np.allclose(land.plane.within(winner)[-1], 0)
    at = land.plane.origin + land.x[7] * land.plane.directions[0] + land.y[50] * land.plane.directions[1]
    assert land.z[50, 7] == pytest.approx(result.problem.function(at) - result.minimum)
    page = race_html(result)
    assert page.count("<figure") == 3 and "principal directions" in page


def test_a_plane_holds_paths_that_lie_in_one():
    # of five variables only two ever change
    result = race(
        lambda x: (x[1] - 1) ** 2 + 3 * x[3] ** 4, ["adam", "lbfgs"], start=[1.0, 2.0, 3.0, 4.0, 5.0], steps=20
    )
    land = landscape(result)
    assert land.plane.share == pytest.approx(1)
    for e in result.entrants:
        points = e.shown.points
        assert np.allclose(land.plane.origin + land.plane.within(points) @ land.plane.directions, points, atol=1e-9)


def test_one_variable_has_curves_alone():
    result = race(lambda x: np.sum(x**4), ["adam", "lbfgs"], start=[2.0], steps=10)
    assert landscape(result) is None and race_html(result).count("<figure") == 2
    with pytest.raises(ArgumentError, match="two variables at least"):
        gif(result)


@pytest.mark.parametrize(
    "name", ["saddle", "brown-badly-scaled", "powell-badly-scaled", "jennrich-sampson", "freudenstein-roth"]
)
def test_every_landscape_can_be_drawn(name):
    assert "<svg" in race_html(race(name, ["sgd", "adam", "newton"], steps=15))


def test_runs_that_diverged_are_drawn_as_far_as_they_are_numbers():
    result = race("rosenbrock", ["sgd"], steps=30, grid=[1.0])
    run = result["sgd"].shown
    assert np.isfinite(run.points[thinned(run)]).all() and thinned(run)[0] == 0
    made = race_html(result)
    assert (
        "Nobody ended below where it began." in made
        and 'class="diverged"' in made
        and "nan" not in made.split("<main>")[1]
    )


def test_long_runs_are_thinned_with_their_ends(plane):
    run = race("beale", ["sgd"], steps=1000, grid=[1e-3])["sgd"].shown
    keep = thinned(run)
    assert len(keep) == 300 and keep[0] == 0 and keep[-1] == len(run.points) - 1


def test_the_verdict_is_a_sentence(plane):
    assert re.fullmatch(r"lbfgs came first; all but 1e-8 of the way took it \d+ gradient evaluations\.", verdict(plane))


def test_pages_are_written_whole_or_not_at_all(plane, tmp_path, monkeypatch):
    write_race(tmp_path / "deep" / "race.html", plane)
    assert (tmp_path / "deep" / "race.html").read_text(encoding="utf-8") == race_html(plane)

    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    for write, name in ((write_race, "b.html"), (write_gif, "b.gif")):
        with pytest.raises(OSError, match="No space"):
            write(tmp_path / name, plane)
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]


def test_a_gif_moves(plane):
    from io import BytesIO

    from PIL import Image

    with Image.open(BytesIO(gif(plane, frames=4))) as image:
        assert image.n_frames == 4 and image.info["duration"] > 0
        first = np.asarray(image.convert("RGB"))
        image.seek(3)
        assert (np.asarray(image.convert("RGB")) != first).any()
