"""Races: counted alike, tuned on the grid, nothing hidden."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import diffkit as dk
from diffkit.errors import ArgumentError, DiffkitError, ShapeError
from diffkit.optim.objective import Objective
from diffkit.optim.racing import GRID, Problem, Run, problem, race
from diffkit.optim.racing.contestants import NAMES
from diffkit.optim.racing.running import Track, run
from diffkit.optim.racing.showing import remark, text


@pytest.fixture(scope="module")
def rosenbrock():
    return race("rosenbrock", ["sgd", "momentum", "adam", "lbfgs", "newton", "trust-ncg"], steps=80)


def test_a_first_order_run_is_the_iteration_itself():
    p = problem("beale")
    found = race(p, ["sgd"], steps=25, grid=[0.003])["sgd"]
    x, g = p.start.copy(), dk.grad(p.function)
    for k, point in enumerate(found.runs[0].points):
        assert np.allclose(point, x, rtol=1e-12), k
        assert np.isclose(found.runs[0].values[k], p.function(x), rtol=1e-12)
        x = x - 0.003 * g(x)
    assert found.runs[0].evaluations.tolist() == list(range(26))
    assert found.final == found.runs[0].values[-1]


def test_everybody_pays_in_the_same_currency(rosenbrock):
    for e in rosenbrock.entrants:
        counts = e.runs[0].evaluations
        assert counts[0] == 0 and (np.diff(counts) > 0).all() and counts[-1] <= 80
    n = 2
    newton = rosenbrock["newton"].runs[0].evaluations
    assert (np.diff(newton) >= 2 * n + 1).all(), "a Hessian is 2n, and the new point's gradient one"


def test_counts_are_those_of_a_function_that_counts(monkeypatch):
    p, calls, original = problem("rosenbrock"), [], Objective.point
    track = Track(p, "cpu")
    monkeypatch.setattr(Objective, "point", lambda self, x: calls.append(1) or original(self, x))
    found = run(track, p.start, dk.optim.BFGS(line_search_fn="strong_wolfe"), 30, None, 0)
    assert 25 < found.evaluations[-1] <= 30 and track.cost == len(calls)


def test_the_best_rate_of_the_grid_wins_and_all_tries_are_kept(rosenbrock):
    adam = rosenbrock["adam"]
    assert [t.rate for t in adam.tries] == list(GRID)
    alone = {r: race("rosenbrock", ["adam"], steps=80, grid=[r])["adam"].final for r in GRID}
    assert {t.rate: t.final for t in adam.tries} == alone
    assert adam.final == min(alone.values()) and alone[adam.rate] == adam.final


def test_those_that_find_their_own_steps_are_not_tuned(rosenbrock):
    assert rosenbrock["lbfgs"].rate is None and len(rosenbrock["lbfgs"].tries) == 1
    assert rosenbrock["lbfgs"].reached[1e-8] is not None


def test_diverged_runs_are_shown_as_such(rosenbrock):
    sgd = rosenbrock["sgd"]
    lost = [t for t in sgd.tries if t.state == "diverged"]
    assert lost and all(t.rate > sgd.rate for t in lost)
    hopeless = race("rosenbrock", ["sgd"], steps=50, grid=[1.0, 10.0])
    assert hopeless["sgd"].state == "diverged" and math.isinf(hopeless["sgd"].final)
    assert "diverged" in text(hopeless) and "not finite" in text(hopeless)


def test_a_best_rate_at_the_edge_is_said():
    found = race("quadratic:cond=10", ["sgd"], steps=20, grid=[1e-4, 1e-3])
    assert found["sgd"].at_edge and "edge of the grid" in str(found)
    assert not race("quadratic:cond=10", ["sgd"], steps=20, grid=[1e-3, 0.1, 1.0])["sgd"].at_edge


def test_reached_is_the_first_evaluation_close_enough():
    values = np.array([11.0, 5.0, 1.05, 2.0, 1.0005, 1.0])
    made = Run(np.zeros((6, 1)), values, np.array([0, 2, 3, 5, 8, 13]), "", 0.0, None, 0)
    assert made.reached(1e-2, 1.0) == 3 and made.reached(1e-4, 1.0) == 8 and made.reached(1e-8, 1.0) == 13
    assert made.reached(1e-8, 0.9) == math.inf
    # from the least value that anybody found there is no way to go
    assert made.reached(1e-2, 11.0) == 0 and replace(made, values=values[::-1]).reached(1e-2, 1.0) == math.inf


def test_equal_ends_are_told_apart_by_who_was_there_sooner():
    found = race("quadratic:cond=100", ["trust-ncg", "newton"], steps=60)
    assert [e.name for e in found.entrants] == ["newton", "trust-ncg"]
    assert found["newton"].reached[1e-8] == 5


# ---- noise ----
def test_noise_is_seeded_and_losses_are_without_it():
    kwargs = {"steps": 30, "grid": [0.03, 0.1]}
    a, b = (race("noisy-quadratic", ["sgd", "lbfgs"], **kwargs) for _ in range(2))
    p = problem("noisy-quadratic")
    assert [e.final for e in a.entrants] == [e.final for e in b.entrants] and a.seeds == (0, 1, 2, 3, 4)
    for r in a["sgd"].runs:
        assert np.allclose(r.values, [p.function(x) for x in r.points], rtol=1e-12)
    ends = sorted(r.final for r in a["sgd"].runs)
    assert len(set(ends)) == 5 and a["sgd"].final == ends[2] == a["sgd"].shown.final
    other = race("noisy-quadratic", ["sgd"], seeds=[7], **kwargs)
    assert other.seeds == (7,) and other["sgd"].final not in ends


def test_a_seed_that_diverged_is_said_beside_the_median():
    # close to the largest stable rate, 0.2, the noise decides
    found = race("noisy-quadratic:sigma=1", ["sgd"], steps=40, grid=[0.19], seeds=9)["sgd"]
    bad = sum(r.state == "diverged" for r in found.runs)
    assert found.state == found.shown.state == "ran" and bad == 1
    assert "1 of 9 seeds diverged" in remark(found)


def test_noise_has_the_stated_size():
    p = problem("noisy-quadratic:sigma=0.5")
    track = Track(p, "cpu")
    exact = dk.grad(p.function)(p.start)
    draws = np.array([track.point(p.start).gradient - exact for _ in range(4000)])
    assert np.allclose(draws.std(axis=0), 0.5, rtol=0.05) and np.allclose(draws.mean(axis=0), 0, atol=0.04)
    at = track.point(p.start)
    assert np.isclose(at.value - p.function(p.start), (at.gradient - exact) @ p.start), (
        "value and gradient are of one draw"
    )


def test_without_noise_one_run_is_enough(rosenbrock):
    assert rosenbrock.seeds == (0,) and all(len(e.runs) == 1 for e in rosenbrock.entrants)


# ---- what can race ----
def test_every_name_races():
    found = race("rosenbrock:n=4", NAMES, steps=12, grid=[0.01])
    assert {e.name for e in found.entrants} == set(NAMES)
    assert all(np.isfinite(e.shown.points).all() for e in found.entrants if e.state != "diverged")


def test_optimisers_keep_their_rate_and_labels_name_them():
    found = race(
        "beale",
        {"mine": dk.optim.Adam(0.05), "heavy": lambda rate: dk.optim.SGD(rate, momentum=0.99)},
        steps=10,
        grid=[1e-3, 1e-2],
    )
    assert found["mine"].rate is None and len(found["heavy"].tries) == 2 and "momentum=0.99" in found["heavy"].formula


def test_schedules_and_look_ahead_race():
    schedule = dk.optim.schedules.cosine(0.003, 20)
    ahead = dk.optim.SGD(1e-3, momentum=0.9, nesterov=True, flavor="L2")
    found = race("beale", {"cosine": dk.optim.SGD(schedule), "ahead": ahead}, steps=20)
    assert all(e.state == "ran" and e.shown.final < e.shown.values[0] for e in found.entrants)


def test_a_function_of_ones_own():
    found = race(lambda x: np.sum((x - 3) ** 4), ["lbfgs", "newton"], start=[0.0, 1.0], steps=60)
    assert not found.known and found.minimum == min(e.runs[0].lowest for e in found.entrants)
    assert "that anybody found" in str(found)
    known = race(lambda x: np.sum((x - 3) ** 4), ["newton"], start=[0.0], minimum=0.0, steps=60)
    assert known.known and known.minimum == 0


def test_a_start_takes_the_place_of_the_problems():
    found = race("beale", ["lbfgs"], start=[2.0, 0.2], steps=10)
    assert found["lbfgs"].runs[0].points[0].tolist() == [2.0, 0.2]


def test_newton_that_is_told_to_stop_stops():
    found = race("saddle", {"strict": dk.optim.Newton(indefinite="error")}, steps=30)
    assert found["strict"].state == "stopped" and "not positive definite" in found["strict"].message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizers": ["adma"]}, "did you mean 'adam'"), ({"optimizers": []}, "one optimiser at least"),
        ({"optimizers": ["adam", "Adam"]}, "races twice"), ({"optimizers": [3]}, "an optimiser to race is"),
        ({"steps": 0}, "positive whole number"), ({"grid": [0.1, -1.0]}, "positive numbers"), ({"grid": []}, "positive numbers"),
        ({"start": [1.0, 2.0, 3.0]}, "has 3 numbers"), ({"start": [math.nan, 1.0]}, "at the start"),
        ({"on": lambda x: x}, "needs a start"), ({"on": 3}, "not int"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_told(change, said):
    arguments = {"on": "rosenbrock", "optimizers": ["adam"], "steps": 5, **change}
    on = arguments.pop("on")
    with pytest.raises((ArgumentError, ShapeError, DiffkitError), match=said):
        race(on, **arguments)


def test_progress_counts_every_run():
    seen = []
    race("noisy-quadratic", ["sgd", "lbfgs"], steps=3, grid=[0.1, 0.2], seeds=2, progress=lambda *a: seen.append(a))
    assert [s[1:] for s in seen] == [(k, 6) for k in range(1, 7)] and {s[0] for s in seen} == {"sgd", "lbfgs"}


# ---- the result ----
def test_plain_data_is_json_without_nan(rosenbrock):
    found = json.loads(rosenbrock.to_json(), parse_constant=lambda c: pytest.fail(c))
    assert found["problem"]["name"] == "rosenbrock" and len(found["optimizers"]) == 6
    adam = next(o for o in found["optimizers"] if o["name"] == "adam")
    assert len(adam["tries"]) == len(GRID) and len(adam["path"]) == len(adam["losses"]) == 81
    assert any(t["final"] is None or t["state"] == "diverged" for o in found["optimizers"] for t in o["tries"])


def test_the_table_says_how_it_was_raced(rosenbrock):
    said = str(rosenbrock)
    assert all(e.name in said for e in rosenbrock.entrants)
    assert "80 gradient evaluations" in said and "10 values from 0.0001 to 3.162" in said and "f* = 0" in said


def test_problems_can_be_made():
    own = Problem("bowl", "a bowl", lambda x: np.sum(x * x), np.ones(3), 0.0)
    assert race(own, ["newton"], steps=20)["newton"].reached[1e-8] == 7


def test_page(tmp_path) -> None:
    result = race("himmelblau", ("sgd", "lbfgs"), steps=20)
    result.to_html(tmp_path / "race.html")
    assert "Himmelblau" in (tmp_path / "race.html").read_text(encoding="utf-8")
