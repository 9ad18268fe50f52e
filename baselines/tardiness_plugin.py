"""Whole-sequence rules of the user: called with data they cannot change, and checked.

A search for rules, by genetic programming or a language model, calls thousands of programs, some of
which drop or double jobs, write into their inputs or do not end. Here, each of these is one clear
line, and, for a search, a penalty::

    def schedule(processing_times, due_dates):
        return np.argsort(due_dates)

    rule = sequence_rule(schedule)  # a solver; on the command line --solver file.py:rule
    cost, reason = penalised_cost(schedule, instance, time_limit=1.0)

Rules that score candidates need none of this: see ``rules.py``.
"""

from __future__ import annotations

import inspect
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from ..instances.core import IntArray
from ..instances.tardiness import (
    TardinessInstance,
    TardinessSolution,
    objective,
    upper_bound,
    validate,
)
from .solver import Solver, solver

#: What a rule may ask for, by the names of its parameters.
_INPUTS = ("processing_times", "due_dates", "weights", "release_dates", "setups")

SequenceRule = Callable[..., Any]


def sequence_rule(function: SequenceRule, *, name: str | None = None) -> Solver:
    """A solver that calls a whole-sequence rule and checks what it returns; see :func:`sequence`.

    Args:
        function: The rule.
        name: Name of the solver; by default the function's.
    """

    def construct(
        instance: TardinessInstance, *, time_limit: float | None = None
    ) -> TardinessSolution:
        return sequence(function, instance, time_limit=time_limit)

    return solver(name=name or getattr(function, "__name__", "rule"))(construct)


def penalised_cost(
    function: SequenceRule, instance: TardinessInstance, *, time_limit: float | None = None
) -> tuple[int, str]:
    """The cost of a rule's sequence, or, if it is wrong, the upper bound of all costs and why.

    Args:
        function: See :func:`sequence`.
        instance: The instance.
        time_limit: In seconds.
    """
    try:
        return objective(instance, sequence(function, instance, time_limit=time_limit)), ""
    except ValueError as error:
        return upper_bound(instance), str(error)


def sequence(
    function: SequenceRule, instance: TardinessInstance, *, time_limit: float | None = None
) -> TardinessSolution:
    """The sequence that a rule gives for an instance.

    Args:
        function: Takes, by name, some of ``processing_times``, ``due_dates``, ``weights``,
            ``release_dates`` and ``setups`` (the last two are ``None`` where there are none), which
            are read-only arrays; returns all jobs in the order in which they are to be done.
        instance: The instance.
        time_limit: In seconds. In the main thread a rule in Python is stopped; elsewhere, and where
            the system has no timer, one that takes longer is refused when it ends.

    Raises:
        ValueError: In one line, if the rule fails, changes its inputs, takes too long or returns
            something that is not a sequence of all jobs.
    """
    title = getattr(function, "__name__", "rule")
    given = {key: _frozen(getattr(instance, key)) for key in _wanted(function, title)}
    began = time.perf_counter()
    try:
        with _stopped_after(time_limit):
            returned = function(**given)
    except _TimeOutError:
        raise ValueError(f"{title}: stopped after the time limit of {time_limit:g} s.") from None
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(f"{title}: {type(error).__name__}: {reason}") from error
    seconds = time.perf_counter() - began
    if seconds > (math.inf if time_limit is None else time_limit):
        raise ValueError(f"{title}: took {seconds:.3g} s, expected at most {time_limit:g} s.")
    for key, array in given.items():
        if array is not None and not np.array_equal(array, getattr(instance, key)):
            raise ValueError(f"{title}: changed {key}, which is read-only.")
    return _checked(returned, instance, title)


def _wanted(function: SequenceRule, title: str) -> list[str]:
    wanted = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in _INPUTS:
            wanted.append(parameter.name)
        elif parameter.default is inspect.Parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        ):
            raise ValueError(
                f"{title}: parameter {parameter.name!r}, expected some of: {', '.join(_INPUTS)}."
            )
    return wanted


def _frozen(array: IntArray | None) -> IntArray | None:
    """A copy that refuses to be written to, so that the instance is safe whatever is tried."""
    if array is None:
        return None
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _checked(returned: Any, instance: TardinessInstance, title: str) -> TardinessSolution:
    try:
        solution = TardinessSolution(returned)
        validate(instance, solution)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{title}: {error}") from None
    return solution


class _TimeOutError(BaseException):
    """Raised inside a rule that takes too long; no ``except Exception`` of its own catches it."""


@contextmanager
def _stopped_after(seconds: float | None) -> Iterator[None]:
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _TimeOutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
