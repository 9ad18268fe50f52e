"""PPO by sb3-contrib's ``MaskablePPO``, with our policy and our vector environments."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback

from ..envs.registry import ENVIRONMENTS, simulator_of
from . import checkpoint, state
from .sampling import one_thread
from .sb3 import GapPolicy, VectorEnvAdapter, policy_kwargs
from .training import Progress, TrainConfig, Trainer, validate

#: Rows side by side, and steps of each between two updates.
_ROWS, _STEPS = 64, 64


def train_ppo(
    config: TrainConfig, folder: Path, device: str, tell: Callable[[Progress], None]
) -> Path:
    """Train by PPO.

    An update is one of ``MaskablePPO``: 64 rows x 64 steps. A training that was begun in the folder
    goes on from its last validation, with other episodes than without the interruption.

    Raises:
        ValueError: If a graph is asked for: Stable-Baselines3 sees columns alone; or if the folder
            holds another training.
    """
    if config.graph:
        raise ValueError("ppo with a graph, expected columns alone, or the method selflabel.")
    simulator_of(config.problem, config.mode)  # which says what is wrong
    folder.mkdir(parents=True, exist_ok=True)
    with one_thread():
        adapter = VectorEnvAdapter(_environment(config))
        judge = Trainer(config, _no_labels, folder / "validation")
        model = _model(config, adapter, device)
        callback = _Validation(config, judge, folder, tell, model)
        total = 10**9 if config.updates is None else config.updates * _ROWS * _STEPS
        left = total - model.num_timesteps
        if left > 0 and not callback.late:
            model.learn(left, callback=callback, reset_num_timesteps=False)
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


def _model(config: TrainConfig, adapter: VectorEnvAdapter, device: str) -> MaskablePPO:
    made = policy_kwargs(adapter, config.hidden, mode=config.mode, options=config.options)
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
        policy_kwargs=made,
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
        model: MaskablePPO,
    ) -> None:
        super().__init__()
        self._config, self._folder, self._tell = config, folder, tell
        self._simulator = judge.validation_simulator()
        self._network = judge.policy  # a copy on the CPU, for validation
        self._update, seconds = 0, 0.0
        self._score = self._best = float("inf")
        path = folder / "state.safetensors"
        if path.is_file():
            found, tensors = state.load(path)
            state.check_config(folder, asdict(config), found)
            policy = model.policy
            assert isinstance(policy, GapPolicy)
            state.put(policy.network, policy.optimizer, tensors)
            model.num_timesteps = found["timesteps"]
            model.set_random_seed(config.seed + model.num_timesteps)
            self._update, seconds, self._best = found["update"], found["seconds"], found["best"]
        self._began = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Time spent, over all resumptions."""
        return time.perf_counter() - self._began

    @property
    def late(self) -> bool:
        """Whether the time limit has passed."""
        limit = self._config.time_limit
        return limit is not None and self.seconds >= limit

    def _on_rollout_start(self) -> None:
        if self._update % self._config.validate_every == 0:
            self.validate()
        self._update += 1
        shares = []
        if self._config.updates is not None:
            shares.append(self.model.num_timesteps / (self._config.updates * _ROWS * _STEPS))
        if self._config.time_limit is not None:
            shares.append(self.seconds / self._config.time_limit)
        fraction = min(1.0, max(shares))
        self._tell(Progress(self._update, self.seconds, fraction, 0.0, self._score, self._best))

    def _on_step(self) -> bool:
        return not self.late

    def validate(self) -> None:
        """Score the policy; keep it if it is the best so far, and the state in any case."""
        policy = self.model.policy
        assert isinstance(policy, GapPolicy)
        weights = {name: tensor.cpu() for name, tensor in policy.network.state_dict().items()}
        self._network.load_state_dict(weights)
        self._score = validate(self._network, self._simulator)
        if self._score < self._best:
            self._best = self._score
            made = {"config": asdict(self._config), "score": self._score, "update": self._update}
            made["seconds"] = round(self.seconds, 1)
            checkpoint.save(self._network, self._folder / "best.safetensors", made)
        known = {
            "config": asdict(self._config),
            "timesteps": self.model.num_timesteps,
            "update": self._update,
            "seconds": self.seconds,
            "best": self._best,
        }
        tensors = state.take(policy.network, policy.optimizer)
        state.save(self._folder / "state.safetensors", known, tensors)
