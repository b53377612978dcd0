"""What the numbers say: sentences made from the data of a report, each only where there is something to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from ..compare.result import WELL_CONDITIONED
from ..compare.show import seconds
from .measure import FEW_ULP
from .tables import swell_of
from .words import figure_number, listed, percent, plural

Entries = Sequence[dict[str, Any]]
#: an engine "loses digits" against another where its largest error is this many times as large, and above this many ulp
LOSES, LOSES_ULP = 100.0, 1000.0
FEW_VARIABLES, MANY_VARIABLES = 2, 6


def insights(entries: Entries, engines: Sequence[str]) -> list[str]:
    return [s for make in SENTENCES for s in make(entries, engines)]


def _by(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {e["engine"]: e for e in entry["engines"]}


def _values(entries: Entries, engine: str, key: str) -> list[float]:
    return [e[key] for entry in entries for e in entry["engines"] if e["engine"] == engine and e[key] is not None]


def _name(entry: dict[str, Any]) -> str:
    return f"“{entry['title'] or entry['name']}”"


def _agreement(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    total = sum(e["entries"] for entry in entries for e in entry["engines"])
    outside = sum(e["outside"] for entry in entries for e in entry["engines"])
    if not total:
        return
    if not outside:
        yield f"The truth lies inside the engine’s own error bar in every one of {total:,} answers (entries × engines)."
    else:
        worst = max(entries, key=lambda entry: sum(e["outside"] for e in entry["engines"]))
        yield (
            f"In {plural(outside, 'answer')} of {total:,} the truth lies outside the engine’s own error bar; "
            f"most of them in {_name(worst)}."
        )


def _well_conditioned(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    kinds = {
        "program": f"Where the program’s condition is at most {WELL_CONDITIONED:g}, answers within {FEW_ULP:g} ulp of the truth",
        "input": "where the formula’s own condition with respect to its inputs is, but intermediate values may cancel",
    }
    said = []
    for kind, words in kinds.items():
        shares = []
        for engine in engines:
            found = [
                _by(entry)[engine]["well_conditioned"][kind]
                for entry in entries
                if engine in _by(entry) and engine != "finite"
            ]
            if total := sum(w["entries"] for w in found):
                shares.append(f"{engine} {percent(sum(w['few_ulp'] for w in found) / total)}")
        if shares:
            said.append(f"{words}: {listed(shares)}")
    if said:
        yield "; ".join(said) + "."


def _accuracy(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    middles = [f"{e} {figure_number(median(found))}" for e in engines if (found := _values(entries, e, "median_ulp"))]
    if middles:
        yield f"The error in the middle of a typical formula, in ulp: {listed(middles)}."


def _lost_digits(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    for one, other in (("symbolic", "reverse"), ("reverse", "symbolic")):
        losses = []
        for entry in entries:
            by = _by(entry)
            if one in by and other in by and by[one]["max_ulp"] is not None and by[other]["max_ulp"] is not None:
                a, b = by[one]["max_ulp"], max(1.0, by[other]["max_ulp"])
                if a > LOSES * b and a > LOSES_ULP:
                    losses.append((a / b, entry, a, b))
        if losses:
            losses.sort(key=lambda row: -row[0])
            _, entry, a, b = losses[0]
            yield (
                f"Same mathematics, other arithmetic: {one} loses at least two digits against {other} in "
                f"{plural(len(losses), 'formula')}, most in "
                f"{_name(entry)} ({figure_number(a)} against {figure_number(b)} ulp)."
            )


def _hard_problems(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    exact = [e for e in engines if e != "finite"]
    hard = []
    for entry in entries:
        found = [e["max_ulp"] for e in entry["engines"] if e["engine"] in exact and e["max_ulp"] is not None]
        if found and min(found) > LOSES_ULP:
            hard.append((min(found), entry))
    if hard:
        hard.sort(key=lambda row: -row[0])
        names = listed([_name(entry) for _, entry in hard[:3]])
        yield (
            f"In {plural(len(hard), 'formula')} every engine loses three digits or more at the worst point, because the "
            f"formula as it is written cancels there: above all {names}."
        )


def _cost(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    middles = [
        f"{e} {figure_number(median(found))}" for e in engines if (found := _values(entries, e, "ratio_to_value"))
    ]
    if not middles:
        return
    yield f"Value and gradient together, in units of the value alone, cost at the median: {listed(middles)}."
    few = [entry for entry in entries if len(entry["variables"]) <= FEW_VARIABLES]
    many = [entry for entry in entries if len(entry["variables"]) >= MANY_VARIABLES]
    grown = [
        f"{e} from {figure_number(median(a))} to {figure_number(median(b))}"
        for e in engines
        if (a := _values(few, e, "ratio_to_value")) and (b := _values(many, e, "ratio_to_value"))
    ]
    if grown:
        yield (
            f"From formulas of at most {FEW_VARIABLES} variables to those of {MANY_VARIABLES} and more the median of that "
            f"goes, for {listed(grown)}."
        )


def _making(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    middles = [(median(found), e) for e in engines if (found := _values(entries, e, "build_seconds"))]
    if len(middles) > 1:
        yield f"To make a program takes, at the median, {listed([f'{e} {seconds(t)}' for t, e in middles])}."


def _swell(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    found = [
        (s["derivative"]["tree"] / max(1, s["derivative"]["cse"]), entry, s)
        for entry in entries
        if (s := swell_of(entry))
    ]
    if not found:
        return
    _, entry, s = max(found, key=lambda row: row[0])
    d = s["derivative"]
    if d["tree"] < 2 * d["cse"]:
        return
    exploded = sum(ratio > 5 for ratio, *_ in found)
    yield (
        f"Swell is a matter of counting: the derivatives of {_name(entry)} take {d['tree']:,} operations written out, "
        f"{d['graph']:,} as a graph and {d['cse']:,} after CSE (the formula itself {s['f']['tree']:,}). Written out they "
        f"are more than five times the shared form in {exploded} of {plural(len(found), 'formula')}."
    )
    missed = []
    for _, entry, s in found:
        reverse = _by(entry).get("reverse")
        if reverse and reverse["ops"] and s["derivative"]["cse"] > 1.5 * reverse["ops"]["total"]:
            missed.append((s["derivative"]["cse"] / reverse["ops"]["total"], entry, s, reverse["ops"]["total"]))
    if missed:
        _, entry, s, ops = max(missed, key=lambda row: row[0])
        yield (
            f"CSE does not always find what reverse mode has by construction: {_name(entry)} needs "
            f"{s['derivative']['cse']:,} operations after CSE, {ops:,} on the reverse tape."
        )


def _finite(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    scaled, tight = _values(entries, "finite", "max_scaled_error"), _values(entries, "finite", "tightness")
    if scaled and tight:
        yield (
            f"Differences with an automatic step: the largest error of a formula over max(|g|, |f/x|) is "
            f"{figure_number(median(scaled))} at the median; "
            f"the stated bars are {figure_number(median(tight))} times the true error."
        )


def _kinks(entries: Entries, engines: Sequence[str]) -> Iterator[str]:
    for outcome, words in (
        ("kink", "points on a kink, where there is no derivative"),
        ("nonfinite", "points where the value or derivative is not finite"),
    ):
        found = [entry for entry in entries if entry["point_outcomes"].get(outcome)]
        if found:
            total = sum(entry["point_outcomes"][outcome] for entry in found)
            yield f"{plural(len(found), 'formula has', 'formulas have')} {words} ({total:,} in all); these points are not judged."


SENTENCES: tuple[Callable[[Entries, Sequence[str]], Iterator[str]], ...] = (
    _agreement,
    _well_conditioned,
    _accuracy,
    _lost_digits,
    _hard_problems,
    _cost,
    _making,
    _swell,
    _finite,
    _kinks,
)
