"""The executor ``ray``: the calls of a study on the nodes of a Ray cluster.

The cluster is the one that this process is connected to, or that ``RAY_ADDRESS`` names, or a new
one on this machine. Only this process writes results; a call whose node dies is made again on
another one.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..agents.solvers import USER_MODULE
from .pool import Outcome, one_line

#: Seconds between two calls of ``tick``.
_TICK = 0.2
#: A call whose process or node dies is made so many times: it may be what kills them.
_ATTEMPTS = 3
#: Seconds that a node has to start a process, besides the deadline.
_START = 60.0


def on_ray(
    functions: Sequence[Callable[[], Any]],
    workers: int,
    *,
    tick: Callable[[], None] = lambda: None,
    deadlines: Sequence[float | None] = (),
    memory_limit: int | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Each call as a task of one CPU, at most ``workers`` at once; see ``pool.Executor``.

    Raises:
        ValueError: If Ray is not installed, or the cluster cannot be reached.
    """
    if memory_limit is not None:
        raise ValueError("memory_limit with executor 'ray', expected executor 'process'.")
    if not functions:
        return
    ray = _connected()
    calls = _Calls(ray, functions, deadlines)
    try:
        while calls.waiting or calls.running:
            # No more than can run: the clock of a deadline starts with the submission.
            room = min(workers, max(1, int(ray.cluster_resources().get("CPU", 1))))
            while calls.waiting and len(calls.running) < room:
                calls.start()
            yield from calls.ended()
            yield from calls.late()
            tick()
    finally:
        calls.close()


def _connected() -> Any:
    """Ray, connected to a cluster."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            "executor 'ray': Ray is not installed, expected pip install gapgym[ray]."
        ) from None
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError, ValueError) as error:
            raise ValueError(f"executor 'ray': {one_line(error)}") from None
    return ray


class _Calls:
    """The calls that wait, and the tasks that run."""

    def __init__(
        self,
        ray: Any,
        functions: Sequence[Callable[[], Any]],
        deadlines: Sequence[float | None],
    ) -> None:
        _send_user_code(ray)
        self._ray = ray
        self._task = ray.remote(num_cpus=1, max_retries=0)(_call)
        self._functions = functions
        self._limits = deadlines or [None] * len(functions)
        self._attempts = [0] * len(functions)
        self.waiting = deque(range(len(functions)))
        self.running: dict[Any, tuple[int, float]] = {}

    def start(self) -> None:
        """Submit the next call."""
        index = self.waiting.popleft()
        task = self._task.remote(self._functions[index])
        self.running[task] = index, time.monotonic()

    def ended(self) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of the tasks that have ended; a task that lost its node waits again."""
        ready, _ = self._ray.wait(list(self.running), timeout=_TICK)
        errors = self._ray.exceptions
        for task in ready:
            index, _ = self.running.pop(task)
            try:
                yield index, self._ray.get(task)
            except (
                errors.NodeDiedError,
                errors.LocalRayletDiedError,
                errors.ObjectLostError,
                errors.WorkerCrashedError,
                errors.OutOfMemoryError,
            ) as error:
                self._attempts[index] += 1
                if self._attempts[index] < _ATTEMPTS:
                    self.waiting.appendleft(index)
                else:
                    yield index, Outcome(None, f"its process died: {type(error).__name__}")
            except errors.RayError as error:
                yield index, Outcome(None, one_line(error))

    def late(self) -> Iterator[tuple[int, Outcome]]:
        """End the tasks that are beyond their deadlines."""
        for task, (index, began) in list(self.running.items()):
            seconds, limit = time.monotonic() - began, self._limits[index]
            if limit is not None and seconds > limit + _START:
                self._ray.cancel(task, force=True)
                del self.running[task]
                yield index, Outcome(None, f"killed after {seconds:.3g} s", late=True)

    def close(self) -> None:
        """End the tasks that still run."""
        for task in self.running:
            self._ray.cancel(task, force=True)


def _send_user_code(ray: Any) -> None:
    """Let tasks carry the code of a user's files, which nodes cannot import by name."""
    for name, module in list(sys.modules.items()):
        if name.startswith(USER_MODULE):
            ray.cloudpickle.register_pickle_by_value(module)


def _call(function: Callable[[], Any]) -> Outcome:
    """A call on a node."""
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(limits=1):
            return Outcome(function())
    except Exception as error:
        return Outcome(None, one_line(error))
