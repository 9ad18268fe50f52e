"""PPO by sb3-contrib's ``MaskablePPO``, with our policy and our vector environments."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback

from ..envs.registry import ENVIRONMENTS, simulator_of
from . import checkpoint
from .sb3 import GapPolicy, VectorEnvAdapter, policy_kwargs
from .training import Progress, TrainConfig, Trainer, validate

#: Rows side by side, and steps of each between two updates.
_ROWS, _STEPS = 64, 64
_MODEL = "ppo.zip"


def train_ppo(
    config: TrainConfig, folder: Path, device: str, tell: Callable[[Progress], None]
) -> Path:
    """Train by PPO.

    An update is one of ``MaskablePPO``: 64 rows x 64 steps. A training that was begun in the folder
    goes on from its last validation.

    Raises:
        ValueError: If a graph is asked for: Stable-Baselines3 sees columns alone.
    """
    if config.graph:
        raise ValueError("ppo with a graph, expected columns alone, or the method selflabel.")
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    adapter = VectorEnvAdapter(_environment(config))
    judge = Trainer(config, _no_labels, folder / "validation")
    model = _model(config, folder, adapter, device)
    callback = _Validation(config, judge, folder, tell)
    steps = 10**9 if config.updates is None else config.updates * _ROWS * _STEPS
    model.learn(steps, callback=callback, reset_num_timesteps=False)
    callback.validate()
    return folder / "best.safetensors"


def _environment(config: TrainConfig) -> Any:
    env_id = next(i for i, e in ENVIRONMENTS.items() if e.problem == config.problem)
    simulator = simulator_of(config.problem, config.mode)
    return gym.make_vec(
        env_id,
        num_envs=_ROWS,
        instance=list(config.instances or simulator.training_instances),
        mode=config.mode or None,
        **{"skip_forced": True, **config.options},
    )


def _model(
    config: TrainConfig, folder: Path, adapter: VectorEnvAdapter, device: str
) -> MaskablePPO:
    path = folder / _MODEL
    if path.is_file():  # written by this trainer into the user's own folder
        model = MaskablePPO.load(path, env=adapter, device=device)
        model.set_random_seed(config.seed + model.num_timesteps)
        return model
    return MaskablePPO(
        GapPolicy,
        adapter,
        learning_rate=config.learning_rate,
        n_steps=_STEPS,
        batch_size=_ROWS * _STEPS // 4,
        n_epochs=4,
        gamma=1.0,
        seed=config.seed,
        device=device,
        policy_kwargs=policy_kwargs(adapter, hidden=config.hidden),
    )


def _no_labels(trainer: Trainer, update: int) -> Any:
    raise AssertionError("PPO has no labels.")


class _Validation(BaseCallback):
    """Validates, keeps the best policy and the state, and ends the training in time."""

    def __init__(
        self,
        config: TrainConfig,
        judge: Trainer,
        folder: Path,
        tell: Callable[[Progress], None],
    ) -> None:
        super().__init__()
        self._config, self._folder, self._tell = config, folder, tell
        self._simulator = judge.validation_simulator()
        self._began = time.perf_counter()
        self._update = 0
        self._score = self._best = float("inf")

    def _on_rollout_start(self) -> None:
        if self._update % self._config.validate_every == 0:
            self.validate()
        self._update += 1
        spent = time.perf_counter() - self._began
        shares = []
        if self._config.updates is not None:
            shares.append(self.model.num_timesteps / (self._config.updates * _ROWS * _STEPS))
        if self._config.time_limit is not None:
            shares.append(spent / self._config.time_limit)
        fraction = min(1.0, max(shares))
        self._tell(Progress(self._update, spent, fraction, 0.0, self._score, self._best))

    def _on_step(self) -> bool:
        limit = self._config.time_limit
        return limit is None or time.perf_counter() - self._began < limit

    def validate(self) -> None:
        """Score the policy; keep it if it is the best so far."""
        policy = self.model.policy
        assert isinstance(policy, GapPolicy)
        self._score = validate(policy.network, self._simulator)
        if self._score < self._best:
            self._best = self._score
            made = {"config": asdict(self._config), "score": self._score, "update": self._update}
            made["seconds"] = round(time.perf_counter() - self._began, 1)
            checkpoint.save(policy.network, self._folder / "best.safetensors", made)
        self.model.save(self._folder / _MODEL)
