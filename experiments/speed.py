"""How fast the environments are: ``gapgym speed``.

The figure is decisions per second of ``envs.step(actions)`` from ``gym.make_vec`` with defaults, on
eight instances, with masked-random actions drawn outside the clock and resets inside; the median of
several repetitions on one core. The single environment is measured through ``gym.make``.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from ..envs import ENVIRONMENTS
from ..envs.simulator import Simulator
from ..instances.registry import family
from . import speed_agents
from .store import machine

_BATCHES = (1, 64, 256)
_REPETITIONS = 5
_SECONDS = 0.5  # clocked time of one repetition
_PACKAGES = ("numpy", "numba", "gymnasium")  # whose versions matter for the figures


def masked_random(mask: npt.NDArray[np.int8], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A uniformly random allowed action in every row of a ``(B, A)`` mask."""
    return np.asarray(np.argmax(mask * rng.random(mask.shape, np.float32), axis=1), dtype=np.int64)


def single(env_id: str, instance: str, *, seconds: float, **options: Any) -> float:
    """Decisions per second of one environment from ``gym.make``."""
    import gymnasium as gym

    env = gym.make(env_id, instance=_eight(instance), **options)
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    clock, decisions = 0.0, 0
    while clock < seconds:
        action = masked_random(info["action_mask"][None], rng)[0]
        begin = time.perf_counter()
        _, _, done, _, info = env.step(action)
        if done:
            _, info = env.reset()
        clock += time.perf_counter() - begin
        decisions += 1
    return decisions / clock


def batched(env_id: str, instance: str, num_envs: int, *, seconds: float, **options: Any) -> float:
    """Decisions per second of a vector environment from ``gym.make_vec``."""
    import gymnasium as gym

    envs = gym.make_vec(env_id, num_envs=num_envs, instance=_eight(instance), **options)
    rng = np.random.default_rng(0)
    observation, _ = envs.reset(seed=0)
    clock, steps = 0.0, 0
    while clock < seconds:
        actions = masked_random(observation["action_mask"], rng)
        begin = time.perf_counter()
        observation, *_ = envs.step(actions)
        clock += time.perf_counter() - begin
        steps += 1
    return steps * num_envs / clock


def _eight(instance: str) -> list[str]:
    return [f"{instance}-s{seed}" for seed in range(8)]


def measure(
    env_id: str, mode: str, simulator: type[Simulator], instance: str
) -> Iterator[dict[str, Any]]:
    """The median decisions per second and its spread, a row per batch size and variant.

    The variants of the largest batch: without copies of the observation, and, where there is a
    choice, with the minimal columns too.
    """
    variants: list[tuple[int, dict[str, Any]]] = [(num_envs, {}) for num_envs in _BATCHES]
    variants.append((_BATCHES[-1], {"copy": False}))
    if "columns" in simulator.options():
        variants.append((_BATCHES[-1], {"columns": "minimal", "copy": False}))
    for num_envs, options in variants:
        rate = partial(single, env_id, instance, mode=mode)
        if num_envs > 1:
            rate = partial(batched, env_id, instance, num_envs, mode=mode, **options)
        rate(seconds=_SECONDS)  # compiles the kernels, and wakes a sleepy processor
        rates = [rate(seconds=_SECONDS) for _ in range(_REPETITIONS)]
        yield {
            "environment": env_id,
            "mode": mode,
            "instances": instance,
            "num_envs": num_envs,
            "options": options,
            "decisions_per_second": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
        }


def main(target: str, *, json_output: bool) -> None:
    """Measure the environments of a family or of all, or the policies, and print a table or JSON.

    Raises:
        ValueError: If there is no such family.
    """
    if target == "agents":
        found = list(speed_agents.measure())
        if json_output:
            print(json.dumps({"machine": _machine(), "rows": found}))
        else:
            speed_agents.show(found)
        return
    if target != "all":
        family(target)
    rows: list[dict[str, Any]] = []
    for env_id, environment in ENVIRONMENTS.items():
        for mode, simulator in environment.simulators().items():
            if target in ("all", simulator.family):
                for instance in simulator.speed_instances:
                    rows += measure(env_id, mode, simulator, instance)
    if json_output:
        print(json.dumps({"machine": _machine(), "rows": rows}))
    else:
        _show(rows)


def _machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {**machine(), **{package: version(package) for package in _PACKAGES}}


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="decisions per second, one core, median (lowest to highest)")
    for heading in ("environment", "mode", "instances", "B", "options", "decisions/s", "spread"):
        left = heading in ("environment", "mode", "instances", "options")
        table.add_column(heading, justify="left" if left else "right")
    for row in rows:
        spread = f"{row['lowest']:,.0f} - {row['highest']:,.0f}"
        table.add_row(
            row["environment"].removeprefix("gapgym/"),
            row["mode"],
            row["instances"],
            str(row["num_envs"]),
            ", ".join(f"{name}={value}" for name, value in row["options"].items()),
            f"{row['decisions_per_second']:,.0f}",
            spread,
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
