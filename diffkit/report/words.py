"""Numbers, times and outcomes as readers see them."""

from __future__ import annotations

import math
from typing import Any

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: in words, what an outcome says about a formula
VERDICTS = {
    "ok": "all agree",
    "mismatch": "mismatch",
    "kink": "kink",
    "nonfinite": "not finite",
    "undecided": "undecided",
    "unsupported": "unsupported",
    "exceeded": "over budget",
    "error": "error",
    "timeout": "timeout",
    "unusable": "unusable",
}


def figure_number(x: float | None, digits: int = 2) -> str:
    """A number with few digits: 0.5, 3.1, 420, 5.2·10⁷."""
    if x is None or math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    size = abs(x)
    exponent = math.floor(math.log10(size))
    if -3 < exponent < 4:
        decimals = max(0, digits - 1 - exponent)
        shown = f"{x:,.{decimals}f}"
        return (shown.rstrip("0").rstrip(".") if "." in shown else shown).replace("-", "−")
    mantissa = (
        f"{x / 10.0**exponent:.{digits - 1}f}"
        if exponent > -300
        else f"{x * 1e300 / 10.0 ** (exponent + 300):.{digits - 1}f}"
    )
    if mantissa.lstrip("-").startswith("10"):
        mantissa, exponent = mantissa.replace("10", "1", 1), exponent + 1
    return f"{mantissa}·10{str(exponent).translate(_SUPERSCRIPTS)}".replace("-", "−")


def plain_number(x: float) -> str:
    """A bound of a range: as short as it is exact."""
    text = f"{x:.12g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}".removeprefix("1·").replace("-", "−")
    return text.replace("-", "−")


def percent(share: float | None) -> str:
    """A share, never rounded up to all: 99.98 % of 10,000 is not 100 %."""
    if share is None:
        return "–"
    if share == 1:
        return "100 %"
    return f"{min(100 * share, 99.99):.4g} %"


def count(n: int | None) -> str:
    return "–" if n is None else f"{n:,}"


def plural(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def memory(n: int | None) -> str:
    if not n:
        return "–"
    return f"{n} B" if n < 1024 else f"{n / 1024:.3g} KiB" if n < 1024**2 else f"{n / 1024**2:.3g} MiB"


def listed(items: list[Any], conjunction: str = "and") -> str:
    words = [str(i) for i in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}" if words else ""
