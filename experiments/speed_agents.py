"""How fast policies are sampled: ``gapgym speed agents``.

The figure is decisions that the network takes per second of whole episodes, played on the
simulator with forced decisions skipped, on eight instances, in one thread; the median of several
repetitions, and the shares of the time that simulator, network and the rest take.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..envs.simulator import Simulator

_ROWS = 1024
_REPETITIONS = 5


def measure() -> Iterator[dict[str, Any]]:
    """One row per problem, without and with an encoder."""
    import torch

    from ..agents.policy import Policy, config_for
    from ..envs import ENVIRONMENTS

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for environment in {e.problem: e for e in ENVIRONMENTS.values()}.values():
            simulator_class = next(iter(environment.simulators().values()))
            for graph in (False, True) if simulator_class.node_columns else (False,):
                policy = Policy(config_for(simulator_class, graph=graph)).eval()
                for name in simulator_class.speed_instances[:2]:
                    yield _row(environment.problem, policy, simulator_class, name, graph)
    finally:
        torch.set_num_threads(threads)


def _row(
    problem: str, policy: Any, simulator_class: type[Simulator], name: str, graph: bool
) -> dict[str, Any]:
    from ..agents.sampling import Player
    from ..instances.registry import load_from

    instances = [load_from(simulator_class.family, f"{name}-s{seed}") for seed in range(8)]
    sizes: dict[str, int] = {}
    for instance in instances:
        for what, size in simulator_class.measure(instance).items():
            sizes[what] = max(size, sizes.get(what, 0))
    simulator = simulator_class(_ROWS, sizes, skip_forced=True, graph=graph)
    simulator.load(range(_ROWS), [instances[row % 8] for row in range(_ROWS)])
    clock = {"simulator": 0.0, "network": 0.0}
    simulator.advance = _timed(simulator.advance, clock, "simulator")  # type: ignore[method-assign]
    policy.forward = _timed(type(policy).forward.__get__(policy), clock, "network")
    player, rng = Player(policy, simulator), np.random.default_rng(0)
    rates = []
    for repetition in range(_REPETITIONS + 1):
        clock.update(simulator=0.0, network=0.0)
        begin = time.perf_counter()
        actions = player.play(1.0, rng, record=True)
        seconds = time.perf_counter() - begin
        assert actions is not None  # there is no deadline
        if repetition:  # the first one compiles
            rates.append(sum(map(len, actions)) / seconds)
    return {
        "problem": problem,
        "policy": "columns and graph" if graph else "columns",
        "instances": name,
        "rows": _ROWS,
        "decisions_per_second": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        **{f"{part}_share": spent / seconds for part, spent in clock.items()},
    }


def _timed(function: Callable[..., Any], clock: dict[str, float], part: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments)
        clock[part] += time.perf_counter() - begin
        return result

    return call


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"policy decisions per second, one core, {_ROWS} rows, median")
    for heading in ("problem", "policy", "instances", "decisions/s", "simulator", "network"):
        left = heading in ("problem", "policy", "instances")
        table.add_column(heading, justify="left" if left else "right")
    for row in rows:
        table.add_row(
            row["problem"],
            row["policy"],
            row["instances"],
            f"{row['decisions_per_second']:,.0f}",
            f"{row['simulator_share']:.0%}",
            f"{row['network_share']:.0%}",
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
