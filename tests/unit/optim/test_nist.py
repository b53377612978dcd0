"""The reader of NIST's nonlinear regression files, and the files themselves where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import diffkit as dk

#: what a file of the collection looks like; the data are exact values of the model at the certified parameters
HEADER = """NIST/ITL StRD
Dataset Name:  Made1             (Made1.dat)

File Format:   ASCII
               Starting Values   (lines 41 to 42)
               Certified Values  (lines 41 to 47)
               Data              (lines 61 to 68)

Procedure:     Nonlinear Least Squares Regression

Description:   Invented, of Jos\u00e9's measurements.

Data:          1 Response  (y = growth)
               1 Predictor (x = time)
               8 Observations
               {difficulty} Level of Difficulty
               Generated Data

Model:         Exponential Class
               2 Parameters (b1 and b2)

{model}


          Starting {values}                  Certified Values

        Start 1     Start 2           Parameter     Standard Deviation
  b1 =   {start}           4.5           5.0000000000E+00  1.0000000000E-01
  b2 =   1             {minus}0.75       5.0000000000E-01  1.0D-02

Residual Sum of Squares:                    1.0000000000E-02
Residual Standard Deviation:                4.0824829046E-02
Degrees of Freedom:                                6
Number of Observations:                            8



Data:   {columns}
"""
MODEL = "               y = b1*(1-exp[-b2*x])  +  e"


def made(
    model: str = MODEL, columns: str = "y             x", rows: list[str] | None = None, difficulty: str = "Lower",
    values: str = "values", start: str = "1", minus: str = "",
) -> str:  # fmt: skip
    x = np.arange(1.0, 9.0)
    if rows is None:
        rows = [f"     {5 * (1 - np.exp(-0.5 * t)):.16E}   {t}E0" for t in x]
    head = HEADER.format(model=model, columns=columns, difficulty=difficulty, values=values, start=start, minus=minus)
    return head + "\n".join(rows) + "\n"


def read(tmp_path: Path, text: str | bytes) -> dk.data.Problem:
    path = tmp_path / "made.dat"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return dk.data.read_nist_strd(path)


def test_fields(tmp_path: Path) -> None:
    p = read(tmp_path, made())
    assert (p.name, p.model, p.response, p.difficulty) == ("Made1", "b1*(1-exp(-b2*x))", "y", "lower")
    assert (p.parameters, p.predictors, p.degrees_of_freedom) == (("b1", "b2"), ("x",), 6)
    assert [list(s) for s in p.starts] == [[1, 1], [4.5, 0.75]]
    assert list(p.certified) == [5, 0.5] and list(p.certified_sd) == [0.1, 0.01]
    assert (p.residual_sum_of_squares, p.residual_sd) == (0.01, 4.0824829046e-2)
    assert p.x.shape == p.y.shape == (8,) and p.x[-1] == 8
    assert np.max(np.abs(p.residuals(p.certified))) < 1e-14
    assert np.array_equal(p.residuals({"b2": 0.5, "b1": 5}), p.residuals([5, 0.5]))
    assert len(repr(p)) < 200 and "Made1" in repr(p)
    assert "arctan" in repr(read(tmp_path, made("   y = b1*arctan[b2*x] + e")))


@pytest.mark.parametrize("start", [0, 1, np.int64(1), (2, 1), [2.0, 0.3], {"b2": 0.3, "b1": 2.0}])
def test_fit(tmp_path: Path, start) -> None:
    p = read(tmp_path, made())
    found = p.fit(start)
    assert found.success and isinstance(found.x, np.ndarray) and found.names == ["b1", "b2"]
    assert np.all(p.digits(found.x) == 11)
    assert found.x_sd.shape == (2,) and found.jac.shape == (8, 2)


def test_wrong_starts_and_parameters(tmp_path: Path) -> None:
    p = read(tmp_path, made())
    with pytest.raises(dk.ArgumentError, match="starts 0 and 1, not 2"):
        p.fit(2)
    for wrong, message in (
        (None, "given as numbers in order or by name, not as None"),
        (1.0, "not as 1.0"),
        (True, "not as True"),
        ("ab", "not as 'ab'"),
        ([1.0, [2.0, 3.0]], "numbers in order"),
        (["a", "b"], "real numbers"),
        ([1.0, None], "real numbers"),
        ({"b1": 1.0, "b2": 1.0, "c": 3.0}, "no parameter 'c'"),
    ):
        with pytest.raises(dk.ArgumentError, match=message):
            p.fit(wrong)
    for wrong in ([1.0], {"b1": 1.0}):
        with pytest.raises(dk.ArgumentError, match=r"2 parameters \(b1, b2\), not 1"):
            p.residuals(wrong)


def test_capitals(tmp_path: Path) -> None:
    p, q = read(tmp_path, made()), read(tmp_path, made().upper())
    assert (q.model, q.parameters, q.predictors, q.difficulty) == (p.model, p.parameters, p.predictors, p.difficulty)
    assert q.name == "MADE1" and np.array_equal(q.x, p.x) and np.array_equal(q.y, p.y)
    assert read(tmp_path, made(columns="Y   X")).fit(1).success


def test_digits(tmp_path: Path) -> None:
    p = read(tmp_path, made())
    assert list(p.digits(p.certified)) == [11, 11]
    assert p.digits(p.certified * (1 + 1e-6)) == pytest.approx(6, abs=1e-3)
    assert list(p.digits([50.0, -0.5])) == [0, 0]
    assert np.isnan(p.digits([np.nan, 0.5])[0])


@pytest.mark.parametrize(
    "disguise",
    [
        lambda t: t.encode(),
        lambda t: t.replace("\n", "\r\n").encode(),
        lambda t: t.replace("\n", "\r").encode(),
        lambda t: t.encode("latin-1"),
        lambda t: b"\xef\xbb\xbf" + t.encode(),
        lambda t: b"\n\n\n" + t.encode() + b"\n\n  \n",
        lambda t: t.replace("File Format", "\n\nFile Format").encode(),
        lambda t: "\n".join("# " + line if k < 49 else line for k, line in enumerate(t.split("\n"))).encode(),
        lambda t: t.replace("     ", "\t").encode(),
    ],
    ids=["as published", "CRLF", "CR", "latin-1", "BOM", "blank lines", "lines off", "comments", "tabs"],
)
def test_disguises(tmp_path: Path, disguise) -> None:
    plain, other = read(tmp_path, made()), read(tmp_path, disguise(made()))
    assert other.model == plain.model and np.array_equal(other.y, plain.y) and np.array_equal(other.x, plain.x)
    assert other.residual_sum_of_squares == plain.residual_sum_of_squares


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("     y = (b1 + x) /\n         (1 + b2*x)  +  e", "(b1 + x) / (1 + b2*x)"),
        ("     pi = 3.141592653589793E0\n     y =  b1 - arctan[b2*x]/pi  +  e", "b1 - arctan(b2*x)/pi"),
        ("     c = 2.5D0\n     y =  b1*c - b2*x  +  e", "b1*(2.5) - b2*x"),
        ("     y = b1 + b2*x\n          + e", "b1 + b2*x"),
        ("     y = b1*e2*x + b2 + e\n     e2 = 3", None),
    ],
)
def test_models(tmp_path: Path, model: str, expected: str | None) -> None:
    if expected is None:  # a constant is defined before it is used
        with pytest.raises(dk.DataError, match="'e2'"):
            read(tmp_path, made(model))
    else:
        assert read(tmp_path, made(model)).model == expected


def test_two_predictors_and_a_response_that_is_a_function(tmp_path: Path) -> None:
    rows = [
        f"  {float(np.exp(2 - 0.5 * a * np.exp(b)))!r}  {a}  {b}" for a in (1.0, 2.0) for b in (0.0, 0.25, 0.5, 1.0)
    ]
    p = read(
        tmp_path, made("     log[y] = b1 - b2*x1 * exp[x2]  +  e", "y   x1   x2", rows, minus="-", values="Values")
    )
    assert (p.response, p.predictors, p.x.shape, p.starts[1][1]) == ("log(y)", ("x1", "x2"), (8, 2), -0.75)
    assert p.x[3, 1] == 1 and p.x[4, 0] == 2
    assert p.fit(0).x == pytest.approx([2, 0.5], rel=1e-13)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no model"),
        ("name,formula\nsin,sin(x)\n", "no model"),
        (made().replace("Model:", "Modell:"), "no model"),
        (made().split("\n\n\n          Starting")[0], "no table"),
        (made().split("Data:   y")[0], "no data"),
        (made(MODEL.replace("b2", "b3")), "line 19: the model has 'b3'"),
        (made(MODEL.replace("]", "")), "not a formula"),
        (made("   nothing here"), "no equation"),
        (made(MODEL.replace("exp[", "__import__[")), "not a formula"),
        (made(start="1 2"), r"line 28: the parameter b1 has 5 numbers, not 4"),
        (made().replace("b2 =", "b1 ="), "line 29: the parameter b1 stands here a second time"),
        (made().replace("5.0000000000E+00", "5.0.0"), r"line 28: the parameter b1 has '5\.0\.0' where a number belongs"),
        (made().replace("1.0D-02", "n/a"), r"line 29: the parameter b2 has 'n/a'"),
        (made(rows=["1 2 3"]), r"line 39: '1 2 3' is not a row of 2 numbers \(y, x\)"),
        (made(rows=["1 a"]), "is not a row"),
        (made(rows=["1 2"]), "1 rows of data, but line 34 says 8.*cut short"),
        (made(rows=[]), "0 rows"),
        (made(columns="z  x"), "no column is named y; the columns are z, x"),
        (made(difficulty="Some"), "no level of difficulty"),
        (made().replace("Residual Standard", "Standard"), "no line 'Residual Standard Deviation: …'"),
    ],
)  # fmt: skip
def test_files_that_are_not_such_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(dk.DataError, match=message) as caught:
        read(tmp_path, text)
    assert "made.dat" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dk.data.read_nist_strd(tmp_path / "none.dat")


def test_the_table_of_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.nist_strd import MARKER, main

    read(tmp_path, made())
    page, data = tmp_path / "page.md", tmp_path / "rows.json"
    page.write_text(f"before\n{MARKER}\nold\n", encoding="utf-8")
    options = ["--data", str(tmp_path), "--write", str(page), "--json", str(data)]
    assert main([*options, "--methods", "lm", "scipy:trf"]) == 0
    written = page.read_text(encoding="utf-8")
    assert written.startswith(f"before\n{MARKER}\n") and "old" not in written
    assert written.count("| Made1 | lower |") == 2 and "| `lm` | 2 | 2 | 11.0 |" in written
    assert "| `lm` | 2 | 2 |" in capsys.readouterr().out and '"problem": "Made1"' in data.read_text(encoding="utf-8")


# ---- the collection ---------------------------------------------------------------------------------------------------
NAMES = (
    "Bennett5", "Chwirut1", "DanWood", "Eckerle4", "Gauss2", "Hahn1", "Lanczos1", "Lanczos3", "MGH10", "Misra1a", "Misra1c",
    "Nelson", "Rat43", "Thurber",
)  # fmt: skip


def published(name: str) -> dk.data.Problem:
    folder = os.environ.get("DIFFKIT_TEST_DATA")
    if not folder:
        pytest.skip("DIFFKIT_TEST_DATA is not set")
    return dk.data.read_nist_strd(Path(folder) / "nist_strd" / f"{name}.dat")


@pytest.mark.parametrize("name", NAMES)
def test_certified_values_fit_the_data(name: str) -> None:
    p = published(name)
    assert p.name == name
    if name != "Lanczos1":  # whose residuals are smaller than the rounding of its certified parameters
        r = p.residuals(p.certified)
        assert r @ r == pytest.approx(p.residual_sum_of_squares, rel=1e-9)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_solved_from_both_starts(name: str, start: int) -> None:
    p = published(name)
    found = p.fit(start)
    assert found.success
    assert np.all(p.digits(found.x) >= (6 if p.difficulty == "higher" else 8)), found
    errors = np.abs(found.x_sd / p.certified_sd - 1)
    assert np.max(errors) < (1e-3 if name == "Lanczos1" else 1e-8)
    if name != "Lanczos1":
        assert 2 * found.cost == pytest.approx(p.residual_sum_of_squares, rel=1e-9)
