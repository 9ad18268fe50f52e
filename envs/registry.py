"""The environments by id, registered with Gymnasium by name alone: nothing heavy is imported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import gymnasium as gym

from .simulator import Simulator, simulator_for


@dataclass(frozen=True)
class Environment:
    """An environment of a problem.

    Attributes:
        problem: The problem whose instances it plays.
        module: Module of this folder that holds its classes.
        stem: ``JobShop`` stands for ``JobShopEnv`` and ``JobShopVectorEnv``.
    """

    problem: str
    module: str
    stem: str

    def simulators(self) -> Mapping[str, type[Simulator]]:
        """Mode to simulator; the first mode is the default."""
        module = importlib.import_module(f".{self.module}", __package__)
        found: Mapping[str, type[Simulator]] = getattr(module, f"{self.stem}Env").simulators
        return found


#: Id to environment; the first one of a problem is the one that its rules are played on.
ENVIRONMENTS = {
    "gapgym/JobShop-v0": Environment("job_shop", "job_shop", "JobShop"),
    "gapgym/PodPacking-v0": Environment("pod_packing", "pod_packing", "PodPacking"),
    "gapgym/PodRepack-v0": Environment("pod_packing", "pod_packing_repack", "PodRepack"),
    "gapgym/MemoryAllocation-v0": Environment(
        "memory_allocation", "memory_allocation", "MemoryAllocation"
    ),
    "gapgym/MemoryMapping-v0": Environment("memory_mapping", "memory_mapping", "MemoryMapping"),
    "gapgym/Tardiness-v0": Environment("tardiness", "tardiness", "Tardiness"),
    "gapgym/SoCDag-v0": Environment("soc_dag", "soc_dag", "SoCDag"),
    "gapgym/SoCStream-v0": Environment("soc_stream", "soc_stream", "SoCStream"),
    "gapgym/VMRescheduling-v0": Environment("vm_rescheduling", "vm_rescheduling", "VMRescheduling"),
}


def register() -> None:
    """Register all environments with Gymnasium."""
    for name, environment in ENVIRONMENTS.items():
        if name not in gym.registry:
            place = f"{__package__}.{environment.module}:{environment.stem}"
            gym.register(name, f"{place}Env", vector_entry_point=f"{place}VectorEnv")


def simulator_of(problem: str, mode: str = "") -> type[Simulator]:
    """The simulator of a problem's first environment.

    Args:
        problem: The problem.
        mode: Mode of the environment; by default the first one, which plays the problem's rules.

    Raises:
        ValueError: If the problem has no environment, or the environment no such mode.
    """
    for environment in ENVIRONMENTS.values():
        if environment.problem == problem:
            return simulator_for(environment.simulators(), mode or None)
    raise ValueError(f"no environment plays the problem {problem!r}.")
