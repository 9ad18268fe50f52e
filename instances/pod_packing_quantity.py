"""Kubernetes' resource quantities as exact integers.

The grammar of ``apimachinery/pkg/api/resource/quantity.go``: a sign, digits with at most one point,
and one of the suffixes ``n u m k M G T P E`` (powers of 1000), ``Ki Mi Gi Ti Pi Ei`` (of 1024) or a
decimal exponent ``e3``, ``E-2``. What is finer than a nano is rounded away from zero, as it is
there. Magnitudes are capped at ``2^63 - 1``, except, as there, decimal ones of at most 18 digits:
``9Ei`` is capped, ``12E`` is not.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_LARGEST = 2**63 - 1
_NANO = 10**9

_GRAMMAR = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)"
    r"(?P<suffix>[numkMGTPE]?|[KMGTPE]i|[eE][+-]?[0-9]{1,4})"
)

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

#: Longer texts are no quantities that anybody wrote, and slow to multiply out.
_LONGEST = 100


@lru_cache(maxsize=65536)
def parse_quantity(text: str) -> Fraction:
    """The exact value of a quantity, e.g. ``"1500m"`` is 3/2 and ``"2Ki"`` is 2048.

    Raises:
        ValueError: If the text is not in the grammar.
    """
    match = _GRAMMAR.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"quantity {text[:40]!r}, expected e.g. 500m, 2, 1.5Gi or 1e3.")
    number, suffix = match["number"], match["suffix"]
    whole, _, part = number.partition(".")
    value = Fraction(int((whole + part) or "0"), 10 ** len(part))
    if suffix in _DECIMAL:
        value *= Fraction(10) ** _DECIMAL[suffix]
    elif suffix in _BINARY:
        value *= 2 ** _BINARY[suffix]
    else:
        value *= Fraction(10) ** int(suffix[1:])
    value = Fraction(-(-value * _NANO // 1), _NANO)
    if suffix in _BINARY or len(whole + part) > 18:
        value = min(value, Fraction(_LARGEST))
    return -value if match["sign"] == "-" else value


def milli(text: str) -> int:
    """A cpu quantity in thousandths of a core, rounded up."""
    return min(_ceil(parse_quantity(text) * 1000), _LARGEST)


def units(text: str) -> int:
    """Any other quantity in its unit (bytes, pieces), rounded up."""
    return min(_ceil(parse_quantity(text)), _LARGEST)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
