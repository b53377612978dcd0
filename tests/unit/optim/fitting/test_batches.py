"""Where batches come from: each example once an epoch, any step's batch from seed and step alone, files larger than memory."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diffkit as dk
from diffkit.errors import ArgumentError, DataError, DtypeError, ShapeError
from diffkit.optim.fitting.batches import ArrayBatches, batches
from diffkit.optim.fitting.examples import Examples, pieces, size

counts = st.integers(1, 40)


def seen(source: ArrayBatches, epoch: int, skip: int = 0) -> list[np.ndarray]:
    return [np.array(b) for b in source.epoch(epoch, skip)]


@given(n=counts, batch=counts, epoch=st.integers(0, 3), seed=st.integers(0, 5), shuffle=st.booleans())
def test_each_example_once_an_epoch(n, batch, epoch, seed, shuffle):
    source = ArrayBatches(np.arange(n), batch, shuffle, False, seed)
    found = seen(source, epoch)
    assert len(found) == source.steps_per_epoch == -(-n // batch)
    assert sorted(np.concatenate(found)) == list(range(n))
    assert [len(b) for b in found[:-1]] == [batch] * (len(found) - 1)


@given(n=counts, batch=counts, skip=st.integers(0, 5), shuffle=st.sampled_from([True, False, "replacement"]))
def test_a_step_needs_no_replay(n, batch, skip, shuffle):
    whole = seen(ArrayBatches(np.arange(n), batch, shuffle, False, 7), 2)
    rest = seen(ArrayBatches(np.arange(n), batch, shuffle, False, 7), 2, skip)
    assert [b.tolist() for b in rest] == [b.tolist() for b in whole[skip:]]


def test_order_changes_with_epoch_and_seed():
    source = ArrayBatches(np.arange(100), 100, True, False, 0)
    other = ArrayBatches(np.arange(100), 100, True, False, 1)
    first, second = seen(source, 0)[0], seen(source, 1)[0]
    assert first.tolist() != second.tolist() and first.tolist() != seen(other, 0)[0].tolist()


def test_with_replacement():
    source = ArrayBatches(np.arange(10), 8, "replacement", False, 0)
    found = seen(source, 0)
    assert [len(b) for b in found] == [8, 8]  # ⌈10/8⌉ steps, all of them whole
    many = np.concatenate([b for e in range(500) for b in seen(source, e)])
    frequency = np.bincount(many, minlength=10) / len(many)
    assert np.abs(frequency - 0.1).max() < 0.02
    assert any(len(set(b)) < 8 for e in range(9) for b in seen(source, e))


def test_drop_last():
    assert [len(b) for b in seen(ArrayBatches(np.arange(10), 4, True, True, 0), 0)] == [4, 4]
    with pytest.raises(DataError, match="drop_last leaves no batch: there are 3 examples, and batch_size is 4"):
        ArrayBatches(np.arange(3), 4, True, True, 0)


def test_nests_keep_their_rows_together():
    x = np.arange(20.0).reshape(10, 2)
    data = {"x": x, "more": (x[:, 0] * 3, np.arange(10, dtype=np.int32))}
    for batch in ArrayBatches(data, 3, True, False, 0).epoch(0, 0):
        rows = batch["more"][1]
        assert batch["more"][1].dtype == np.int32
        assert (batch["x"] == x[rows]).all() and (batch["more"][0] == 3 * x[rows, 0]).all()


@pytest.mark.parametrize("shuffle", [True, False, "replacement"])
@pytest.mark.parametrize("kind", ["memmap", "view of a memmap", "transposed", "lazy"])
def test_arrays_that_are_not_whole_in_memory(tmp_path, shuffle, kind):
    """The same batches as of an array; what is indexed lazily is asked for in increasing order, without repetitions."""
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    asked = []

    class Lazy:
        shape, dtype = x.shape, x.dtype

        def __getitem__(self, rows):
            asked.append(rows)
            return x[rows]

    leaf = {"memmap": mapped, "view of a memmap": np.asarray(mapped)[:], "transposed": x.T.copy().T, "lazy": Lazy()}[
        kind
    ]
    for mine, theirs in zip(
        ArrayBatches((leaf,), 7, shuffle, False, 3).epoch(1, 0),
        ArrayBatches((x,), 7, shuffle, False, 3).epoch(1, 0),
        strict=True,
    ):
        assert type(mine[0]) is np.ndarray and (mine[0] == theirs[0]).all()
    assert all((np.diff(rows) > 0).all() for rows in asked if not isinstance(rows, slice))


def test_a_mapped_file_is_never_whole_in_memory(tmp_path):
    """A file of holes, larger than any memory here."""
    huge = np.memmap(tmp_path / "huge", np.float64, "w+", shape=(2**27, 64))  # 64 GiB
    huge[12345] = 1.5
    examples = Examples(huge)
    assert (examples.rows(np.array([12345, 0, 12345]))[:, 0] == [1.5, 0, 1.5]).all()
    del huge, examples


@pytest.mark.parametrize(
    ("data", "error", "told"),
    [
        ((np.ones(3), np.ones(4)), ShapeError, r"data\[1\] has 4 examples, but data\[0\] has 3"),
        ({"x": np.ones((0, 2))}, DataError, r"data has no examples: the first axis of data.x is of length 0"),
        ((), DataError, "data has no arrays"),
        ((np.ones(3), 2.0), ArgumentError, r"data\[1\] is float"),
        ((np.ones(3), np.float64(2)), ArgumentError, r"data\[1\] is a scalar"),
        (np.array(["a"]), DtypeError, "data has dtype <U1"),
        ([], DataError, "data has no batches"),
        (3, ArgumentError, "data is int; give an array"),
        ("abc", ArgumentError, "data is str; give an array"),
    ],
)  # fmt: skip
def test_bad_data(data, error, told):
    with pytest.raises(error, match=told):
        batches(data, 2, 1, None, True, False, 0)


def test_iterables_and_functions():
    x = [np.full(2, k) for k in range(5)]
    source = batches(x, 32, 3, None, True, False, 0)
    assert source.steps_per_epoch == 5 and [b[0] for b in source.epoch(0, 2)] == [2, 3, 4]
    called = batches(lambda step: step * 10, 32, None, 4, True, False, 0)
    assert list(islice(called.epoch(0, 1), 3)) == [10, 20, 30] and called.steps_per_epoch is None
    with pytest.raises(ArgumentError, match="give steps="):
        batches(lambda step: step, 32, 2, None, True, False, 0)
    with pytest.raises(DataError, match="used up after one pass"):
        batches(iter(x), 32, 2, None, True, False, 0)
    assert len(list(batches(iter(x), 32, 1, None, True, False, 0).epoch(0, 0))) == 5
    twice = batches(iter(x), 32, None, 9, True, False, 0)
    assert len(list(twice.epoch(0, 0))) == 5
    with pytest.raises(DataError, match="used up"):
        list(twice.epoch(1, 0))
    with pytest.raises(DataError, match="no batches"):
        list(batches((x for x in ()), 32, 1, None, True, False, 0).epoch(0, 0))


@given(n=st.integers(1, 30), count=st.integers(1, 12))
def test_pieces_are_the_batch(n, count):
    batch = (np.arange(n), {"y": np.arange(2 * n).reshape(n, 2), "scale": 3.0})
    parts = list(pieces(batch, count))
    assert len(parts) <= count
    assert np.concatenate([p[0] for p, _ in parts]).tolist() == list(range(n))
    assert np.concatenate([p[1]["y"] for p, _ in parts]).tolist() == batch[1]["y"].tolist()
    assert all(p[1]["scale"] == 3.0 and share == size(p) / n for p, share in parts)
    assert sum(share for _, share in parts) == pytest.approx(1)


def test_pieces_of_unequal_arrays():
    with pytest.raises(ShapeError, match="arrays of 3 and of 2 examples"):
        list(pieces((np.ones(3), np.ones(2)), 2))


def test_fit_refuses_what_makes_no_sense():
    loss, opt = lambda p, b: (p * b).mean(), dk.optim.SGD(0.1)
    x = np.ones(4)
    for change, told in [
        ({"batch_size": 0}, "batch_size is a whole number of at least 1, not 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"epochs": 0}, "epochs"),
        ({"steps": -1}, "steps"),
        ({"accumulate": 0}, "accumulate"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"clip_norm": 0.0}, "clip_norm is a positive number"),
        ({"clip_value": -1.0}, "clip_value is a positive number"),
        ({"shuffle": "yes"}, "shuffle is True"),
        ({"resume": "maybe"}, "resume is True"),
        ({"resume": "must"}, "needs checkpoint="),
        ({"optimizer": "adam"}, "optimizer is one of dk.optim"),
        ({"optimizer": dk.optim.Adam}, "not Adam itself"),
        ({"early_stopping": 3}, "give validation="),
        ({"metrics": {"m": loss}}, "give validation="),
        ({"callbacks": [3]}, "a callback is a function"),
    ]:
        with pytest.raises(ArgumentError, match=told):
            dk.optim.fit(loss, 1.0, x, **{"optimizer": opt, **change})
    with pytest.raises(ArgumentError, match="the loss is a function"):
        dk.optim.fit(3, 1.0, x, optimizer=opt)
    with pytest.raises(DtypeError, match=r"params.n has dtype int64"):
        dk.optim.fit(loss, {"n": np.arange(2)}, x, optimizer=opt)
    with pytest.raises(ShapeError, match=r"validation\[1\] has 2 examples"):
        dk.optim.fit(loss, 1.0, x, optimizer=opt, validation=(np.ones(3), np.ones(2)))
