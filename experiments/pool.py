"""Executors: how the calls of a study are spread.

The default, ``process``, forks a process for each call: a crash costs one call, not the study. A
forked process begins with everything that its parent has imported and loaded, so that each call
starts within milliseconds. It dies with its parent, also when the parent is killed, and does not
react to Ctrl-C: a call that the user interrupts must not look like one that has finished.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn, Protocol

_log = logging.getLogger("gapgym")

#: Seconds between two calls of ``tick``.
_TICK = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        value: What it returned; ``None`` where it failed.
        error: One line that says why it failed; empty where it did not.
        late: Whether it was killed at its deadline.
    """

    value: Any | None
    error: str = ""
    late: bool = False


@dataclass(frozen=True)
class _Call:
    index: int
    process: BaseProcess
    began: float


class Executor(Protocol):
    """Calls functions without arguments that return plain data, some at the same time."""

    def __call__(
        self,
        functions: Sequence[Callable[[], Any]],
        workers: int,
        *,
        tick: Callable[[], None] = lambda: None,
        deadlines: Sequence[float | None] = (),
        memory_limit: int | None = None,
    ) -> Iterator[tuple[int, Outcome]]:
        """Index of a function and its outcome, in the order in which they end.

        Close the iterator (``contextlib.closing``) to end what still runs.

        Args:
            functions: What to call.
            workers: How many at the same time.
            tick: Called a few times per second.
            deadlines: Seconds after its start at which a call is ended, for each, or ``None``.
            memory_limit: Bytes that a call may use more than there are in use when it starts.
        """


def executor_named(name: str) -> Executor:
    """The executor of a name.

    Raises:
        ValueError: If there is none, or it is not installed.
    """
    if name == "ray":
        from .pool_ray import on_ray

        return on_ray
    known: dict[str, Executor] = {"process": in_processes, "serial": in_series}
    if name not in known:
        raise ValueError(f"unknown executor {name!r}, expected one of: process, serial, ray.")
    return known[name]


def in_series(
    functions: Sequence[Callable[[], Any]],
    workers: int = 1,
    *,
    tick: Callable[[], None] = lambda: None,
    deadlines: Sequence[float | None] = (),
    memory_limit: int | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """One call after the other in this process, e.g. to debug; no call is ended from outside.

    Raises:
        ValueError: If there is a memory limit.
    """
    if memory_limit is not None:
        raise ValueError("memory_limit with executor 'serial', expected executor 'process'.")
    for index, function in enumerate(functions):
        tick()
        try:
            outcome = Outcome(function())
        except Exception as error:
            _log.debug("a run failed", exc_info=True)
            outcome = Outcome(None, one_line(error))
        yield index, outcome


def in_processes(
    functions: Sequence[Callable[[], Any]],
    workers: int,
    *,
    tick: Callable[[], None] = lambda: None,
    deadlines: Sequence[float | None] = (),
    memory_limit: int | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Each call in a process of its own, forked from this one; see :class:`Executor`.

    Raises:
        ValueError: If the operating system cannot fork.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        raise ValueError(f"{sys.platform}: no fork, expected Linux or another Unix.")
    limits = deadlines or [None] * len(functions)
    waiting = deque(enumerate(functions))
    running: dict[Connection, _Call] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                _start(*waiting.popleft(), running, memory_limit)
            for connection in wait(list(running), timeout=_TICK):
                assert isinstance(connection, Connection)
                call = running[connection]
                outcome = _receive(connection, call.process)
                del running[connection]
                yield call.index, outcome
            for connection, call in list(running.items()):
                seconds, limit = time.monotonic() - call.began, limits[call.index]
                if limit is not None and seconds > limit and not connection.poll():
                    _end(connection, call.process)
                    del running[connection]
                    yield call.index, Outcome(None, f"killed after {seconds:.3g} s", late=True)
            tick()
    finally:
        for connection, call in running.items():
            _end(connection, call.process)


def _start(
    index: int,
    function: Callable[[], Any],
    running: dict[Connection, _Call],
    memory_limit: int | None,
) -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(function, sender, os.getpid(), memory_limit))
    with _uninterrupted(), warnings.catch_warnings():
        # Newer Pythons warn of threads, which NumPy's library has always started by now; it is
        # prepared for a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
        running[receiver] = _Call(index, process, time.monotonic())
    # The child holds the only writing end: when it dies, however it dies, the pipe ends.
    sender.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait, so that no process is started and then forgotten."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(connection: Connection, process: BaseProcess) -> Outcome:
    try:
        outcome: Outcome = connection.recv()
    except (EOFError, OSError):
        process.join()
        outcome = Outcome(None, _epitaph(process.exitcode))
    process.join(timeout=1)
    _end(connection, process)
    return outcome


def _epitaph(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and no result"


def _end(connection: Connection, process: BaseProcess) -> None:
    process.kill()
    process.join()
    process.close()
    connection.close()


def _child(
    function: Callable[[], Any], sender: Connection, parent: int, memory_limit: int | None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _die_with(parent)
    _single_torch_thread()
    # What a solver prints is no part of the parent's output.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        if memory_limit is not None:
            _limit_memory(memory_limit)
        outcome = Outcome(function())
    except BaseException as error:  # a solver may raise anything, or exit
        _log.debug("a run failed", exc_info=True)
        outcome = Outcome(None, one_line(error))
    try:
        sender.send(outcome)
    except Exception as error:  # what it returned cannot be sent
        sender.send(Outcome(None, one_line(error)))
    sender.close()


def _single_torch_thread() -> None:
    """Let PyTorch, if it is loaded, run in one thread: after a fork, waiting for others hangs."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _limit_memory(more: int) -> None:
    """Refuse this process more than so many bytes of its own besides those that it has."""
    if sys.platform == "linux":
        fields = Path("/proc/self/statm").read_text().split()
        used = int(fields[5]) * resource.getpagesize()  # data and stack
        resource.setrlimit(resource.RLIMIT_DATA, (used + more, used + more))
    else:
        resource.setrlimit(resource.RLIMIT_AS, (more, more))


def _die_with(parent: int) -> None:
    """Have this process killed when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> NoReturn:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def one_line(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
