"""Imitation: follow a solver's solutions decision by decision, and learn what it chose."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..envs.simulator import NotExpressible
from ..instances.registry import family_of
from ..instances.text import write_text
from .solvers import find
from .training import Batch, Trainer

_log = logging.getLogger("gapgym")


class Imitation:
    """The actions of a solver on the update's instances; see ``TrainConfig.solver``.

    Solutions are made in parallel and kept in a folder, by the content of the instance: another
    training with the same solver finds them there.

    Args:
        folder: Where solutions are kept.
        workers: Number of processes.
    """

    def __init__(self, folder: Path, workers: int | None = None) -> None:
        self._folder = folder
        self._workers = workers or os.cpu_count() or 1

    def __call__(self, trainer: Trainer, update: int) -> Batch:
        """The actions that follow the solver's solutions.

        Raises:
            ValueError: If the solver fails, or a solution cannot be followed.
        """
        config = trainer.config
        instances = trainer.draw(update)
        folder = self._folder / _kept_by(config.problem, config.solver, config.solver_time_limit)
        solve = partial(
            _solution, folder=folder, solver=config.solver, limit=config.solver_time_limit
        )
        missing = [i for i in instances if not _file(folder, i).is_file()]
        if len(missing) > 1 and self._workers > 1:
            context = multiprocessing.get_context("fork")
            with ProcessPoolExecutor(self._workers, context, torch.set_num_threads, (1,)) as pool:
                list(pool.map(solve, missing))
        solutions = [solve(instance) for instance in instances]
        simulator = trainer.simulator(instances)
        try:
            taken = simulator.replay(solutions)
        except NotExpressible as error:
            raise ValueError(f"{config.solver}: {error}") from None
        return Batch(update, [np.array(actions, dtype=np.int64) for actions in taken])


def _kept_by(problem: str, solver: str, limit: float | None) -> str:
    """A folder's name for what decides the labels: solver, version, code and time limit."""
    found = find(problem, solver)
    content = getattr(found, "content", "")
    file = Path(solver.rpartition(":")[0])
    if file.is_file():
        content = hashlib.sha256(file.read_bytes()).hexdigest()
    text = json.dumps([problem, solver, found.version, content, limit])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file(folder: Path, instance: Any) -> Path:
    return folder / f"{instance.digest}.json"


def _solution(instance: Any, *, folder: Path, solver: str, limit: float | None) -> Any:
    """A solver's solution of an instance, made or found."""
    kind = family_of(instance).PROBLEMS[instance.problem][1]
    path = _file(folder, instance)
    if path.is_file():
        try:
            return kind.from_json(json.loads(path.read_text(encoding="utf-8")), path.name)
        except ValueError:
            _log.warning("%s: no solution, it is made again", path)
    solution = find(instance.problem, solver)(instance, time_limit=limit, seed=0).solution
    if solution is None:
        raise ValueError(f"{solver} found no solution of {instance.name} in {limit} s.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(solution.to_json()))
    return solution
