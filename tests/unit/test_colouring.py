"""Colourings against brute force, and against SciPy's grouping of columns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse as sp
from scipy.optimize._numdiff import group_columns

from diffkit.errors import ExceededError
from diffkit.sparse import rows as rows_module
from diffkit.sparse.colouring import colour_columns, colour_stars
from diffkit.sparse.rows import Rows, native


def rows_of(matrix) -> Rows:
    m = sp.csr_array(matrix)
    m.sort_indices()
    return Rows(m.indptr.astype(np.int64), m.indices.astype(np.int32), m.shape[1])


def dense(rows: Rows) -> np.ndarray:
    full = np.zeros((len(rows), rows.columns), bool)
    full[rows.owners(), rows.index] = True
    return full


def columns_apart(pattern: np.ndarray, colours: np.ndarray) -> bool:
    groups = [colours[np.flatnonzero(row)] for row in pattern]
    return all((g >= 0).all() and len(set(g)) == len(g) for g in groups)


def is_star_colouring(pattern: np.ndarray, colours: np.ndarray) -> bool:
    n = len(pattern)
    next_to = [[j for j in np.flatnonzero(pattern[i]) if j != i] for i in range(n)]
    for i in range(n):
        for j in next_to[i]:
            if colours[i] == colours[j]:
                return False
            for k in next_to[j]:
                if k != i and colours[k] == colours[i] and any(m != j and colours[m] == colours[j] for m in next_to[k]):
                    return False
    return True


def random_pattern(rng, m: int, n: int, symmetric: bool = False) -> np.ndarray:
    pattern = rng.random((m, n)) < rng.random() ** 2
    return pattern | pattern.T if symmetric else pattern


def banded(n: int, half: int) -> sp.csr_array:
    width = range(-half, half + 1)
    return sp.csr_array(sp.diags_array([np.ones(n - abs(k)) for k in width], offsets=list(width)))


def arrow(n: int) -> np.ndarray:
    pattern = np.eye(n, dtype=bool)
    pattern[0] = pattern[:, 0] = True
    return pattern


def test_columns_of_a_colour_never_meet() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        pattern = random_pattern(rng, *rng.integers(1, 15, 2))
        rows = rows_of(pattern)
        found = colour_columns(rows, rows.transpose())
        assert columns_apart(pattern, found.of)
        assert found.lower_bound == pattern.sum(axis=1).max() <= found.count == found.of.max() + 1
        assert ((found.of >= 0) == pattern.any(axis=0)).all()


def test_star_colourings_are_valid_and_close_to_the_best() -> None:
    rng = np.random.default_rng(2)
    extra = []
    for _ in range(50):
        n = int(rng.integers(1, 7))
        pattern = random_pattern(rng, n, n, symmetric=True) | np.eye(n, dtype=bool)
        found = colour_stars(rows_of(pattern))
        colourings = (c for k in range(1, n + 1) for c in itertools.product(range(k), repeat=n))
        best = next(max(c) + 1 for c in colourings if is_star_colouring(pattern, np.array(c)))
        assert found.lower_bound <= best <= found.count
        extra.append(found.count - best)
    assert np.mean(extra) < 0.1


def test_star_colourings_of_larger_graphs_are_valid() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        n = int(rng.integers(1, 25))
        pattern = random_pattern(rng, n, n, symmetric=True)
        found = colour_stars(rows_of(pattern))
        assert is_star_colouring(pattern, found.of)
        assert ((found.of >= 0) == pattern.any(axis=0)).all()
        assert found.lower_bound <= found.count == found.of.max(initial=-1) + 1


@pytest.mark.parametrize(
    ("pattern", "colours"),
    [
        (np.eye(7, dtype=bool), 1),
        (banded(50, 1).toarray() > 0, 3),
        (arrow(40), 2),
        (np.ones((6, 6), bool), 6),
        (np.zeros((4, 4), bool), 0),
        (np.kron(np.eye(5), np.ones((3, 3))) > 0, 3),
    ],
    ids=["diagonal", "tridiagonal", "arrow", "full", "empty", "blocks"],
)
def test_star_colourings_that_are_the_best(pattern, colours) -> None:
    found = colour_stars(rows_of(pattern))
    assert found.count == found.lower_bound == colours
    assert is_star_colouring(pattern, found.of)


def test_every_entry_of_a_hessian_is_read_where_it_stands_alone() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        n = int(rng.integers(1, 20))
        pattern = random_pattern(rng, n, n, symmetric=True)
        values = np.where(pattern, rng.normal(size=(n, n)), 0)
        values = values + values.T
        rows = rows_of(pattern)
        found = colour_stars(rows)
        directions = np.array([values[:, found.of == c].sum(axis=1) for c in range(found.count)]).reshape(-1)
        place = np.empty(rows.count, np.int64)
        native().either_side(rows.ptr, rows.index, found.of, place)
        assert np.array_equal(directions[place], values[rows.owners(), rows.index])


@pytest.mark.parametrize("pattern", [banded(300, 1), banded(300, 4), sp.random_array((200, 150), density=0.03, rng=5)])
def test_no_more_colours_than_scipys_groups(pattern) -> None:
    rows = rows_of(pattern)
    found = colour_columns(rows, rows.transpose())
    assert columns_apart(pattern.toarray() != 0, found.of)
    assert found.count <= group_columns(sp.csr_array(pattern)).max() + 1


def test_a_dense_row_gives_every_column_its_own_colour() -> None:
    pattern = np.vstack([np.ones(9, bool), np.eye(9, dtype=bool)])
    rows = rows_of(pattern)
    assert sorted(colour_columns(rows, rows.transpose()).of) == list(range(9))


def test_rows_do_as_sets_do() -> None:
    rng = np.random.default_rng(6)
    for _ in range(100):
        m, n = rng.integers(1, 9, 2)
        a, b = random_pattern(rng, m, n), random_pattern(rng, m, n)
        x, y = rows_of(a), rows_of(b)
        assert np.array_equal(dense(x.union(y)), a | b)
        assert np.array_equal(dense(x.transpose()), a.T)
        numbers = rng.integers(0, m, 12)
        assert np.array_equal(dense(x.take(numbers)), a[numbers])
        some = rng.random(m) < 0.5
        assert np.array_equal(dense(x.where(some)), a & some[:, None])
        groups = rng.integers(0, 5, 12)
        folded = np.array([a[numbers[groups == g]].any(axis=0) for g in range(5)])
        assert np.array_equal(dense(x.fold(numbers, groups, 5)), folded)
        assert np.array_equal(dense(Rows.joined([x, y])), np.vstack([a, b]))


def test_rows_that_hold_everything_are_not_copied() -> None:
    x, y = rows_of(np.eye(4)), rows_of(np.tri(4))
    assert x.union(y) is y
    assert y.union(x) is y
    assert x.union(x) is x


def test_too_many_entries_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "LIMIT", 100)
    full = rows_of(np.ones((1, 50)))
    with pytest.raises(ExceededError, match=r"150 places.*sparse=True"):
        full.take(np.zeros(3, np.int64))
