"""The problems: data, readers, generators, referees and bounds. NumPy only."""

from .core import Family, Instance, Objective, Reference, Solution, gap, gap_level
from .picture import Box, Picture
from .registry import FAMILIES, family, family_of, load, load_all, load_from

__all__ = [
    "FAMILIES",
    "Box",
    "Family",
    "Instance",
    "Objective",
    "Picture",
    "Reference",
    "Solution",
    "family",
    "family_of",
    "gap",
    "gap_level",
    "load",
    "load_all",
    "load_from",
]
