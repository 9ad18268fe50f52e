"""Memory of ML programs: static allocation, and mapping to a fast and a slow memory.

**Allocation** (problem ``memory_allocation``; offline dynamic storage allocation). Data: buffers
``i`` with lifetimes ``[l_i, u_i)``, sizes ``s_i`` and alignments. Decide offsets ``o_i >= 0``,
multiples of the alignments, such that ``[o_i, o_i + s_i)`` and ``[o_j, o_j + s_j)`` are disjoint
for all buffers that are live together. Objective: the peak ``max_i o_i + s_i``, in bytes. It is
NP-hard; the load ``max_t sum_{l_i <= t < u_i} s_i`` is a lower bound, and 3 times the load
suffices (Gergov 1999). Given a capacity, the question is whether the peak fits it. The
benchmarks A-K are those of MiniMalloc (Moffitt 2023, doi:10.1145/3623278.3624752), the larger ones
come from idealloc (arXiv:2504.04874).

**Mapping** (problem ``memory_mapping``). Data: instructions ``t`` in program order, with compute
times ``c_t`` and accesses, each the read or write of a buffer; a fast memory of so many units, and
a slow one that holds everything. Every buffer is written once, or is a weight or input, which the
slow memory holds from the start. Decide for each access which memory serves it, when and where
buffers lie in the fast memory, and during which instructions they are copied:

- residencies of different buffers do not overlap in (instructions x units);
- a buffer is in the fast memory since it was written there, or since it was copied in, wholly
  before its next access, from a slow memory that held it;
- the slow memory holds a temp since it was written there or copied out, at the earliest during the
  instruction that writes it (results stream out as they are made), wholly before it is read there;
- results are in the slow memory at the end.

Objective: the time ``sum_t max(c_t, slow_t + fast_t, slow_t + copies_t)`` in ticks: the slow memory
serves accesses (``slow_t``) and copies in turn, while the instruction computes or works on the fast
memory; copies that exceed what is idle make it longer. The rules and names (copy, no copy, drop)
are inspired by the game of Wang et al. 2023 (arXiv:2305.07440), of which no implementation is
public, and by XLA's memory space assignment; they are no reproduction of either. Operators are not
reordered, an instruction does not wait for a part of a buffer, and nothing is known of loops.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from . import memory_mapping_allocation as allocation
from . import memory_mapping_plan as plan
from .core import Solution
from .memory_mapping_allocation import AllocationInstance, AllocationSolution
from .memory_mapping_files import (
    SETS,
    best_known,
    load,
    names,
    normalise,
    parse_program,
    program_text,
    read,
    read_offsets,
    to_csv,
    write,
)
from .memory_mapping_generators import (
    GENERATORS,
    PROGRAMS,
    generate,
    guillotine,
    guillotine_solution,
    lifetimes,
)
from .memory_mapping_picture import allocation_picture, mapping_picture
from .memory_mapping_plan import durations, ledger, simulate
from .memory_mapping_program import (
    Instruction,
    MappingInstance,
    MappingSolution,
    Profile,
    Program,
)
from .memory_mapping_torch import from_torch
from .picture import Picture

__all__ = [
    "GENERATORS",
    "PROBLEMS",
    "PROGRAMS",
    "SETS",
    "AllocationInstance",
    "AllocationSolution",
    "Instruction",
    "MappingInstance",
    "MappingSolution",
    "Profile",
    "Program",
    "best_known",
    "durations",
    "from_torch",
    "generate",
    "guillotine",
    "guillotine_solution",
    "ledger",
    "lifetimes",
    "load",
    "lower_bound",
    "metrics",
    "names",
    "normalise",
    "objective",
    "parse_program",
    "picture",
    "program_text",
    "read",
    "read_offsets",
    "simulate",
    "to_csv",
    "upper_bound",
    "validate",
    "write",
]

PROBLEMS: dict[str, tuple[type[Any], type[Any]]] = {
    "memory_allocation": (AllocationInstance, AllocationSolution),
    "memory_mapping": (MappingInstance, MappingSolution),
}


def _check_kind(instance: Any, solution: Solution) -> None:
    expected = PROBLEMS[instance.problem][1]
    if not isinstance(solution, expected):
        raise ValueError(f"solution: {type(solution).__name__}, expected {expected.__name__}.")


@singledispatch
def _rules(instance: Any) -> Any:
    """The module with the referee of the instance's problem."""
    raise ValueError(f"{type(instance).__name__}: expected an instance of {', '.join(PROBLEMS)}.")


_rules.register(AllocationInstance, lambda instance: allocation)
_rules.register(MappingInstance, lambda instance: plan)


def validate(instance: Any, solution: Any) -> None:
    """Raise ``ValueError`` naming the first violated constraint."""
    module = _rules(instance)
    _check_kind(instance, solution)
    module.validate(instance, solution)


def objective(instance: Any, solution: Any) -> int:
    """The peak of a packing in bytes, or the time of a plan in ticks, from scratch.

    Raises:
        ValueError: If the solution violates a constraint.
    """
    module = _rules(instance)
    _check_kind(instance, solution)
    return int(module.objective(instance, solution))


def lower_bound(instance: Any) -> int:
    """A bound that needs no search: the load; or the time with a fast memory without limit."""
    return int(_rules(instance).lower_bound(instance))


def upper_bound(instance: Any) -> int:
    """No sensible solution costs more; what an infeasible episode is charged."""
    return int(_rules(instance).upper_bound(instance))


def metrics(instance: Any, solution: Any) -> dict[str, float]:
    """Secondary figures; see the ``metrics`` of either problem."""
    found: dict[str, float] = _rules(instance).metrics(instance, solution)
    return found


def picture(instance: Any, solution: Any) -> Picture:
    """Time and addresses; for a plan also how busy the slow memory is, below the axis."""
    if isinstance(instance, AllocationInstance):
        return allocation_picture(instance, solution)
    return mapping_picture(instance, solution)
